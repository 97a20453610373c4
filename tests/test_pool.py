"""Worker processes: what they are given, what comes back, and how they end."""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.util import process_pool as pool_module
from rs_tensor_encoder.util import worker_process as worker_module
from rs_tensor_encoder.util.process_pool import Pool
from rs_tensor_encoder.util.worker_process import StartError, WorkerError

#: Seconds after which something that should have happened counts as not happening.
PATIENCE = 60

_begun = []


def begin(*words):
    _begun.append(words)


def begin_badly(*_):
    raise TargetError("out: not there")


def square(number):
    return number * number


def noisy_square(number):
    """Write to the standard streams, whatever they are, as a decoder's library may."""
    for stream in range(3):
        with contextlib.suppress(OSError):
            os.write(stream, b"noise")
    return number * number


def begun_with(_):
    return _begun


def last_words(number):
    os.kill(os.getpid(), number)


def whoami(_):
    return os.getpid()


def deafness(_):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return sorted(blocked & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1})


def refuse(item):
    raise ValueError(item)


def large(size):
    return bytes(size)


def test_results_come_in_the_order_of_the_items():
    with Pool(2, begin, (), square) as pool:
        assert list(pool.map(range(50))) == [(number, number * number) for number in range(50)]
        # Once more, by the same processes.
        assert [result for _, result in pool.map(range(3))] == [0, 1, 4]


def test_every_process_begins_once():
    with Pool(1, begin, ("a", 1), begun_with) as pool:
        assert [result for _, result in pool.map("xyz")] == [[("a", 1)]] * 3


def test_items_and_results_larger_than_what_a_socket_holds():
    with Pool(2, begin, (), len) as pool:
        items = [bytes(4 << 20)] * 6
        assert [result for _, result in pool.map(items)] == [4 << 20] * 6
    with Pool(2, begin, (), large) as pool:
        assert [len(result) for _, result in pool.map([4 << 20] * 6)] == [4 << 20] * 6


def test_what_is_raised_in_a_process_is_raised_here():
    with Pool(2, begin, (), refuse) as pool, pytest.raises(ValueError, match="seven"):
        list(pool.map(["seven"]))
    with Pool(2, begin_badly, (), square) as pool, pytest.raises(TargetError, match="not there"):
        list(pool.map([1]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, 40])
def test_a_process_that_dies_is_named(number):
    name = signal.Signals(number).name if number < 32 else f"signal {number}"
    with Pool(2, begin, (), last_words) as pool, pytest.raises(WorkerError, match=name):
        list(pool.map([number]))


def test_a_process_that_exits():
    with Pool(1, begin, (), os._exit) as pool, pytest.raises(WorkerError, match="exit code 3"):
        list(pool.map([3]))


def test_processes_are_deaf_to_what_is_meant_for_their_parent():
    with Pool(1, begin, (), deafness) as pool:
        [(_, heard)] = pool.map([0])
    assert heard == sorted([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    assert deafness(0) == []


def test_nothing_is_left_of_a_pool():
    with Pool(2, begin, (), whoami) as pool:
        ids = {result for _, result in pool.map(range(20))}
        descriptors = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) < descriptors
    assert not any(os.path.exists(f"/proc/{number}") for number in ids)


class Counting(pool_module.Worker):
    """A worker that is counted."""

    started = 0

    def __init__(self):
        type(self).started += 1
        super().__init__()


def test_processes_are_started_as_there_is_work(monkeypatch):
    monkeypatch.setattr(pool_module, "Worker", Counting)
    monkeypatch.setattr(pool_module, "processors", lambda: 1)
    monkeypatch.setattr(Counting, "started", 0)
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    ahead = []
    with Pool(5, begin, (), square) as pool:
        for done, _ in enumerate(pool.map(items())):
            ahead.append(len(taken) - done)
            if done == 0:
                # Not more than two for each processor, before anything has come back.
                assert Counting.started == 2
    assert Counting.started <= 5
    assert ahead[0] == 2
    # More with every result, but not without end.
    assert max(ahead) > 10
    assert max(ahead) <= 20
    monkeypatch.setattr(Counting, "started", 0)
    with Pool(5, begin, (), square) as pool:
        assert list(pool.map([])) == []
    assert Counting.started == 0


class Refused(Counting):
    """One more than so many processes are not allowed."""

    allowed = 0

    def __init__(self):
        if type(self).started >= self.allowed:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        super().__init__()


def test_a_system_that_allows_fewer_processes(monkeypatch):
    monkeypatch.setattr(pool_module, "Worker", Refused)
    monkeypatch.setattr(Refused, "started", 0)
    monkeypatch.setattr(Refused, "allowed", 1)
    with Pool(3, begin, (), square) as pool:
        assert [result for _, result in pool.map(range(20))] == [n * n for n in range(20)]
    monkeypatch.setattr(Refused, "allowed", 0)
    with Pool(3, begin, (), square) as pool, pytest.raises(StartError, match="--workers 1"):
        list(pool.map([1]))


def test_a_python_that_does_not_know_where_it_is(monkeypatch):
    monkeypatch.setattr(worker_module.sys, "executable", "")
    with Pool(2, begin, (), square) as pool, pytest.raises(StartError, match="where Python is"):
        list(pool.map([1]))


def test_a_stop_yields_what_has_come_and_waits_for_nothing_else():
    stop = threading.Event()
    items = [0, 0, PATIENCE, 0, 0, PATIENCE, 0]
    begun = time.monotonic()
    with Pool(2, begin, (), time.sleep) as pool:
        found = []
        for item, _ in pool.map(items, stop):
            found.append(item)
            stop.set()
    # How soon is not asked; only that the sleepers were not waited for.
    assert time.monotonic() - begun < PATIENCE
    assert found
    assert set(found) == {0}


def test_a_stop_yields_results_behind_one_that_has_none():
    stop = threading.Event()

    def items():
        yield PATIENCE
        for _ in range(8):
            yield 0

    def stopped(pool):
        # When all that are short have come back, and the long one has not.
        if len(pool._tasks) == 1 and not pool._waiting and len(pool._workers) == 2:
            stop.set()

    class Watched(Pool):
        def _hear(self, seconds, stop=None):
            super()._hear(seconds, stop)
            stopped(self)

    with Watched(2, begin, (), time.sleep) as pool:
        found = [item for item, _ in pool.map(items(), stop)]
    assert found
    assert set(found) == {0}


# ---- with the parent ---------------------------------------------------------


def wait_for(what):
    """Wait until a call returns something true; return that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it has not come about")


def note(path):
    """Write down which process this is, whole or not at all."""
    Path(path + ".new").write_text(str(os.getpid()))
    os.rename(path + ".new", path)


def not_by_the_system():
    """Undo what has the system kill this process."""
    ctypes.CDLL(None).prctl(worker_module._PR_SET_PDEATHSIG, 0, 0, 0, 0)


def sleep_for_ever(path):
    note(path)
    while True:
        time.sleep(1)


def work_for_ever(path):
    """In a single call that lets no other thread work."""
    note(path)
    sum(range(10**15))


PARENT = """
import os, sys, time
sys.path.insert(0, {tests!r})
import test_pool
from rs_tensor_encoder.util.process_pool import Pool

def items():
    yield {path!r}
    if {forked}:
        # A child that has the parent's end of the connection: the end of it is not told.
        child = os.fork()
        if child == 0:
            # It is killed; if not, it must not go on as its parent would.
            time.sleep(600)
            os._exit(0)
        with open({path!r} + ".child", "w") as file:
            file.write(str(child))

with Pool(1, test_pool.{begin}, (), test_pool.{work}) as pool:
    list(pool.map(items()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prctl")
@pytest.mark.parametrize(
    ("begin", "work", "forked"),
    [
        pytest.param("not_by_the_system", "sleep_for_ever", False, id="end-of-connection"),
        pytest.param("begin", "work_for_ever", True, id="prctl"),
    ],
)
def test_a_process_ends_with_its_parent(tmp_path, begin, work, forked):
    path = tmp_path / "pid"
    code = PARENT.format(
        tests=os.path.dirname(__file__), path=str(path), begin=begin, work=work, forked=forked
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    other = Path(f"{path}.child")
    wait_for(path.exists)
    if forked:
        wait_for(lambda: other.exists() and other.read_text())
    number = int(path.read_text())
    assert os.path.exists(f"/proc/{number}")
    parent.kill()
    parent.wait()
    try:
        wait_for(lambda: not os.path.exists(f"/proc/{number}"))
    except AssertionError:
        # It would take a processor for ever.
        os.kill(number, signal.SIGKILL)
        raise
    finally:
        if forked:
            os.kill(int(other.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(tmp_path, streams):
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_pool
from rs_tensor_encoder.util.process_pool import Pool
with Pool(2, test_pool.begin, (), test_pool.noisy_square) as pool:
    found = [result for _, result in pool.map(range(9))]
open({str(tmp_path / "found")!r}, "w").write(repr(found))
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    subprocess.run(f"{sys.executable} {script} {streams}", shell=True, check=True, timeout=PATIENCE)
    assert (tmp_path / "found").read_text() == repr([n * n for n in range(9)])


def test_nothing_in_the_working_directory_is_imported(tmp_path, monkeypatch):
    for name in ("pickle", "socket", "rs_tensor_encoder"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    with Pool(1, begin, (), square) as pool:
        assert [result for _, result in pool.map([3])] == [9]
