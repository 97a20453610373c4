"""Harm done to encoders, many times: `make faults N=300` does each kind so often, or a part of it.

What must hold behind every trial is in `harm.Range.prove`.
"""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest
import safetensors.numpy

from harm import PATIENCE, TALLY, Range, compiled, spread, trials, without_privileges, write_source
from oracles import records, value_of
from power_loss import lose_power
from rs_tensor_encoder.encoding.batching import _PROBES
from rs_tensor_encoder.storage import journal
from rs_tensor_encoder.storage.environment import open_environment
from rs_tensor_encoder.storage.manifest import FAILURES
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
    harm = ["encoders killed", "encoders killed that left records"]
    for index, chance in trials("SIGKILL at a random moment", harm=harm):
        process = field.start()
        if index % 4:
            field.wait_until(process, chance.random() * 1.05, size=size)
        else:
            time.sleep(chance.random() * 0.4)
        process.kill()
        ended = field.end(process, nothing=[-9])
        assert ended.err == ""
        assert ended.code in {0, -9}
        left = field.prove()
        if ended.code:
            TALLY[harm[0]] += 1
            TALLY[harm[1]] += left > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_requests_to_end(field, size, number):
    """Once, or a second time soon behind the first, which ends the process at once."""
    name = signal.Signals(number).name
    harm = [f"runs that ended by one {name}", f"runs that ended by a second {name}"]
    for index, chance in trials(f"{name} at a random moment", 4, harm=harm):
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
        # A report, or nothing but that it was interrupted: the run was not even begun, or ended
        # without a word more.
        report = json.loads(out) if out else {}
        assert "patches" in report or report in ({}, {"error": "interrupted", "exit_code": 130})
        by_one = report.get("interrupted", False)
        TALLY[harm[0]] += by_one
        TALLY[harm[1]] += bool(index % 2) and process.returncode != 0 and not by_one
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


# What a file of the source is refused by the machine with, whatever the file is: the run ends.
ENDING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}

CHANGING = ["open", "write", "sync", "rename"]


def hurt(field, kind, at, how, times=1, **settings):
    """Run with a fault in the ``at``-th call of a kind; the calls that were hit, and the end."""
    env = field.faults(calls=kind, at=at, how=how, **{"for": times}, **settings)
    ended = field.end(field.start(env=env), nothing=[-9])
    return [call for call in field.calls() if call[1] == "1"], ended


def says(ended, number):
    """Whether a run ended by an error, and its last line tells which one."""
    line = ended.err.splitlines()[-1]
    full = number == errno.ENOSPC and "the disk is full" in line
    return ended.code in {4, 5} and (full or os.strerror(number) in line)


def not_needed(field, hits):
    """Whether the one call that was hit is one that nothing depends on."""
    # The writing back of what is committed, and the removal of two files behind the end.
    calls = {("open", str(field.data))}
    calls |= {("rename", str(field.target / name)) for name in (journal.NAME, FAILURES)}
    return len(hits) == 1 and (hits[0][0], hits[0][2]) in calls


@pytest.mark.parametrize("kind", HOWS)
def test_errors_of_the_system_while_writing(field, undisturbed, kind):
    """One call, or all from one on, fail below the directory of the target."""
    _, _, calls, _ = undisturbed
    count = sum(call[0] == kind for call in calls)
    harm = [f"runs ended by an error in {kind}, of the target"]
    harm += [f"runs that went on after a short {kind}"] * ("short" in HOWS[kind])
    for _, chance in trials(f"error or short count in {kind}, of the target", 4, harm=harm):
        how = chance.choice(HOWS[kind])
        times = chance.choice([1, 10**6])
        hits, ended = hurt(field, kind, chance.randint(1, count), how, times)
        assert hits
        if how == "short":
            # LMDB takes a short count for an error.
            of_lmdb = any(call[2] == str(field.data) for call in hits)
            assert ended.code == 0 or (of_lmdb and ended.code in {4, 5}), ended
            TALLY[harm[1]] += ended.code == 0
        elif ended.code == 0:
            assert not_needed(field, hits), ended
        else:
            assert says(ended, how), ended
            assert str(field.place) in ended.err
            TALLY[harm[0]] += 1
        # What may not have reached the disk is not gone on with.
        field.prove(anew=kind == "sync")


def test_each_name_that_cannot_be_given_or_taken_away(field, undisturbed):
    """Each rename and each removal is refused once: the file is named, and what was to be done."""
    renames = [call for call in undisturbed[2] if call[0] == "rename"]
    assert len(renames) >= 5
    for at in range(1, len(renames) + 1):
        ((_, _, path, new),), ended = hurt(field, "rename", at, errno.EACCES)
        if os.path.dirname(path) == str(field.target):
            # Behind the end.
            assert ended.code == 0
        else:
            what = "written" if new else "removed"
            assert f"{new or path}: cannot be {what}: Permission denied" in ended.err
            assert ended.code == 4
        field.prove()


@pytest.mark.parametrize("kind", ["open", "read"])
def test_errors_of_the_system_while_reading(field, source, kind):
    """The same in the files of the source: patches fail by name, or the run ends; none is wrong."""
    hows = [*HOWS[kind], errno.ENOMEM, errno.ENFILE]
    # At first a few patches are looked at, to learn the size of all. What fails then only is
    # encoded nevertheless.
    looks = _PROBES * {"open": 3, "read": 2}[kind]
    harm = [f"patches that failed by an error in {kind}", f"runs ended by the machine in {kind}"]
    for _, chance in trials(f"error or short count in {kind}, of the source", 4, harm=harm):
        how = chance.choice(hows)
        times = chance.choice([1, 5, 10**6])
        at = chance.randint(1, 300)
        hits, ended = hurt(field, kind, at, how, times, under=source)
        assert hits
        if how == "short" or at + times - 1 <= looks:
            assert ended.code == 0, ended
        elif how in ENDING:
            assert ended.code == 3, ended
            assert f"{os.strerror(how)}; nothing is lost" in ended.err
            TALLY[harm[1]] += 1
        else:
            assert ended.code == 1, ended
            failures = ended.report["failures"]
            assert all(f["reason"].endswith(f": {os.strerror(how)}") for f in failures)
            # Each patch fails by the first of its calls that does.
            assert len(failures) == len(hits) if at > looks else failures
            TALLY[harm[0]] += len(failures)
        field.prove()


def points(kind, calls):
    """Every call that changes the disk, by its number, with a kill before and behind it."""
    kinds = [call[0] for call in calls if call[0] in CHANGING]
    every = [(at, how) for at in range(1, len(kinds) + 1) for how in ("kill", "killed")]
    # Most are writes; the order of the others is what everything depends on.
    writes = [point for point in every if kinds[point[0] - 1] == "write"]
    return len(kinds), spread(kind, [point for point in every if point not in writes], writes)


def test_a_kill_before_or_behind_every_call(field, undisturbed):
    """Each call that changes the disk is the last one, once by itself and once not even it.

    As many trials as there are points hold every one of them.
    """
    kind = "SIGKILL before or behind a system call"
    _, every = points(kind, undisturbed[2])
    for index, _ in trials(kind):
        at, how = every[index % len(every)]
        hits, ended = hurt(field, ",".join(CHANGING), at, how)
        assert len(hits) == 1
        assert ended.code == -9
        field.prove()


@pytest.fixture(scope="module")
def strace():
    """The name of strace, where it may trace."""
    words = ["strace", "-qq", "-o", os.devnull, "true"]
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace processes here")
    return "strace"


@pytest.mark.parametrize("call", ["writev", "pwrite64", "fdatasync", "fsync", "rename"])
def test_faults_put_in_by_strace(field, strace, call):
    """The same by other means: the kernel's side of the call, whoever makes it."""
    for _, chance in trials(f"strace: fault in {call}", 10):
        most = {"writev": 5, "pwrite64": 6, "fdatasync": 1, "fsync": 4, "rename": 3}[call]
        how = chance.choice(["EIO", "ENOSPC", "EDQUOT", "SIGKILL"])
        rule = f"{'signal' if how == 'SIGKILL' else 'error'}={how}:when={chance.randint(1, most)}"
        before = [strace, "-f", "-qq", "-o", field.log, "-P", field.partial, "-P", field.data]
        before += ["-P", f"{field.partial}/rs-tensor-encoder.json.new", "-e", f"trace={call}"]
        before += ["-e", f"inject={call}:{rule}"]
        ended = field.end(field.start(before=before), nothing=[-9, 137])
        seen = field.log.read_text()
        # The fault came about, and it ended the run.
        if how == "SIGKILL":
            assert "+++ killed by SIGKILL +++" in seen
            assert ended.code in {-9, 137}
        else:
            assert seen.count("(INJECTED)") == 1
            assert says(ended, getattr(errno, how)), ended
        field.prove(anew=call == "fdatasync")


# ---- power loss -------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "another"])
def test_power_loss(field, undisturbed, tmp_path, host):
    """A death at any call, and then of what was not synced some pages and names are lost.

    The first trial is behind the end, when all must have been synced; as many more as there are
    points hold every one of them. The next run is on the same machine, or on another one, which
    goes on with what is left.
    """
    kind = f"power loss{host and ', gone on with on another host'}"
    count, every = points(kind, undisturbed[2])
    every.insert(0, (count + 1, "kill"))
    harm = ["pages and names that were lost with the power"]
    (tmp_path / "boot").write_text("the boot behind the power loss")
    for index, chance in trials(kind, harm=harm):
        synced = tmp_path / f"synced{index}"
        synced.mkdir()
        at, how = every[index % len(every)]
        hits, ended = hurt(field, ",".join(CHANGING), at, how, synced=synced)
        assert len(hits) == (at <= count)
        assert ended.code == (-9 if hits else 0)
        finished = field.target.exists()
        TALLY[harm[0]] += lose_power(field, synced, chance)
        assert field.target.exists() or hits
        TALLY["power losses behind the last rename"] += finished
        field.rest()
        env = field.faults(boot=tmp_path / "boot", host=host)
        field.prove(sound=False, anew=True, env=env)
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
    for _, chance in trials("full disk", 4, harm=["runs ended by a full disk"]):
        process = field.start()
        field.wait_until(process, chance.random() * 0.8, size=size)
        field.stop(process)
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
    for _, chance in trials("RLIMIT_AS", 4, harm=["runs ended by too little memory"]):
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
    harm = ["runs ended by almost enough memory", "runs done with almost enough memory"]
    for _, chance in trials("RLIMIT_AS, almost enough", harm=harm):
        narrow = high - low <= 1 << 20
        most = chance.randrange(low - (8 << 20), high + (8 << 20)) if narrow else (low + high) // 2
        ended = field.run(
            "--workers", "2",
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )  # fmt: skip
        if narrow:
            TALLY[harm[ended.code == 0]] += 1
        else:
            low, high = (most, high) if ended.code else (low, most)
        field.prove()


def test_too_few_descriptors(field):
    for _, chance in trials("RLIMIT_NOFILE", 4, harm=["runs ended by too few descriptors"]):
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
    harm = ["patches that failed by name"]
    for _, chance in trials("sources vanish, are cut short or locked", 4, harm=harm):
        process = field.start(before=without_privileges())
        field.wait_until(process, chance.random() * 0.7, size=size)
        field.stop(process)
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
    harm = ["records of files that had changed"]
    for index, chance in trials("sources change", 4, harm=harm):
        process = field.start()
        field.wait_until(process, chance.random() * 0.7, size=size)
        field.stop(process)
        changed, undo = _change_files(field, chance, away)
        process.send_signal(signal.SIGCONT)
        if index % 4:
            field.wait_until(process, 0.5 + chance.random() * 0.5, size=size)
            process.kill()
        field.end(process, nothing=[-9])
        found = records(field.target) if field.target.exists() else field.left()
        for key, value in found.items():
            assert value in {field.expected[key], changed.get(key)}
        TALLY[harm[0]] += sum(value != field.expected[key] for key, value in found.items())
        for back in undo:
            back()
        if field.target.exists():
            shutil.rmtree(field.target)
        else:
            field.prove(changed=changed)


# ---- others -----------------------------------------------------------------


def test_a_second_encoder_on_the_same_target(field, size):
    harm = ["second encoders that met a running one"]
    for _, chance in trials("second encoder on the same target", 4, harm=harm):
        first = field.start()
        field.wait_until(first, chance.random() * 0.8, size=size)
        # Else the first would be done before the second has begun.
        field.stop(first)
        second = field.run()
        first.send_signal(signal.SIGCONT)
        ended = field.end(first)
        # Whoever was first finishes; who comes too late is refused.
        assert ended.code == 0
        assert second.code == 4
        met = "another encoder is writing" in second.err
        assert met or "exists already" in second.err
        TALLY[harm[0]] += met
        field.prove()


def test_two_encoders_begin_at_once(field):
    for _ in trials("two encoders begin at once", 4):
        both = [field.start(), field.start()]
        codes = sorted(field.end(process).code for process in both)
        assert codes == [0, 4]
        field.prove()


def test_a_reader_has_the_partial_target_open(field, size):
    harm = ["records that a reader saw in a partial target"]
    for index, chance in trials("reader with the partial target open", 4, harm=harm):
        process = field.start()
        field.wait_until(process, 0.1 + chance.random() * 0.5, size=size)
        # Else it would be done before anything is read.
        field.stop(process)
        if not field.partial.exists():
            process.send_signal(signal.SIGCONT)
            field.end(process)
            field.prove()
            continue
        # With a lock, what it reads stays as it is; without one it sees what it sees.
        locks = index % 3 != 2
        env = open_environment(str(field.partial), readonly=True, lock=locks)
        with env.begin() as txn:
            seen = dict(txn.cursor()) if locks else {}
            process.send_signal(signal.SIGKILL if index % 2 else signal.SIGCONT)
            ended = field.end(process, nothing=[-9])
            assert ended.code == (-9 if index % 2 else 0)
            assert seen.items() <= field.expected.items()
            TALLY[harm[0]] += len(seen)
            if field.partial.exists():
                # Goes on while the reader still reads.
                assert field.run().code == 0
            assert not locks or dict(txn.cursor()) == seen
        env.close()
        field.prove()
