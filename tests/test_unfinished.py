"""Databases that are not complete, read at rest and while others write to them."""

import errno
import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import lmdb
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harm import size_of
from oracles import records
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import locking, unfinished
from rs_tensor_encoder.storage.environment import DATA, open_reading
from rs_tensor_encoder.storage.safetensors_header import header_of
from rs_tensor_encoder.storage.target import locked
from rs_tensor_encoder.storage.unfinished import Unfinished, being_written, partial_of

#: Seconds after which something that should have happened counts as not happening.
PATIENCE = 60


def found_in(directory):
    with Unfinished(str(directory)) as database:
        return list(database.records())


# ---- at rest -----------------------------------------------------------------

VALUES = [
    b"",
    b"no safetensors",
    safetensors.numpy.save({"A": np.arange(3)}),
    safetensors.numpy.save({"A": np.zeros((20, 30), "f4")}),
    safetensors.numpy.save({"A": np.zeros((90, 90), "f8")}),
    # A header longer than a page.
    safetensors.numpy.save({f"band {index}": np.zeros(2, "u1") for index in range(224)}),
    # The length of a header that is longer than the value.
    b"\xff\xff\0\0\0\0\0\0" + bytes(9000),
]

keys = st.binary(min_size=1, max_size=120)
commits = st.lists(
    st.lists(st.tuples(keys, st.none() | st.integers(0, len(VALUES) - 1)), max_size=40), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(commits=commits)
@example(commits=[[(b"key", 4), (b"key", 0)]])
def test_the_same_is_found_as_by_the_engine(tmp_path_factory, commits):
    directory = tmp_path_factory.mktemp("database")
    with lmdb.open(str(directory), map_size=1 << 28, sync=False) as env:
        for commit in commits:
            with env.begin(write=True) as txn:
                for key, value in commit:
                    if value is None:
                        txn.delete(key)
                    else:
                        txn.put(key, VALUES[value])
    expected = [(key, len(value), header_of(value)) for key, value in records(directory).items()]
    assert found_in(directory) == expected
    with Unfinished(str(directory)) as database:
        assert database.count() == len(expected)


def test_a_tree_of_several_levels(tmp_path):
    chosen = random.Random(7)
    expected = {}
    with lmdb.open(str(tmp_path), map_size=1 << 28, sync=False) as env:
        for _ in range(30):
            with env.begin(write=True) as txn:
                for _ in range(200):
                    key = f"{chosen.randrange(10**40):0{chosen.randrange(41, 400)}}".encode()
                    expected[key] = chosen.choice(VALUES)
                    txn.put(key, expected[key])
        assert env.stat()["depth"] >= 3
    assert [record.key for record in found_in(tmp_path)] == sorted(expected)


def test_what_is_added_behind_the_end_is_left_to_the_next_reader(tmp_path):
    with lmdb.open(str(tmp_path), map_size=1 << 24) as env:
        with env.begin(write=True) as txn:
            for index in range(500):
                txn.put(b"%03d" % index, b"")
        with Unfinished(str(tmp_path)) as database:
            found = [next(reading := database.records())]
            with env.begin(write=True) as txn:
                txn.put(b"499a", b"")
            found += reading
    assert [record.key for record in found] == [b"%03d" % index for index in range(500)]


def test_damaged_pages_are_refused(tmp_path):
    chosen = random.Random(11)
    with lmdb.open(str(tmp_path / "sound"), map_size=1 << 28) as env, env.begin(write=True) as txn:
        for index in range(400):
            txn.put(f"{index:0{chosen.randrange(4, 60)}}".encode(), chosen.choice(VALUES))
    sound = (tmp_path / "sound" / DATA).read_bytes()
    (tmp_path / "harmed").mkdir()
    refused = 0
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(chosen.randrange(1, 40)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        if chosen.random() < 0.2:
            del data[chosen.randrange(len(data)) :]
        (tmp_path / "harmed" / DATA).write_bytes(data)
        try:
            found_in(tmp_path / "harmed")
        except TargetError as error:
            assert "harmed: the database is damaged" in str(error)
            refused += 1
    assert refused > 30


# ---- beside a writer ---------------------------------------------------------

WRITER = """
import random, sys, time
import lmdb
directory, kind, commits, each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
order = list(range(commits * each))
if kind == "anywhere":
    random.Random(5).shuffle(order)
with lmdb.open(directory, map_size=1 << 32, sync=False) as env:
    for commit in range(commits):
        with env.begin(write=True) as txn:
            for number in order[commit * each : (commit + 1) * each]:
                # Small values and large ones, so that pages of one kind become the other.
                size = (number * 2654435761) % 20011 if number % 3 else number % 700
                txn.put(b"%08d" % number, b"%08d" % number * (size // 8))
        if commit == 0:
            print("begun", flush=True)
        if commit % 50 == 0:
            time.sleep(0.05)
"""
COMMITS, EACH = 4000, 3


def length_of(number):
    size = (number * 2654435761) % 20011 if number % 3 else number % 700
    return size // 8 * 8


@pytest.fixture(params=["appends", "anywhere"])
def writer(request, tmp_path):
    """A process that writes to a database in small commits, and the order of its records."""
    (tmp_path / "growing").mkdir()
    words = [sys.executable, "-c", WRITER, str(tmp_path / "growing"), request.param]
    process = subprocess.Popen([*words, str(COMMITS), str(EACH)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    order = list(range(COMMITS * EACH))
    if request.param == "anywhere":
        random.Random(5).shuffle(order)
    yield process, tmp_path / "growing", order
    process.kill()
    process.communicate()


def test_what_is_read_beside_a_writer_was_committed(writer):
    process, directory, order = writer
    readings = 0
    while process.poll() is None:
        with Unfinished(str(directory)) as database:
            before = database.count()
            found = [record._replace(header=None) for record in database.records()]
            after = database.count()
        numbers = [int(record.key) for record in found]
        assert all(earlier < later for earlier, later in pairwise(numbers))
        assert [record.size for record in found] == list(map(length_of, numbers))
        # All that had been committed before, and nothing that was not committed at last.
        end = max(numbers)
        assert {number for number in order[:before] if number <= end} <= set(numbers)
        assert set(numbers) <= set(order[:after])
        assert max(order[:before]) <= end
        readings += before < len(order)
    assert readings > 3


def test_a_database_that_grows_can_be_opened(writer):
    process, directory, _ = writer
    opened = 0
    while process.poll() is None:
        with open_reading(str(directory)) as env, env.begin():
            opened += 1
    assert opened > 20


# ---- beside an encoder -------------------------------------------------------

# A real encoder, in small commits, so that there are many moments to look at it.
SLOW = """
import sys, time
from rs_tensor_encoder.encoding import batching as batches
from rs_tensor_encoder.storage import writer as database
from rs_tensor_encoder.cli import main
batches.BATCH = 200_000
append = database.Writer.append
def slow(*words):
    append(*words)
    time.sleep(0.002)
database.Writer.append = slow
sys.exit(main(sys.argv[1:]))
"""


def slowly(source, target, *options):
    words = [sys.executable, "-c", SLOW, "--bigearthnet-s1-root", str(source), str(target), "-q"]
    return subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL)


def test_info_and_check_beside_an_encoder(run, many_patches, tmp_path):
    source = ["--bigearthnet-s1-root", many_patches]
    assert slowly(many_patches, tmp_path / "undisturbed").wait(PATIENCE) == 0
    target = tmp_path / "out"
    process = slowly(many_patches, target)
    last = growing = 0
    refused = set()
    while process.poll() is None:
        if partial_of(str(target)) is None:
            time.sleep(0.001)
            continue
        outcome = run("info", target, "--json", "-q")
        assert (outcome.code, outcome.err) == (0, "")
        found = json.loads(outcome.out)
        assert found["being_written"] == (found["target"] == f"{target}.partial")
        assert found["state"] == (
            "partial, being written" if found["being_written"] else "complete"
        )
        assert found["patches"] >= last
        last = found["patches"]
        assert {tensor["name"]: tensor["patches"] for tensor in found["tensors"]} == (
            {"VH": last, "VV": last} if last else {}
        )
        assert found["other"] == 0
        growing += 0 < last < 2000
        verbs = [["check", "--digests"], ["check", *source, "--workers", "1"]]
        for words in verbs if growing in {1, 10} else []:
            outcome = run(*words, target, "-q")
            refused.add((words[1], outcome.code))
            if outcome.code:
                assert outcome.code == 4
                assert outcome.err == (
                    f"Error: {target}: an encoder is writing to it (in {target}.partial); check it "
                    "when that has ended, and see with the verb info what there is so far\n"
                )
    assert process.returncode == 0
    assert growing >= 10
    assert {("--digests", 4), (source[0], 4)} <= refused
    # Whoever looks changes nothing.
    for name in (DATA, "rs-tensor-encoder.digests"):
        assert (target / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_info_says_that_it_grows(run, many_patches, tmp_path):
    process = slowly(many_patches, tmp_path / "out")
    data = tmp_path / "out.partial" / DATA
    while process.poll() is None and size_of(data) <= 1e6:
        time.sleep(0.001)
    outcome = run("info", tmp_path / "out", "-q")
    process.kill()
    process.wait()
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == f"{tmp_path}/out.partial: partial, being written"
    assert " patches so far, " in lines[1]
    outcome = run("info", tmp_path / "out", "-q")
    assert outcome.out.startswith(f"{tmp_path}/out.partial: partial, not complete\n")
    assert "so far" not in outcome.out


@pytest.mark.parametrize("made", ["nothing", "lock", "empty"])
@pytest.mark.parametrize("target", [None, "empty"])
def test_info_of_what_has_only_just_begun(run, tmp_path, made, target):
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    if target is not None:
        out.mkdir()
    with locked(str(partial)):
        if made != "nothing":
            (partial / "lock.mdb").touch()
        if made == "empty":
            (partial / DATA).touch()
        outcome = run("info", out, "--json")
        assert (outcome.code, outcome.err) == (0, "")
        found = json.loads(outcome.out)
        assert (found["state"], found["being_written"]) == ("partial, being written", True)
        assert (found["patches"], found["bytes"], found["tensors"]) == (0, 0, [])
        assert run("info", out).out.startswith(f"{partial}: partial, being written\n0 patches")
        assert run("info", "--untrusted", out).code == 0
        for path in (out, partial):
            outcome = run("check", "--digests", path)
            assert outcome.code == 4


@pytest.mark.parametrize("locked_before", [False, True])
def test_an_end_that_comes_while_it_is_looked_at(
    run, bigearthnet, tmp_path, monkeypatch, locked_before
):
    target = tmp_path / "out"
    stop = threading.Event()
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    encode(bigearthnet, str(target), stop=stop, progress=lambda *_: stop.set())

    def meanwhile(_):
        if partial_of(str(target)) is not None:
            encode(bigearthnet, str(target))
            return locked_before
        return False

    monkeypatch.setattr(unfinished, "being_written", meanwhile)
    found = json.loads(run("info", target, "--json", "-q").out)
    assert (found["target"], found["state"]) == (str(target), "complete")
    assert (found["patches"], found["being_written"]) == (12, False)


# ---- asking for the lock -----------------------------------------------------


def test_who_asks_for_the_lock_keeps_no_encoder_out(tmp_path):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "rs-tensor-encoder.json").touch()
    code = (
        "import sys\n"
        "from rs_tensor_encoder.storage.unfinished import being_written\n"
        "print(flush=True)\n"
        "while True: being_written(sys.argv[1])\n"
    )
    asking = [
        subprocess.Popen([sys.executable, "-c", code, str(partial)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for process in asking:
            process.stdout.readline()
        for _ in range(500):
            with locked(str(partial)):
                assert being_written(str(partial))
    finally:
        for process in asking:
            process.kill()
            process.communicate()
    assert being_written(str(partial)) is False
    with locked(str(partial)), pytest.raises(TargetError, match="another encoder is writing"):
        locked(str(partial)).__enter__()


def test_an_encoder_asks_again_for_a_lock_that_is_held_for_a_moment(tmp_path, monkeypatch):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    asking = os.open(partial, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            os.close(asking)

    monkeypatch.setattr(locking.time, "sleep", wait)
    with locked(str(partial)):
        assert len(waits) == 3


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(run, bigearthnet, tmp_path, monkeypatch, number):
    stop = threading.Event()
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    encode(bigearthnet, str(tmp_path / "out"), stop=stop, progress=lambda *_: stop.set())

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(unfinished.fcntl, "flock", refuse)
    outcome = run("info", tmp_path / "out", "--json", "-q")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["state"], found["being_written"]) == ("partial, not complete", None)
    assert 0 < found["patches"] < 12


def test_where_there_is_nothing(run, tmp_path):
    assert being_written(str(tmp_path / "out.partial")) is False
    assert partial_of(str(tmp_path / "out")) is None
    Path(tmp_path / "out.partial").mkdir()
    outcome = run("info", tmp_path / "out")
    assert outcome.code == 4
    assert "no database here" in outcome.err
