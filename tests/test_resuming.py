"""What an earlier run has left is held, cleared away and gone on with in the right order."""

import os
import threading
from pathlib import Path

import lmdb
import pytest

from oracles import records
from rs_tensor_encoder.encoding import encode as encode_module
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import target
from rs_tensor_encoder.storage.digest_file import Digests, digest_of
from rs_tensor_encoder.storage.journal import Journal
from rs_tensor_encoder.storage.writer import Writer


def interrupted(plan, path, monkeypatch):
    """Stop behind the first of many commits."""
    stop = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1)
        report = encode(plan, str(path), stop=stop, progress=lambda *_: stop.set())
    assert report.interrupted
    return report


def test_a_partial_target_is_held_by_one_encoder(tmp_path):
    partial = str(tmp_path / "out.partial")
    with (
        target.locked(partial),
        pytest.raises(TargetError, match="another encoder is writing to it"),
        target.locked(partial),
    ):
        pytest.fail("two hold it")
    with target.locked(partial):
        pass


@pytest.mark.parametrize("kills", range(4))
def test_a_death_while_what_is_left_is_cleared_away(bigearthnet, tmp_path, monkeypatch, kills):
    """The next run still knows what it has before it, and that it may go."""
    interrupted(bigearthnet, tmp_path / "out", monkeypatch)
    remove, removed = os.remove, []

    def dying(path):
        if len(removed) == kills:
            raise KeyboardInterrupt
        remove(path)
        removed.append(os.path.basename(path))

    with monkeypatch.context() as patch:
        patch.setattr(target.os, "remove", dying)
        with pytest.raises(KeyboardInterrupt):
            encode(bigearthnet, str(tmp_path / "out"), restart=True)
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert report.complete
    assert len(records(tmp_path / "out")) == 12


def test_an_interruption_with_work_under_way_is_not_an_end(bigearthnet, tmp_path, monkeypatch):
    """All batches are cut and handed out when it comes: what they become is not waited for."""
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    counts = []
    for stopped in range(1, 13):
        stop = threading.Event()
        done = []

        def progress(patches, _, stop=stop, done=done, stopped=stopped):
            done.append(patches)
            if len(done) == stopped:
                stop.set()

        path = tmp_path / f"{stopped}"
        report = encode(bigearthnet, str(path), workers=16, stop=stop, progress=progress)
        assert report.complete == (report.encoded == 12)
        assert report.interrupted == (not report.complete)
        assert path.exists() == report.complete
        counts.append(report.encoded)
        if report.complete:
            break
    assert counts[0] < 12
    assert counts[-1] == 12


@pytest.mark.parametrize("key", [b"A", b"S1A_Z", b"S2A_Z", b"zzz", b"\xff"])
def test_records_behind_the_last_patch_are_foreign_too(bigearthnet, tmp_path, monkeypatch, key):
    """Before the first one, in between, and behind the last one."""
    interrupted(bigearthnet, tmp_path / "out", monkeypatch)
    with lmdb.open(f"{tmp_path}/out.partial") as env, env.begin(write=True) as txn:
        txn.put(key, b"x")
    with pytest.raises(TargetError, match="1 record that the sources do not have any more"):
        encode(bigearthnet, str(tmp_path / "out"))


def test_an_entry_without_a_record_is_not_evidence(plan_of, own_sample, tmp_path, monkeypatch):
    """Commits that did not come about, of patches that have become bad since then."""
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    original = Writer.append
    count = 0

    def append(self, batch):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1)
        patch.setattr(encode_module.Writer, "append", append)
        with pytest.raises(KeyboardInterrupt):
            encode(plan, str(tmp_path / "out"))
    second = plan.patches[1]
    with Journal(str(tmp_path / "out.partial")) as notes:
        assert [entry[0] for entry in notes.entries()][-1] == second.key
    for path in Path(plan.locate(second)).iterdir():
        path.write_bytes(b"")
    assert encode(plan, str(tmp_path / "out"), skip_failed=True).complete
    entries = list(Digests(str(tmp_path / "out" / "rs-tensor-encoder.digests")))
    found = records(tmp_path / "out")
    assert len(found) == 3
    assert [(entry.key, entry.digest) for entry in entries] == [
        (key, digest_of(value)) for key, value in found.items()
    ]
