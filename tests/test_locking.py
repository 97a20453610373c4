"""One encoder at a time, whatever kinds of locks the file system has."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from harm import PATIENCE, Range, compiled, trials, write_source
from oracles import records
from rs_tensor_encoder.errors import OutOfSpaceError, TargetError
from rs_tensor_encoder.storage import locking
from rs_tensor_encoder.storage.environment import open_environment
from rs_tensor_encoder.util.system import has_ended, this_process

# What the file system lacks: each leaves another kind of lock.
WITHOUT = ["", "flock=38", "locks=37", "flock=38,locks=38", "flock=95,locks=95"]

NUMBERS = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = compiled(tmp_path_factory.mktemp("shim"))
    if library is None:
        pytest.skip("faults in system calls need Linux and a C compiler")
    return library


@pytest.fixture(scope="module")
def expected(source, shim, tmp_path_factory):
    place = tmp_path_factory.mktemp("calm")
    calm = Range(source, place, {}, shim)
    assert calm.run().code == 0
    return records(calm.target)


@pytest.fixture
def field(source, shim, expected, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return Range(source, place, expected, shim)


@pytest.fixture
def lacking(monkeypatch):
    """Have kinds of locks fail in this process: lacking(flock=errno.ENOSYS)."""

    def lack(**kinds):
        for name, number in kinds.items():

            def fail(*_, number=number):
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(locking.fcntl, name, fail)

    return lack


@contextmanager
def held(path):
    """Hold a directory as an encoder does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with locking.exclusive(descriptor, str(path)):
            yield
    finally:
        os.close(descriptor)


# ---- with real processes -------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kinds", [["flock"], ["locks"], ["flock", "locks"]])
def test_any_kind_may_be_lacking(field, kinds, number):
    env = field.faults(lacks=",".join(f"{kind}={number}" for kind in kinds))
    ended = field.run(env=env)
    assert ended.code == 0, ended
    field.check_target()
    assert sorted(os.listdir(field.target)) == [
        "data.mdb", "lock.mdb", "rs-tensor-encoder.digests", "rs-tensor-encoder.json",
    ]  # fmt: skip
    # Readers with and without LMDB's locks.
    for lock in (True, False):
        with open_environment(str(field.target), readonly=True, lock=lock) as reader:
            assert reader.stat()["entries"] == len(field.expected)


@pytest.mark.parametrize("without", WITHOUT)
def test_a_second_encoder_is_refused(field, without):
    env = field.faults(lacks=without)
    first = field.start("--workers", "1", env=env)
    field.wait_until(first, 0.1, size=1 << 22)
    first.send_signal(signal.SIGSTOP)
    assert first.poll() is None
    for options in ([], ["--restart"]):
        second = field.run(*options, env=env)
        assert second.code == 4
        assert "another encoder is writing to it" in second.err
    first.send_signal(signal.SIGCONT)
    assert field.end(first).code == 0
    field.check_target()
    assert os.listdir(field.place) == ["out"]


@pytest.mark.parametrize("without", WITHOUT)
def test_two_begin_at_once(field, without):
    env = field.faults(lacks=without)
    for _ in trials(f"two encoders begin at once; lacking: {without or 'nothing'}"):
        both = [field.start(env=env), field.start(env=env)]
        assert sorted(field.end(process).code for process in both) == [0, 4]
        field.prove()


@pytest.mark.parametrize("without", WITHOUT)
def test_the_lock_of_a_killed_encoder_is_taken_over(field, without):
    env = field.faults(lacks=without)
    first = field.start("--workers", "1", env=env)
    field.wait_until(first, 0.5, size=1 << 22)
    first.kill()
    field.end(first, nothing=[-9])
    owned = without.count("=") == 2
    assert (field.partial / locking.OWNER).exists() == owned
    assert field.left()
    field.prove(env=env)


def test_the_lock_of_a_killed_encoder_is_taken_over_by_one_of_many(field):
    """Of several that find the file of a process that has ended, one gets it."""
    env = field.faults(lacks="flock=38,locks=38")
    for _ in trials("several encoders take over a lock file", 2):
        first = field.start("--workers", "1", env=env)
        field.wait_until(first, 0.3, size=1 << 22)
        first.kill()
        field.end(first, nothing=[-9])
        assert (field.partial / locking.OWNER).exists()
        codes = [field.end(one).code for one in [field.start(env=env) for _ in range(4)]]
        assert sorted(codes) == [0, 4, 4, 4]
        field.prove()


# ---- the file that says who the owner is ----------------------------------------


@pytest.fixture
def partial(tmp_path, lacking):
    """A partial target on a file system without locks."""
    lacking(flock=errno.ENOSYS, lockf=errno.ENOSYS)
    path = tmp_path / "out.partial"
    path.mkdir()
    return path


def leave(path, **changes):
    """Leave the file of an owner that is this process but for some facts."""
    facts = this_process()._asdict() | {"time": "1970-01-01"} | changes
    (path / locking.OWNER).write_text(json.dumps(facts))


def ended_process():
    """The number of a process that was there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(timeout=PATIENCE)
    return process.pid


def test_the_owner_is_named_while_it_holds(partial):
    with held(partial):
        owner = json.loads((partial / locking.OWNER).read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), os.uname().nodename)
        with pytest.raises(TargetError, match=f"process {os.getpid()} on the host"), held(partial):
            pass
        # The refused one has left it as it was.
        assert json.loads((partial / locking.OWNER).read_text()) == owner
    assert not partial.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "another"},
        {"namespace": "another"},
        {"boot": "unknown"},
        {"pid": 1, "started": "unknown"},
        {"host": "unknown"},
    ],
)
def test_an_owner_that_may_live_is_respected(partial, changes):
    leave(partial, **changes)
    before = (partial / locking.OWNER).read_bytes()
    advice = f"if none is running, remove {partial / locking.OWNER}"
    with pytest.raises(TargetError, match=advice), held(partial):
        pass
    assert (partial / locking.OWNER).read_bytes() == before
    (partial / locking.OWNER).unlink()
    with held(partial):
        pass


@pytest.mark.parametrize(
    "changes", [{"pid": None}, {"started": "1"}, {"boot": "an earlier one", "pid": 1}]
)
def test_an_owner_that_has_ended_is_replaced(partial, changes):
    if changes.get("pid", 1) is None:
        changes = {"pid": ended_process()}
    leave(partial, **changes)
    with held(partial):
        assert json.loads((partial / locking.OWNER).read_text())["pid"] == os.getpid()
    assert not partial.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "\0" * 100, "[" * 10**5])
def test_an_owner_that_is_not_told_is_respected(partial, text):
    (partial / locking.OWNER).write_text(text)
    with pytest.raises(TargetError, match="may be writing to it; this file system"), held(partial):
        pass
    assert (partial / locking.OWNER).read_text() == text


def test_another_one_takes_over_first(partial, monkeypatch):
    """Between the look at the file and the permission to change it, it became another's."""
    leave(partial, started="1")
    create = locking._create

    def overtaken(name, *rest):
        if name == locking._CHANGE:
            leave(partial)
        return create(name, *rest)

    monkeypatch.setattr(locking, "_create", overtaken)
    with pytest.raises(TargetError, match="another encoder is writing"), held(partial):
        pass
    assert json.loads((partial / locking.OWNER).read_text())["time"] == "1970-01-01"
    assert sorted(os.listdir(partial)) == [locking.OWNER]


def test_a_change_of_owner_that_a_kill_has_left(partial):
    leave(partial, started="1")
    (partial / locking._CHANGE).touch()
    with pytest.raises(TargetError, match=f"remove {partial / locking._CHANGE}"), held(partial):
        pass
    (partial / locking._CHANGE).unlink()
    with held(partial):
        pass


def test_a_full_disk_leaves_no_owner_without_a_name(partial, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(locking, "open", full, raising=False)
    with pytest.raises(OutOfSpaceError, match=f"{locking.OWNER}: No space left"), held(partial):
        pass
    assert not partial.exists()


def test_processes_are_told_apart():
    here = this_process()
    assert "unknown" not in here
    assert not has_ended(here)
    assert has_ended(here._replace(pid=ended_process()))
    assert has_ended(here._replace(started="1"))
    assert not has_ended(here._replace(started="unknown"))


# ---- other faults ----------------------------------------------------------------


def test_locks_that_fail_are_an_error(tmp_path, lacking):
    for kind in ("flock", "lockf"):
        lacking(flock=errno.ENOSYS)
        lacking(**{kind: errno.EIO})
        failed = pytest.raises(TargetError, match="cannot be locked: Input/output error")
        with failed, held(tmp_path):
            pass
        assert os.listdir(tmp_path) in ([], [locking.LOCK_FILE])


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_both_numbers_of_a_lock_that_is_held(tmp_path, lacking, number):
    lacking(flock=errno.ENOSYS, lockf=number)
    with pytest.raises(TargetError, match="another encoder is writing"), held(tmp_path):
        pass


def test_a_lock_file_that_was_removed_by_its_holder(tmp_path, lacking, monkeypatch):
    """The lock of a file that has lost its name excludes nobody."""
    lacking(flock=errno.ENOSYS)
    lockf = fcntl.lockf

    def replaced(*arguments):
        lockf(*arguments)
        (tmp_path / locking.LOCK_FILE).unlink()
        (tmp_path / locking.LOCK_FILE).touch()

    monkeypatch.setattr(locking.fcntl, "lockf", replaced)
    with pytest.raises(TargetError, match="a moment ago"), held(tmp_path):
        pass
    assert os.listdir(tmp_path) == [locking.LOCK_FILE]


def test_a_lock_file_that_cannot_be_made(tmp_path):
    (tmp_path / locking.LOCK_FILE).symlink_to("elsewhere")
    failed = pytest.raises(TargetError, match=f"{locking.LOCK_FILE}: cannot be written")
    with failed, held(tmp_path):
        pass
    assert os.listdir(tmp_path) == [locking.LOCK_FILE]
