"""What is written when: the order of real calls, of the journal and its commits, and of reruns."""

import os
import shutil
from pathlib import Path

import pytest

from harm import Range, compiled, write_source
from oracles import records
from rs_tensor_encoder.encoding import encode as encode_module
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import journal
from rs_tensor_encoder.storage.environment import verify
from rs_tensor_encoder.storage.journal import Journal
from rs_tensor_encoder.storage.manifest import Manifest
from rs_tensor_encoder.storage.writer import Writer

# ---- the order of real calls ---------------------------------------------------------


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The calls of a run that nothing disturbed, as (kind, name, other name), and its target."""
    directory = tmp_path_factory.mktemp("commits")
    shim = compiled(directory)
    if shim is None:
        pytest.skip("the log of system calls needs Linux and a C compiler")
    root = write_source(directory / "source", 40)
    (directory / "place").mkdir()
    field = Range(root, directory / "place", {}, shim)
    assert field.run(env=field.faults(calls="open,write,sync,rename")).code == 0
    return [(kind, name, other) for kind, _, name, other in field.calls()], field


def places(calls, kind, name):
    """When calls of a kind on a file came."""
    return [at for at, call in enumerate(calls) if call[:2] == (kind, str(name))]


def test_every_file_of_a_target_is_synced_behind_its_last_write_and_before_the_rename(calls):
    calls, field = calls
    (final,) = [
        at
        for at, call in enumerate(calls)
        if call == ("rename", str(field.partial), str(field.target))
    ]
    written = {Path(name) for kind, name, _ in calls if kind == "write"}
    names = {path.name.removesuffix(".new") for path in written if path.parent == field.partial}
    assert {"data.mdb", journal.NAME, "rs-tensor-encoder.digests"} <= names
    for path in sorted(written):
        # LMDB's lock file holds nothing that outlives the process.
        if path.name == "lock.mdb":
            continue
        writes, syncs = places(calls, "write", path), places(calls, "sync", path)
        if path.name == journal.NAME:
            # Whoever reads it for the digests begins a run in it, which nobody misses.
            assert calls[writes.pop() - 1][:2] == ("open", str(path))
        assert syncs, f"{path.name} was never synced"
        assert writes[-1] < syncs[-1] < final, path.name


def test_the_names_in_a_directory_are_synced_when_they_have_been_given(calls):
    calls, field = calls
    renames = [
        (at, call[1], call[2]) for at, call in enumerate(calls) if call[0] == "rename" and call[2]
    ]
    assert len(renames) >= 4
    for at, old, new in renames:
        synced = places(calls, "sync", os.path.dirname(new))
        assert synced, new
        assert at < synced[-1]
        if new != str(field.target):
            # No name is given to what is not on the disk.
            before = calls[:at]
            assert places(before, "write", old)[-1] < places(before, "sync", old)[-1]
    final = renames[-1]
    assert final[2] == str(field.target)
    assert places(calls, "sync", field.partial)[-1] < final[0]
    assert final[0] < places(calls, "sync", field.place)[-1]


def test_the_manifest_that_says_complete_comes_last(calls):
    """Behind the sync of all that it speaks of, and of the directory that has the digests."""
    calls, field = calls
    manifest = field.partial / "rs-tensor-encoder.json.new"
    begun, ended = (places(calls, "write", manifest)[at] for at in (0, -1))
    data = field.data
    assert begun < places(calls, "write", data)[-1] < places(calls, "sync", data)[-1] < ended
    assert places(calls, "sync", field.partial / journal.NAME)[-1] < ended
    digests = field.partial / "rs-tensor-encoder.digests.new"
    assert places(calls, "sync", digests)[-1] < ended


# ---- the journal and the commits ---------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch):
    """A commit per patch."""
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1)


def entries_of(partial, directory):
    """The keys that a journal has, read from a copy of its file."""
    directory.mkdir(exist_ok=True)
    shutil.copy(os.path.join(partial, journal.NAME), directory)
    with Journal(str(directory)) as copied:
        return {entry[0] for entry in copied.entries()}


@pytest.mark.usefixtures("small_batches")
def test_every_record_has_its_entry_before_it_is_committed(bigearthnet, tmp_path, monkeypatch):
    original = Writer.append
    commits = []

    def append(self, batch):
        noted = entries_of(self.directory, tmp_path / "copy")
        assert {key for key, _ in batch} <= noted
        original(self, batch)
        commits.append(len(batch))

    monkeypatch.setattr(encode_module.Writer, "append", append)
    assert encode(bigearthnet, str(tmp_path / "out")).complete
    assert commits == [1] * 12


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("commits", [1, 5, 11])
def test_a_death_right_behind_a_commit_costs_nothing(bigearthnet, tmp_path, monkeypatch, commits):
    original = Writer.append
    done = []

    def append(self, batch):
        original(self, batch)
        done.append(batch[0][0])
        if len(done) == commits:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encode_module.Writer, "append", append)
        with pytest.raises(KeyboardInterrupt):
            encode(bigearthnet, str(tmp_path / "out"))
    assert list(records(tmp_path / "out.partial")) == done
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert (report.kept, report.encoded) == (commits, 12 - commits)
    assert report.notes == []


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("gaps", [(0, 2), (1, 4), (1, 10), (0, 5, 11), (2, 3, 7), range(0, 12, 2)])
def test_a_rerun_fills_gaps_in_a_commit_each(plan_of, own_copies, tmp_path, gaps):
    """Each commit of the rerun lies between records that are there."""
    plan = plan_of(bigearthnet_s1=own_copies)
    paths = [Path(plan.files(plan.patches[gap]).paths[0] + ".tif") for gap in gaps]
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_bytes(b"")
    report = encode(plan, str(tmp_path / "out"))
    assert (report.encoded, len(report.failures)) == (12 - len(gaps), len(gaps))
    for path, data in zip(paths, whole, strict=True):
        path.write_bytes(data)
    report = encode(plan, str(tmp_path / "out"))
    assert (report.complete, report.kept, report.encoded) == (True, 12 - len(gaps), len(gaps))
    encode(plan, str(tmp_path / "once"))
    assert records(tmp_path / "out") == records(tmp_path / "once")
    assert verify(str(tmp_path / "out")) == []


@pytest.fixture
def own_copies(tmp_path):
    """Twelve Sentinel-1 patches that the test may damage."""
    return write_source(tmp_path / "source", 12)


def test_records_come_late_again_and_again(tmp_path):
    """A commit in between must not be taken for the last one by the next."""
    with Writer(str(tmp_path), 1 << 20) as writer:
        for key in (b"a", b"c", b"g", b"b", b"d", b"e", b"f", b"h", b"0", b"i"):
            writer.append([(key, memoryview(key * 3000))])
        assert b"".join(writer.keys()) == b"0abcdefghi"
        assert all(bytes(value) == key * 3000 for key, value in writer.records())
    assert verify(str(tmp_path)) == []
    # A new writer knows what is the last record.
    with Writer(str(tmp_path), 1 << 20) as writer:
        writer.append([(b"hh", memoryview(b"x"))])
        with pytest.raises(TargetError, match="were not added"):
            writer.append([(b"i", memoryview(b"x"))])
        writer.append([(b"j", memoryview(b"x"))])
        assert b"".join(writer.keys()) == b"0abcdefghhhij"


# ---- calls that do less than they are asked to ---------------------------------------------


@pytest.fixture
def short_calls(monkeypatch):
    """Have the system write and read a part of what it is asked to, but for the last byte."""
    write, pread = os.write, os.pread
    calls = {"write": 0, "pread": 0}

    def short_write(file, data):
        calls["write"] += 1
        return write(file, data[: max(1, len(data) // 2)])

    def short_pread(file, size, at):
        calls["pread"] += 1
        return pread(file, max(1, size // 2), at)

    monkeypatch.setattr(os, "write", short_write)
    monkeypatch.setattr(os, "pread", short_pread)
    return calls


def test_a_journal_that_is_written_and_read_in_parts(tmp_path, short_calls):
    keys = [b"%04d" % number for number in range(300)]
    facts = bytes(range(32)) * len(keys)
    with Journal(str(tmp_path)) as written:
        written.append(keys, facts)
        assert [entry[0] for entry in written.entries()] == keys
    size = os.path.getsize(tmp_path / journal.NAME)
    assert size == 12 + 12 + 4 + len(keys) * (32 + 2 + 4)
    assert short_calls["write"] > 10
    assert short_calls["pread"] > 10
    with Journal(str(tmp_path)) as again:
        assert [entry[0] for entry in again.entries()] == keys
        assert os.path.getsize(tmp_path / journal.NAME) == size + 12


@pytest.mark.usefixtures("small_batches")
def test_what_was_written_in_parts_is_gone_on_with(bigearthnet, tmp_path, monkeypatch):
    original = Writer.append
    done = []

    def append(self, batch):
        original(self, batch)
        done.append(batch)
        if len(done) == 6:
            raise KeyboardInterrupt

    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(encode_module.Writer, "append", append)
        patch.setattr(os, "write", lambda file, data: write(file, data[: max(1, len(data) // 2)]))
        with pytest.raises(KeyboardInterrupt):
            encode(bigearthnet, str(tmp_path / "out"))
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert (report.kept, report.encoded) == (6, 6)
    assert Manifest.load(str(tmp_path / "out")).patches == 12


def test_files_that_are_read_in_parts(calls, tmp_path):
    """Each read of a source gives half of what is left: headers and pixels, in one call or many."""
    _, before = calls
    (tmp_path / "place").mkdir()
    field = Range(before.root, tmp_path / "place", {}, before.shim)
    faults = {"calls": "read", "at": 1, "for": 10**6, "how": "short", "under": before.root}
    assert field.run(env=field.faults(**faults)).code == 0
    assert sum(call[1] == "1" for call in field.calls()) > 40 * 2 * 10
    assert records(field.target) == records(before.target)
