"""Threads that encode and threads that help: what becomes of it when some cannot be, or die."""

import _thread
import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from harm import compiled
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import larger
from rs_tensor_encoder.encoding.workers import Threads
from rs_tensor_encoder.util import prefetch
from rs_tensor_encoder.util.prefetch import Helpers
from tiff_factory import ramp, strips


class Dead:
    """Stands for an encoder whose thread dies before it begins."""

    def serve(self, line):
        pass


def new_encoder():
    return _tiff.Encoder([[["B01"]]], [".tif"])


def new_task():
    return _tiff.Task([], np.empty(1, np.uint8))


def finish(threads, count):
    found = []
    while len(found) < count:
        found += threads.ended(0.05)
    return found


@pytest.fixture
def started(monkeypatch):
    """Count the threads that are started; ``allowed`` is how many the system allows."""
    facts = {"allowed": 10**6, "started": 0}
    start = _thread.start_new_thread

    def count(*arguments):
        if facts["started"] >= facts["allowed"]:
            raise RuntimeError("can't start new thread")
        facts["started"] += 1
        return start(*arguments)

    monkeypatch.setattr("_thread.start_new_thread", count)
    return facts


def test_no_more_threads_than_tasks(started):
    with Threads(new_encoder, larger) as threads:
        for _ in range(5):
            threads.put(new_task(), 1000)
        assert started["started"] == 5
        assert len(finish(threads, 5)) == 5
        for _ in range(5):
            threads.put(new_task(), 6)
        assert started["started"] == 6
        assert len(finish(threads, 5)) == 5


def test_threads_that_leave_are_started_again(started):
    with Threads(new_encoder, larger) as threads:
        for size, expected in [(4, 4), (2, 4), (4, 6)]:
            threads.keep(size)
            for _ in range(4):
                threads.put(new_task(), size)
            finish(threads, 4)
            assert started["started"] == expected


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_those_that_can_be_started_go_on(started, error):
    def new():
        if started["started"] == 2:
            raise error
        return new_encoder()

    with Threads(new, larger) as threads:
        for _ in range(9):
            threads.put(new_task(), 4)
        assert len(finish(threads, 9)) == 9
    assert started["started"] == 2


def test_not_a_single_thread_is_an_error(started):
    started["allowed"] = 0
    refused = pytest.raises(RuntimeError, match="can't start new thread")
    with refused, Threads(new_encoder, larger) as threads:
        threads.put(new_task(), 2)


def test_all_threads_die_before_they_begin():
    with Threads(Dead, larger) as threads:
        threads.put(new_task(), 2)
        threads.put(new_task(), 2)
        with pytest.raises(MemoryError):
            finish(threads, 1)


def test_one_thread_dies_and_the_others_do_its_work():
    encoders = iter([Dead(), new_encoder(), new_encoder()])
    with Threads(encoders.__next__, larger) as threads:
        for _ in range(20):
            threads.put(new_task(), 3)
        assert len(finish(threads, 20)) == 20


def test_an_error_in_a_thread_is_of_its_task(tmp_path):
    def too_large(*_):
        raise MemoryError

    strips(ramp()).write(tmp_path / "p.tif")
    task = _tiff.Task([(0, bytes(tmp_path), b"p\0")], np.empty(1, np.uint8))
    with Threads(new_encoder, too_large) as threads:
        threads.put(task, 1)
        assert finish(threads, 1) == [task]
        assert isinstance(task.error, MemoryError)
        # The thread lives on.
        threads.put(new_task(), 1)
        finish(threads, 1)


@pytest.mark.parametrize(
    ("patch", "error"),
    [((1, b"/", b"p\0"), IndexError), ((0, b"/", b"p"), ValueError)],
)
def test_a_patch_that_is_not_of_its_format_is_an_error(patch, error):
    task = _tiff.Task([(0, b"/nowhere", b"p\0"), patch], np.empty(1, np.uint8))
    with Threads(new_encoder, larger) as threads:
        threads.put(task, 1)
        assert finish(threads, 1) == [task]
        assert isinstance(task.error, error)
        threads.put(new_task(), 1)
        finish(threads, 1)


def test_no_wait_is_longer_for_a_clock_that_is_set_back(tmp_path):
    shim = compiled(tmp_path)
    if shim is None:
        pytest.skip("setting a clock back needs Linux and a C compiler")
    waiting = "from rs_tensor_encoder import _tiff; assert _tiff.Line(None).wait(0.05) is None"
    # Behind a sanitizer, which wants to be the first.
    preload = f"{os.environ.get('LD_PRELOAD', '')} {shim}".strip()
    env = os.environ | {"FAULT_AHEAD": "3600", "LD_PRELOAD": preload}
    # It would take an hour.
    subprocess.run([sys.executable, "-c", waiting], env=env, timeout=100, check=True)


# ---- helpers ----------------------------------------------------------------


def test_helpers_keep_the_order_and_do_not_run_away():
    taken = []

    def items():
        for item in range(500):
            taken.append(item)
            yield item

    with Helpers(4) as some:
        for number, result in enumerate(some.map(lambda item: item * item, items())):
            assert result == number * number
            assert len(taken) <= number + 9
    assert number == 499


def test_helpers_work_at_the_same_time():
    together = threading.Barrier(4)
    with Helpers(4) as some:
        assert sorted(some.map(lambda _: together.wait(10), range(4))) == [0, 1, 2, 3]


def test_an_error_in_a_helper_is_raised_in_its_place():
    def divide(number):
        return 6 // number

    with Helpers(3) as some:
        results = some.map(divide, [1, 2, 0, 3])
        assert [next(results), next(results)] == [6, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)
    before = _thread._count()
    with pytest.raises(ZeroDivisionError), Helpers(3) as some:
        list(some.map(divide, [0] * 100))
    assert _thread._count() <= before


@pytest.mark.parametrize("allowed", [0, 1])
def test_it_goes_on_with_the_helpers_that_can_be(started, allowed):
    started["allowed"] = allowed
    with Helpers(4) as some:
        assert list(some.map(str, range(100))) == list(map(str, range(100)))
    assert started["started"] == allowed


@pytest.mark.parametrize("dead", [1, 2, 4])
def test_what_dead_helpers_had_begun_is_done_again(monkeypatch, dead):
    """Some die with a job in hand, some live."""
    numbers = itertools.count()
    serve = prefetch._serve

    def serve_or_die(jobs):
        if next(numbers) < dead:
            jobs.get()
            return
        serve(jobs)

    def slow(item):
        time.sleep(0.001)
        return -item

    monkeypatch.setattr(prefetch, "_serve", serve_or_die)
    with Helpers(4) as some:
        assert list(some.map(slow, range(200))) == [-item for item in range(200)]
