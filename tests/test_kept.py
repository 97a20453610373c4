"""Going on: what holds is kept, what was changed or damaged is made again, and it is said."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import lmdb
import pytest
import safetensors.numpy

from oracles import records
from rs_tensor_encoder.encoding import reuse
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import PatchError, SourceError, TargetError
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from rs_tensor_encoder.storage import journal, target
from rs_tensor_encoder.storage.digest_file import Digests, digest_of
from rs_tensor_encoder.storage.manifest import Manifest
from tiff_factory import ramp, strips
from trees import SIBLINGS


@pytest.fixture
def plan(plan_of, own_sample):
    return plan_of(bigearthnet_s1=own_sample.sentinel_1, bigearthnet_s2=own_sample.sentinel_2)


@pytest.fixture
def begun(plan, tmp_path, monkeypatch):
    """All eight patches are in the partial database, but the run was not finished."""
    partly(plan, tmp_path / "out", monkeypatch, 8)
    return tmp_path / "out"


def partly(plan, path, monkeypatch, count):
    """Encode some patches, then stop."""
    with monkeypatch.context() as patch:
        patch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1)
        patch.setattr(target, "verify", lambda _: ["stopped by the test"])
        stop = threading.Event()
        done = []

        def progress(patches, _):
            done.append(patches)
            if len(done) == count:
                stop.set()

        try:
            report = encode(plan, str(path), stop=stop, progress=progress)
        except OSError as error:
            assert "stopped by the test" in str(error)
        else:
            assert report.interrupted
    assert os.listdir(path.parent / f"{path.name}.partial")


def right(plan, path):
    """Compare with a run that nothing disturbed."""
    whole = path.parent / "whole"
    encode(plan, str(whole))
    assert records(path) == records(whole)
    sidecars = [(place / "rs-tensor-encoder.digests").read_bytes() for place in (path, whole)]
    assert sidecars[0] == sidecars[1]
    assert sorted(os.listdir(path)) == sorted(os.listdir(whole))
    one, other = (Manifest.load(str(place)) for place in (path, whole))
    assert (one.tensors, one.bytes, one.digests) == (other.tensors, other.bytes, other.digests)


def file_of(plan, index, ending):
    (found,) = Path(plan.locate(plan.patches[index])).glob(f"*{ending}.tif")
    return found


def test_what_was_not_touched_is_not_done_again(plan, begun):
    # Looked at and read is not changed; other times than that of the last change do not count.
    path = file_of(plan, 0, "_VV")
    stat = path.stat()
    path.read_bytes()
    os.utime(path, ns=(stat.st_atime_ns + 10**9, stat.st_mtime_ns))
    path.chmod(0o600)
    report = encode(plan, str(begun))
    assert (report.kept, report.encoded, report.notes) == (8, 0, [])
    right(plan, begun)


def rewrite(path):
    """Put the pixels of the neighbour in the place of a file's; size and name stay the same."""
    other = path.parent.parent / path.parent.name.replace("_48", "_49")
    path.write_bytes((other / path.name.replace("_48", "_49")).read_bytes())


def touch(path):
    path.touch()


def turn_back(path):
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 1))


def lengthen(path):
    stat = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def rename(path):
    path.rename(path.with_suffix(".TIF"))


def shadow(path):
    """A file with an extension that comes later was read; now there is one that comes first."""
    shutil.copy2(path, path.with_suffix(".tiff"))
    path.rename(path.with_suffix(".TIF"))


@pytest.mark.parametrize("change", [rewrite, touch, turn_back, lengthen, rename, shadow])
def test_edited_files_are_noticed(plan, begun, change):
    # The first patch has the tile _48 here, and its neighbour the tile _49.
    change(file_of(plan, 0, "_VH"))
    report = encode(plan, str(begun))
    assert (report.kept, report.encoded) == (7, 1)
    assert report.notes[-1] == (
        "the files of 1 patch were changed since they had been encoded, for example "
        f"{plan.locate(plan.patches[0])}: encoded again"
    )
    right(plan, begun)


def test_edits_between_more_than_two_runs(plan, tmp_path, monkeypatch):
    path = tmp_path / "out"
    for index, count in enumerate((3, 2, 1)):
        partly(plan, path, monkeypatch, count)
        file_of(plan, index, "_VV").touch()
    report = encode(plan, str(path))
    assert report.complete
    right(plan, path)


def test_a_file_that_has_gone_is_a_failure_not_a_memory(plan, begun):
    path = file_of(plan, 0, "_VV")
    path.unlink()
    report = encode(plan, str(begun))
    assert not report.complete
    assert (report.kept, report.encoded) == (7, 0)
    assert [error.path for _, error in report.failures] == [str(path)]


def test_a_file_that_cannot_be_looked_at_changes_nothing(plan, begun, monkeypatch):
    path = begun.parent / "out.partial" / "data.mdb"
    before = path.read_bytes()

    class Blind:
        def marks(self, files):
            return [PatchError("x", "cannot be looked at: Input/output error", 5)] * len(files)

    with monkeypatch.context() as patch:
        patch.setattr(reuse, "new_encoder", lambda _: Blind())
        with pytest.raises(SourceError, match="nothing is lost"):
            encode(plan, str(begun))
    assert path.read_bytes() == before
    assert encode(plan, str(begun)).kept == 8


def test_records_that_are_not_what_was_written(plan, begun):
    keys = [patch.key for patch in plan.patches]
    with lmdb.open(f"{begun}.partial") as env, env.begin(write=True) as txn:
        value = bytearray(txn.get(keys[1]))
        value[-1] ^= 1
        txn.put(keys[1], bytes(value))
        txn.put(keys[3], b"")
        txn.put(keys[5], bytes(txn.get(keys[6])))
    report = encode(plan, str(begun))
    assert (report.kept, report.encoded) == (5, 3)
    assert "the last run had meant to write 3 records otherwise" in report.notes[-1]
    right(plan, begun)


@pytest.mark.parametrize(("left", "known"), [(0, 0), (100, 0), (500, 5)])
def test_records_of_which_the_journal_knows_nothing(plan, begun, left, known):
    os.truncate(f"{begun}.partial/rs-tensor-encoder.journal", left)
    report = encode(plan, str(begun))
    assert report.kept == known
    assert report.complete
    right(plan, begun)


@pytest.fixture
def finished(plan, tmp_path, monkeypatch):
    """All is complete but for the name: the rename has failed."""

    def refused(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(target.os, "rename", refused)
        with pytest.raises(TargetError, match="cannot be written: Input/output error"):
            encode(plan, str(tmp_path / "out"))
    assert Manifest.load(f"{tmp_path}/out.partial").complete
    return tmp_path / "out"


@pytest.mark.parametrize("edited", [0, 1])
def test_complete_but_for_its_name(plan, finished, edited):
    if edited:
        rewrite(file_of(plan, 0, "_VH"))
    report = encode(plan, str(finished))
    assert (report.kept, report.encoded) == (8 - edited, edited)
    assert ("were changed" in "".join(report.notes)) == bool(edited)
    right(plan, finished)


def test_complete_but_for_its_name_and_without_a_journal(plan, finished):
    os.remove(f"{finished}.partial/rs-tensor-encoder.journal")
    report = encode(plan, str(finished))
    assert (report.kept, report.encoded) == (8, 0)
    right(plan, finished)


def test_a_journal_that_a_kill_has_left_does_no_harm(plan, tmp_path, monkeypatch, run):
    def failing(error):
        def remove(path):
            if os.path.basename(path) == journal.NAME:
                assert os.path.dirname(path) in {str(tmp_path / "out"), str(tmp_path / "other")}
                raise error
            original(path)

        return remove

    original = os.remove
    with monkeypatch.context() as patch:
        patch.setattr(target.os, "remove", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            encode(plan, str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out").count(journal.NAME) == 1
    assert run("info", tmp_path / "out").code == 0
    assert run("check", "--digests", tmp_path / "out").code == 0
    # Nor where it cannot be removed.
    monkeypatch.setattr(target.os, "remove", failing(OSError(errno.EIO, "")))
    assert encode(plan, str(tmp_path / "other")).complete


def test_a_stop_while_looking_keeps_all(plan, begun, monkeypatch):
    monkeypatch.setattr(reuse, "_CHUNK", 2)
    stop = threading.Event()
    report = encode(plan, str(begun), kept=lambda *_: stop.set(), stop=stop)
    assert report.interrupted
    assert not report.complete
    assert encode(plan, str(begun)).kept == 8


def test_every_digest_is_that_of_the_record(plan, tmp_path):
    encode(plan, str(tmp_path / "out"))
    found = records(tmp_path / "out")
    entries = list(Digests(str(tmp_path / "out" / "rs-tensor-encoder.digests")))
    assert [entry.key for entry in entries] == list(found)
    for key, length, digest in entries:
        assert (length, digest) == (len(found[key]), digest_of(found[key]))


@pytest.fixture
def own(tmp_path):
    """Images with masks and labels in sibling directories; only half of them have one."""
    for place, names in [("images", "abcdef"), ("masks", "ab"), ("labels", "bc")]:
        (tmp_path / "tree" / place).mkdir(parents=True)
        for name in names:
            strips(ramp()).write(tmp_path / "tree" / place / f"{name}.tif")
    layout = parse("own", SIBLINGS.encode()).asking(["mask", "label"])
    return discover([Source(layout, str(tmp_path / "tree"))])


def test_optional_files_and_those_of_other_directories_are_kept(own, tmp_path, monkeypatch):
    partly(own, tmp_path / "out", monkeypatch, 6)
    report = encode(own, str(tmp_path / "out"))
    assert (report.kept, report.encoded, report.notes) == (6, 0, [])
    right(own, tmp_path / "out")
    found = records(tmp_path / "out")
    names = [set(safetensors.numpy.load(value)) - {"A"} for value in found.values()]
    assert names == [{"mask"}, {"mask", "label"}, {"label"}, set(), set(), set()]


@pytest.mark.parametrize(
    ("change", "patch"),
    [
        (lambda tree: (tree / "masks" / "a.tif").touch(), "a"),
        (lambda tree: (tree / "masks" / "b.tif").unlink(), "b"),
        # Of the same size and time: only what it is called has changed.
        (lambda tree: (tree / "masks" / "a.tif").rename(tree / "labels" / "a.tif"), "a"),
        (lambda tree: shutil.copy2(tree / "labels" / "c.tif", tree / "masks" / "d.tif"), "d"),
        (lambda tree: (tree / "masks" / "a.tif").rename(tree / "masks" / "a.TIF"), "a"),
    ],
    ids=["edited", "removed", "moved", "added", "renamed"],
)
def test_a_change_of_what_a_patch_has_is_noticed(own, tmp_path, monkeypatch, change, patch):
    partly(own, tmp_path / "out", monkeypatch, 6)
    change(tmp_path / "tree")
    report = encode(own, str(tmp_path / "out"))
    assert (report.kept, report.encoded) == (5, 1)
    place = tmp_path / "tree" / "images" / patch
    assert report.notes[-1].endswith(
        f"changed since they had been encoded, for example {place}: encoded again"
    )
    right(own, tmp_path / "out")


def test_going_on_with_requests(run, own, tmp_path):
    tree = Path(own.sources[0].root)
    (tmp_path / "own.toml").write_text(SIBLINGS)
    whole = (tree / "images" / "e.tif").read_bytes()
    (tree / "images" / "e.tif").write_bytes(b"")
    command = ["--layout", tmp_path / "own.toml", tree, "--with", "mask", tmp_path / "out", "-q"]
    assert run(*command).code == 1
    (tree / "images" / "e.tif").write_bytes(whole)
    (tree / "masks" / "a.tif").touch()
    # Was not asked for, so it does not count.
    (tree / "labels" / "b.tif").touch()
    outcome = run(*command, "--json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["kept"], found["encoded"]) == (0, 4, 2)


def test_what_goes_between_the_plan_and_the_reading_is_named(plan, tmp_path):
    path = file_of(plan, 0, "_VH")
    path.unlink()
    place = plan.locate(plan.patches[1])
    shutil.rmtree(place)
    report = encode(plan, str(tmp_path / "out"))
    assert not report.complete
    assert [str(error) for _, error in report.failures] == [
        f"{path}: there is no such file",
        f"{place}: there is no such file",
    ]


def test_a_target_made_meanwhile_leaves_what_tells_edited_files(plan, tmp_path, monkeypatch):
    """The marks of the files stay until the target has its name."""
    out = tmp_path / "out"
    original = target.verify

    def verify(path):
        out.mkdir()
        (out / "data.mdb").touch()
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(target, "verify", verify)
        with pytest.raises(OSError, match="was made meanwhile"):
            encode(plan, str(out))
    shutil.rmtree(out)
    files = plan.files(plan.patches[0])
    path = next(Path(os.fsdecode(files.directory)).glob("*.tif"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    report = encode(plan, str(out))
    assert report.encoded == 1
    assert any("were changed" in note for note in report.notes)
    right(plan, out)
