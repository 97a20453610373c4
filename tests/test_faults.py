"""Harm done to encoders, many times: `make faults N=300` does each kind so often, or a part of it.

What must hold behind every trial is in `harm.Range.prove`.
"""

import errno
import os
import resource
import shutil
import signal
import time

import pytest
import safetensors.numpy

from harm import PATIENCE, TALLY, Range, compiled, trials, without_privileges, write_source
from oracles import records, value_of
from power_loss import lose_power
from rs_tensor_encoder.opening import open_environment
from tiff_factory import strips


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    """A run that nobody disturbed: its records, and the calls that it made."""
    directory = tmp_path_factory.mktemp("undisturbed")
    shim = compiled(directory)
    if shim is None:
        pytest.skip("faults in system calls need Linux and a C compiler")
    place = directory / "place"
    place.mkdir()
    calm = Range(source, place, {}, shim)
    assert calm.run().code == 0
    expected = records(calm.target)
    size = (calm.target / "data.mdb").stat().st_size
    shutil.rmtree(calm.target)
    env = calm.faults(calls="open,read,write,sync,rename")
    assert calm.run(env=env).code == 0
    calls = calm.calls()
    assert len(calls) > 30
    assert not any(hit == "1" for _, hit, *_ in calls)
    return expected, size, calls, shim


@pytest.fixture
def field(source, undisturbed, tmp_path):
    """The place of this test's trials."""
    expected, _, _, shim = undisturbed
    place = tmp_path / "place"
    place.mkdir()
    return Range(source, place, expected, shim)


@pytest.fixture
def size(undisturbed):
    return undisturbed[1]


# ---- signals ----------------------------------------------------------------


def test_kills_at_random_moments(field, size):
    """SIGKILL when the database has reached a size, or after a time, from the very start on."""
    for index, chance in trials("SIGKILL at a random moment"):
        process = field.start()
        if index % 4:
            field.wait_until(process, chance.random() * 1.05, size=size)
        else:
            time.sleep(chance.random() * 0.4)
        process.kill()
        ended = field.end(process, nothing=[-9])
        assert ended.err == ""
        field.prove()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_requests_to_end(field, size, number):
    """Once, or a second time soon behind the first, which ends the process at once."""
    for index, chance in trials(f"{signal.Signals(number).name} at a random moment", 4):
        process = field.start()
        field.wait_until(process, chance.random(), size=size)
        process.send_signal(number)
        if index % 2:
            time.sleep(chance.random() * 0.02)
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        # The second may come when all is said, and Python is about to end.
        assert process.returncode in {0, 130} or (process.returncode == -number and out)
        assert "Traceback" not in err
        assert out or err == "\nError: interrupted\n"
        field.prove()


# ---- system calls -----------------------------------------------------------

ERRORS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EMFILE]
HOWS = {
    "open": [*ERRORS, errno.EACCES],
    "read": [errno.EIO, errno.ESTALE, "short"],
    "write": [errno.EIO, errno.ENOSPC, errno.EDQUOT, "short"],
    "sync": [errno.EIO, errno.ENOSPC, errno.EDQUOT],
    "rename": [errno.EIO, errno.ENOSPC, errno.EACCES],
}


def hurt(field, kind, at, how, times=1, **settings):
    """Run with a fault in the ``at``-th call of a kind; whether the call came."""
    env = field.faults(calls=kind, at=at, how=how, **{"for": times}, **settings)
    ended = field.end(field.start(env=env), nothing=[-9])
    return any(call[1] == "1" for call in field.calls()), ended


@pytest.mark.parametrize("kind", HOWS)
def test_errors_of_the_system_while_writing(field, undisturbed, kind):
    """One call, or all from one on, fail below the directory of the target."""
    _, _, calls, _ = undisturbed
    count = sum(call[0] == kind for call in calls)
    for _, chance in trials(f"error or short count in {kind}, of the target", 4):
        how = chance.choice(HOWS[kind])
        times = chance.choice([1, 10**6])
        came, ended = hurt(field, kind, chance.randint(1, count), how, times)
        assert came
        if times > 1 and how != "short" and ended.code == 0:
            # All is said and done before the first name that is forced to the disk.
            assert kind in {"open", "sync", "rename"}, ended
        if ended.code > 1:
            assert str(field.place) in ended.err
        # What may not have reached the disk is not gone on with.
        field.prove(anew=kind == "sync")


@pytest.mark.parametrize("kind", ["open", "read"])
def test_errors_of_the_system_while_reading(field, source, kind):
    """The same in the files of the source: a patch fails, or the run ends, and nothing is wrong."""
    for _, chance in trials(f"error or short count in {kind}, of the source", 4):
        how = chance.choice(HOWS[kind])
        times = chance.choice([1, 5, 10**6])
        came, ended = hurt(field, kind, chance.randint(1, 300), how, times, under=source)
        assert came
        if how == "short":
            assert ended.code == 0
        elif ended.code == 1:
            assert all(os.strerror(how) in f["reason"] for f in ended.report["failures"])
        field.prove()


def test_a_kill_before_or_behind_every_call(field, undisturbed):
    """Each call that changes the disk is the last one, once by itself and once not even it."""
    kinds = "open,write,sync,rename"
    count = sum(call[0] in kinds for call in undisturbed[2])
    points = [(at, how) for at in range(1, count + 1) for how in ("kill", "killed")]
    for _, chance in trials("SIGKILL before or behind a system call", 2):
        at, how = chance.choice(points)
        came, ended = hurt(field, kinds, at, how)
        assert came
        assert ended.code == -9
        field.prove()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["writev", "pwrite64", "fdatasync", "fsync", "rename"])
def test_faults_put_in_by_strace(field, call):
    """The same by other means: the kernel's side of the call, whoever makes it."""
    errors = ["EIO", "ENOSPC", "EDQUOT"]
    for _, chance in trials(f"strace: fault in {call}", 10):
        most = {"writev": 5, "pwrite64": 6, "fdatasync": 1, "fsync": 4, "rename": 3}[call]
        how = chance.choice([*[f"error={error}" for error in errors], "signal=SIGKILL"])
        rule = f"inject={call}:{how}:when={chance.randint(1, most)}"
        before = ["strace", "-f", "-qq", "-o", field.log, "-P", field.partial, "-P", field.data]
        before += ["-P", f"{field.partial}/rs-tensor-encoder.json.new", "-e", f"trace={call}"]
        field.end(field.start(before=[*before, "-e", rule]), nothing=[-9, 137])
        field.prove(anew=call == "fdatasync")


# ---- power loss -------------------------------------------------------------


def test_power_loss(field, undisturbed, tmp_path):
    """A death at any call, and then of what was not synced some pages and names are lost."""
    kinds = "open,write,sync,rename"
    count = sum(call[0] in kinds for call in undisturbed[2])
    (tmp_path / "boot").write_text("the boot behind the power loss")
    for index, chance in trials("power loss"):
        synced = tmp_path / f"synced{index}"
        synced.mkdir()
        # Sometimes behind the end, when all must have been synced.
        at, how = chance.randint(1, count + 3), chance.choice(["kill", "killed"])
        came, ended = hurt(field, kinds, at, how, synced=synced)
        assert came == (at <= count)
        assert ended.code == (-9 if came else 0)
        finished = field.target.exists()
        lose_power(field, synced, chance)
        assert field.target.exists() or came
        TALLY["power losses behind the last rename"] += finished
        field.prove(sound=False, anew=True, env=field.faults(boot=tmp_path / "boot"))
        shutil.rmtree(synced)


# ---- limits -----------------------------------------------------------------


def test_a_limit_on_the_size_of_files(field, size):
    for _, chance in trials("RLIMIT_FSIZE", 4):
        most = chance.randrange(0, size)
        ended = field.run(
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        )
        assert ended.code in {4, 5}
        field.prove()


def test_a_disk_that_is_full_at_a_random_moment(field, size, small_disk):
    field = Range(field.root, small_disk, field.expected, field.shim)
    filler = small_disk / "filler"
    for _, chance in trials("full disk", 4):
        process = field.start()
        field.wait_until(process, chance.random() * 0.8, size=size)
        process.send_signal(signal.SIGSTOP)
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
        process.send_signal(signal.SIGCONT)
        ended = field.end(process)
        assert ended.code in {0, 5}, ended
        TALLY["runs ended by a full disk"] += ended.code == 5
        filler.unlink()
        field.prove()


def test_too_little_memory(field):
    """From too little to begin with to almost enough."""
    for _, chance in trials("RLIMIT_AS", 4):
        most = chance.randrange(200 << 20, 600 << 20)
        ended = field.run(
            "--workers", "2",
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )  # fmt: skip
        TALLY["runs ended by too little memory"] += ended.code != 0
        field.prove()


def test_memory_that_is_almost_enough(field):
    """Halfway between what is too little and what is enough, again and again: there threads die."""
    low, high = 200 << 20, 1 << 30
    for _, chance in trials("RLIMIT_AS, almost enough"):
        narrow = high - low <= 1 << 20
        most = chance.randrange(low - (8 << 20), high + (8 << 20)) if narrow else (low + high) // 2
        ended = field.run(
            "--workers", "2",
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )  # fmt: skip
        TALLY["runs ended by too little memory"] += ended.code != 0
        if not narrow:
            low, high = (most, high) if ended.code else (low, most)
        field.prove()


def test_too_few_descriptors(field):
    for _, chance in trials("RLIMIT_NOFILE", 4):
        most = chance.randrange(9, 24)
        ended = field.run(
            "--workers", "8",
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        )  # fmt: skip
        TALLY["runs ended by too few descriptors"] += ended.code != 0
        field.prove()


# ---- sources ----------------------------------------------------------------


def _harm_files(paths, chance, directory):
    """Take files away, cut them short or lock them; how to undo it."""
    undo = []
    for path in chance.sample(paths, 12):
        away = directory / f"{len(undo)}.tif"
        way = chance.choice(["gone", "short", "locked"])
        if way == "locked":
            path.chmod(0)
            undo.append(lambda path=path: path.chmod(0o644))
            continue
        path.rename(away)
        if way == "short":
            data = away.read_bytes()
            path.write_bytes(data[: chance.randrange(len(data))])
        undo.append(lambda path=path, away=away: away.replace(path))
    return undo


def test_files_that_vanish_are_cut_or_locked_meanwhile(field, size, tmp_path):
    paths = sorted(field.root.rglob("*.tif"))
    away = tmp_path / "away"
    away.mkdir()
    for _, chance in trials("sources vanish, are cut short or locked", 4):
        process = field.start(before=without_privileges())
        field.wait_until(process, chance.random() * 0.7, size=size)
        process.send_signal(signal.SIGSTOP)
        undo = _harm_files(paths, chance, away)
        process.send_signal(signal.SIGCONT)
        ended = field.end(process)
        if ended.code == 1:
            assert all(f["reason"] for f in ended.report["failures"])
            assert field.partial.exists()
            TALLY["patches that failed by name"] += len(ended.report["failures"])
        for back in undo:
            back()
        field.prove()


def _change_files(field, chance, directory):
    """Give files other pixels; the new values by their keys, and how to undo it."""
    changed, undo = {}, []
    for path in chance.sample(sorted(field.root.rglob("*_VV.tif")), 12):
        key = path.parent.name.encode()
        bands = safetensors.numpy.load(field.expected[key])
        bands["VV"] += 1
        away = directory / path.name
        path.rename(away)
        strips(bands["VV"], 17).write(path)
        changed[key] = value_of(bands)
        undo.append(lambda path=path, away=away: away.replace(path))
    return changed, undo


def test_files_that_change_meanwhile(field, size, tmp_path):
    """A record is of the old file or of the new one; what the next run finds changed, it redoes."""
    away = tmp_path / "away"
    away.mkdir()
    for index, chance in trials("sources change", 4):
        process = field.start()
        field.wait_until(process, chance.random() * 0.7, size=size)
        process.send_signal(signal.SIGSTOP)
        changed, undo = _change_files(field, chance, away)
        process.send_signal(signal.SIGCONT)
        if index % 4:
            field.wait_until(process, 0.5 + chance.random() * 0.5, size=size)
            process.kill()
        field.end(process, nothing=[-9])
        found = records(field.target) if field.target.exists() else field.left()
        for key, value in found.items():
            assert value in {field.expected[key], changed.get(key)}
        TALLY["records of files that had changed"] += sum(
            value != field.expected[key] for key, value in found.items()
        )
        for back in undo:
            back()
        if field.target.exists():
            shutil.rmtree(field.target)
        else:
            field.prove(changed=changed)


# ---- others -----------------------------------------------------------------


def test_a_second_encoder_on_the_same_target(field, size):
    for _, chance in trials("second encoder on the same target", 4):
        first = field.start()
        field.wait_until(first, chance.random() * 0.8, size=size)
        second = field.run()
        ended = field.end(first)
        # Whoever was first finishes; who comes too late is refused.
        assert ended.code == 0
        assert second.code == 4
        assert "another encoder is writing" in second.err or "exists already" in second.err
        field.prove()


def test_two_encoders_begin_at_once(field):
    for _ in trials("two encoders begin at once", 4):
        both = [field.start(), field.start()]
        codes = sorted(field.end(process).code for process in both)
        assert codes == [0, 4]
        field.prove()


def test_a_reader_has_the_partial_target_open(field, size):
    for index, chance in trials("reader with the partial target open", 4):
        process = field.start()
        field.wait_until(process, 0.1 + chance.random() * 0.5, size=size)
        if process.poll() is not None:
            field.end(process)
            field.prove()
            continue
        # With a lock, what it reads stays as it is; without one it sees what it sees.
        locks = index % 3 != 2
        env = open_environment(str(field.partial), readonly=True, lock=locks)
        with env.begin() as txn:
            if index % 2:
                process.kill()
            seen = dict(txn.cursor()) if locks else {}
            field.end(process, nothing=[-9])
            assert seen.items() <= field.expected.items()
            if field.partial.exists():
                # Goes on while the reader still reads.
                assert field.run().code == 0
            assert not locks or dict(txn.cursor()) == seen
        env.close()
        field.prove()
