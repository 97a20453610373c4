"""The pipeline: values, determinism, resuming, failures."""

import _thread
import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from oracles import rasterio_bands, records, value_of
from rs_tensor_encoder.encoding import encode as encode_module
from rs_tensor_encoder.encoding.batching import cut, estimate
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import OutOfSpaceError, TargetError
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Plan, Source
from rs_tensor_encoder.storage import hosts, locking, target
from rs_tensor_encoder.storage.manifest import Manifest
from tiff_factory import ramp, strips


def expected_records(plan):
    """What the records must be, by rasterio and safetensors alone."""
    found = {}
    for patch in plan.patches:
        source, directory, names = plan.files(patch)
        tensors = {}
        files = plan.sources[source].layout.files
        for name, file in zip(os.fsdecode(names).split("\0"), files, strict=False):
            extension = ".TIF" if name.endswith("IMAGE") else ".tif"
            path = os.path.join(os.fsdecode(directory), name + extension)
            tensors |= zip(file.bands, rasterio_bands(path), strict=True)
        found[patch.key] = value_of(tensors)
    return found


def interrupted(plan, target, *, after):
    """Encode until some batches are committed, then stop as Ctrl-C does."""
    stop = threading.Event()
    done = []

    def progress(patches, _):
        done.append(patches)
        if len(done) == after:
            stop.set()

    report = encode(plan, target, stop=stop, progress=progress)
    assert report.interrupted
    assert not report.complete
    return report


@pytest.fixture
def small_batches(monkeypatch):
    """A batch per patch, a commit per patch or two: a small sample has many."""
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 100_000)


def test_values_are_those_of_rasterio_and_safetensors(plan_of, made_up, tmp_path):
    plan = plan_of(
        bigearthnet_s1=made_up.sentinel_1,
        bigearthnet_s2=made_up.sentinel_2,
        hyspecnet=made_up.hyspecnet,
    )
    report = encode(plan, str(tmp_path / "out"))
    assert report.complete
    assert records(tmp_path / "out") == expected_records(plan)


def test_real_samples(plan_of, samples, tmp_path):
    plan = plan_of(
        bigearthnet_s1=samples / "BigEarthNet" / "BigEarthNet-S1",
        bigearthnet_s2=samples / "BigEarthNet" / "BigEarthNet-S2",
        bigearthnet_reference_maps=samples / "BigEarthNet" / "Reference_Maps",
        hyspecnet=samples / "HySpecNet-11k",
    )
    encode(plan, str(tmp_path / "out"))
    found = records(tmp_path / "out")
    assert found == expected_records(plan)
    lengths = {key[:2]: len(value) for key, value in found.items() if b"reference" not in key}
    # The sizes that the tool's forerunner has for the same patches.
    assert lengths[b"S1"] == 115_344
    assert lengths[b"S2"] == 160_832


def test_what_a_target_is(bigearthnet, tmp_path):
    encode(bigearthnet, str(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["out"]
    names = ["data.mdb", "lock.mdb", "rs-tensor-encoder.digests", "rs-tensor-encoder.json"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    manifest = Manifest.load(str(tmp_path / "out"))
    assert manifest.complete
    assert manifest.patches == len(bigearthnet.patches)
    assert {"name": "B09", "dtype": "U16", "shape": [20, 20], "patches": 6} in manifest.tensors
    # No key but those of patches: readers take every key for one.
    assert records(tmp_path / "out").keys() == {patch.key for patch in bigearthnet.patches}


def test_names_of_patches_never_become_names_of_files(tmp_path):
    layout = parse(
        "any", b"""
        title = "any"
        link = ""
        option = "--any"
        patch = "file"
        path = '[^/]+'
        key = "{name}"
        [[files]]
        path = "{name}.tif"
        bands = ["A"]
        """,
    )  # fmt: skip
    names = ["x..", "~", "a b", "%s%n", "\u00fcber", "x\ny", "-rf", "data.mdb", "$(touch x)", "{n}"]
    (tmp_path / "source").mkdir()
    for name in [*names, "broken"]:
        strips(ramp()).write(tmp_path / "source" / f"{name}.tif")
    (tmp_path / "source" / "broken.tif").write_bytes(b"")
    plan = discover([Source(layout, str(tmp_path / "source"))])
    assert not encode(plan, str(tmp_path / "out")).complete
    ours = {"data.mdb", "lock.mdb", "failures.json"} | {
        f"rs-tensor-encoder.{end}" for end in ("json", "journal")
    }
    assert set(os.listdir(tmp_path / "out.partial")) == ours
    assert encode(plan, str(tmp_path / "out"), skip_failed=True).complete
    assert set(os.listdir(tmp_path)) == {"source", "out"}
    ours = ours - {"rs-tensor-encoder.journal", "failures.json"} | {"rs-tensor-encoder.digests"}
    assert set(os.listdir(tmp_path / "out")) == ours
    assert records(tmp_path / "out").keys() == {name.encode() for name in names}


@pytest.mark.usefixtures("small_batches")
def test_the_file_is_the_same_whatever_the_workers(bigearthnet, tmp_path):
    contents = set()
    for run, workers in enumerate([1, 2, 16, 1]):
        encode(bigearthnet, str(tmp_path / f"{run}"), workers=workers)
        names = ("data.mdb", "rs-tensor-encoder.digests")
        contents.add(tuple((tmp_path / f"{run}" / name).read_bytes() for name in names))
    assert len(contents) == 1


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("after", [1, 3, 5])
def test_an_interrupted_run_is_continued(bigearthnet, tmp_path, after):
    whole = encode(bigearthnet, str(tmp_path / "whole"))
    first = interrupted(bigearthnet, str(tmp_path / "out"), after=after)
    assert 0 < first.encoded < len(bigearthnet.patches)
    assert os.listdir(tmp_path / "out.partial")
    kept = []
    second = encode(bigearthnet, str(tmp_path / "out"), kept=lambda *count: kept.append(count))
    assert second.complete
    assert second.kept == first.encoded
    assert second.encoded == len(bigearthnet.patches) - first.encoded
    assert kept == [(first.encoded, first.bytes)]
    assert records(tmp_path / "out") == records(tmp_path / "whole")
    one, other = (Manifest.load(str(tmp_path / name)) for name in ("out", "whole"))
    assert one.tensors == other.tensors
    assert second.bytes == whole.bytes


@pytest.mark.usefixtures("small_batches")
def test_a_partial_of_other_sources_is_refused(bigearthnet, plan_of, made_up, tmp_path):
    interrupted(bigearthnet, str(tmp_path / "out"), after=1)
    other = plan_of(bigearthnet_s1=made_up.sentinel_1)
    with pytest.raises(TargetError, match="was begun from other sources"):
        encode(other, str(tmp_path / "out"))
    assert encode(other, str(tmp_path / "out"), restart=True).complete
    assert len(records(tmp_path / "out")) == len(other.patches)


@pytest.mark.usefixtures("small_batches")
def test_a_partial_with_records_of_patches_that_are_gone_is_refused(bigearthnet, tmp_path):
    interrupted(bigearthnet, str(tmp_path / "out"), after=3)
    fewer = Plan(bigearthnet.sources, bigearthnet.patches[1:])
    with pytest.raises(TargetError, match="1 record that the sources do not have any more"):
        encode(fewer, str(tmp_path / "out"))


@pytest.mark.usefixtures("small_batches")
def test_after_a_power_loss_it_begins_anew_and_says_so(bigearthnet, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "_QUIET", 0)
    interrupted(bigearthnet, str(tmp_path / "out"), after=2)
    # Killed, not interrupted: the manifest still has the boot it was written in.
    state = Manifest.load(str(tmp_path / "out.partial"))
    assert state.boot is None
    state.boot = "another boot"
    state.save(str(tmp_path / "out.partial"))
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert report.kept == 0
    assert report.complete
    assert "this machine was restarted since the last run, or is another one" in report.notes[-1]
    # Where a system does not tell its boots apart, it is not trusted either.
    monkeypatch.setattr("rs_tensor_encoder.storage.manifest.boot_id", lambda: "unknown")
    interrupted(bigearthnet, str(tmp_path / "two"), after=2)
    state = Manifest.load(str(tmp_path / "two.partial"))
    state.boot = "unknown"
    state.save(str(tmp_path / "two.partial"))
    assert encode(bigearthnet, str(tmp_path / "two")).kept == 0


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("damage", ["truncate", "garbage", "unknown", "manifest"])
def test_a_damaged_partial_is_refused_and_restart_helps(bigearthnet, tmp_path, damage):
    interrupted(bigearthnet, str(tmp_path / "out"), after=2)
    partial = tmp_path / "out.partial"
    data = (partial / "data.mdb").read_bytes()
    if damage == "truncate":
        (partial / "data.mdb").write_bytes(data[: len(data) // 2])
    elif damage == "garbage":
        (partial / "data.mdb").write_bytes(b"x" * len(data))
    elif damage == "unknown":
        (partial / "rs-tensor-encoder.json").unlink()
    else:
        (partial / "rs-tensor-encoder.json").write_text("{")
    with pytest.raises(TargetError, match=r"restart|cannot be understood"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert encode(bigearthnet, str(tmp_path / "out"), restart=True).complete


@pytest.mark.usefixtures("small_batches")
def test_a_disk_that_was_full_at_the_first_page_is_gone_on_with(bigearthnet, tmp_path):
    interrupted(bigearthnet, str(tmp_path / "out"), after=2)
    data = tmp_path / "out.partial" / "data.mdb"
    data.write_bytes(data.read_bytes()[:4096])
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert report.complete
    assert report.kept == 0


def test_a_second_encoder_is_refused(bigearthnet, tmp_path):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    descriptor = os.open(partial, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(TargetError, match="another encoder is writing"):
        encode(bigearthnet, str(tmp_path / "out"))
    # Empty or not, it is the other's.
    assert partial.is_dir()
    os.close(descriptor)
    assert encode(bigearthnet, str(tmp_path / "out")).complete


@pytest.mark.parametrize("becomes", ["out", "elsewhere"])
def test_another_encoder_finishes_while_we_look(bigearthnet, tmp_path, monkeypatch, becomes):
    """Between the look at the target and the lock, the partial one gets another name."""
    (tmp_path / "out.partial").mkdir()
    original = fcntl.flock

    def flock(*arguments):
        (tmp_path / "out.partial").rename(tmp_path / becomes)
        original(*arguments)

    monkeypatch.setattr(locking.fcntl, "flock", flock)
    with pytest.raises(TargetError, match="a moment ago"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert os.listdir(tmp_path) == [becomes]


def test_another_encoder_has_finished_before_we_begin(bigearthnet, tmp_path, monkeypatch):
    original = target.locked

    def locked(partial):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "data.mdb").touch()
        return original(partial)

    monkeypatch.setattr(encode_module, "locked", locked)
    with pytest.raises(TargetError, match="exists already"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["out"]


def test_targets_that_will_not_do(bigearthnet, made_up, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(TargetError, match="exists already"):
            encode(bigearthnet, str(tmp_path / name))
    with pytest.raises(TargetError, match="lies inside the source"):
        encode(bigearthnet, os.path.join(made_up.sentinel_1, "out"))
    (tmp_path / "link").symlink_to(made_up.sentinel_2)
    with pytest.raises(TargetError, match="lies inside the source"):
        encode(bigearthnet, str(tmp_path / "link" / "deep" / "out"))
    with pytest.raises(TargetError, match="cannot be made"):
        encode(bigearthnet, str(tmp_path / "file" / "out"))


def test_too_little_room_is_noticed_before_anything_is_written(bigearthnet, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "rs_tensor_encoder.util.disk_space.os.statvfs",
        lambda _: os.statvfs_result((4096, 1000, 10**6, 100, 100, 0, 0, 0, 0, 255)),
    )
    with pytest.raises(OutOfSpaceError, match="nothing was written"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


# ---- failures ---------------------------------------------------------------


def damage(sample):
    """Break four patches in four ways; return what is wrong with each file."""
    s2 = sorted(Path(sample.sentinel_2).rglob("*_B02.tif"))
    s1 = sorted(Path(sample.sentinel_1).rglob("*_VH.tif"))
    s2[0].unlink()
    s2[1].write_bytes(s2[1].read_bytes()[:-100])
    s2[2].write_text("This is not a TIFF file, it is a text.")
    s1[0].write_bytes(b"")
    return {
        str(s2[0]): "there is no such file",
        str(s2[1]): "cut short or damaged",
        str(s2[2]): "not a TIFF file",
        str(s1[0]): "the file is empty",
    }


def test_bad_patches_do_not_stop_the_others(plan_of, own_sample, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1, bigearthnet_s2=own_sample.sentinel_2)
    good = records_of(plan, tmp_path / "good")
    roots = Path(own_sample.sentinel_1), Path(own_sample.sentinel_2)
    copies = {str(path): path.read_bytes() for root in roots for path in root.rglob("*.tif")}
    reasons = damage(own_sample)
    report = encode(plan, str(tmp_path / "out"))
    assert not report.complete
    assert not (tmp_path / "out").exists()
    assert {error.path for _, error in report.failures} == reasons.keys()
    for _, error in report.failures:
        assert reasons[error.path] in error.reason
    listed = json.loads((tmp_path / "out.partial" / "failures.json").read_text())
    assert [entry["patch"] for entry in listed] == [key for key, _ in report.failures]
    # Mended, the rerun does only what is missing.
    for path in reasons:
        Path(path).write_bytes(copies[path])
    again = encode(plan, str(tmp_path / "out"))
    assert again.complete
    assert again.encoded == 4
    assert records(tmp_path / "out") == good
    assert not (tmp_path / "out" / "failures.json").exists()


def records_of(plan, target):
    encode(plan, str(target))
    return records(target)


def test_skip_failed_finishes_and_remembers(plan_of, own_sample, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1, bigearthnet_s2=own_sample.sentinel_2)
    reasons = damage(own_sample)
    report = encode(plan, str(tmp_path / "out"), skip_failed=True)
    assert report.complete
    assert len(records(tmp_path / "out")) == len(plan.patches) - 4
    manifest = Manifest.load(str(tmp_path / "out"))
    assert {entry["path"] for entry in manifest.left_out} == reasons.keys()


def test_all_patches_bad(plan_of, own_sample, tmp_path):
    for path in Path(own_sample.sentinel_1).rglob("*.tif"):
        path.write_bytes(b"")
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    expected = estimate(plan)
    assert expected.lengths == [0.0]
    assert len(expected.failures) == 4
    assert expected.failures[0].reason == "the file is empty"
    report = encode(plan, str(tmp_path / "out"))
    assert len(report.failures) == 4
    assert not report.complete


def test_a_failed_commit_ends_the_run(bigearthnet, tmp_path, monkeypatch):
    calls = []

    def append(self, batch):
        calls.append(len(batch))
        if len(calls) == 3:
            raise OutOfSpaceError("full")
        original(self, batch)

    original = encode_module.Writer.append
    monkeypatch.setattr(encode_module.Writer, "append", append)
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    with pytest.raises(OutOfSpaceError, match=r"^full$"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert len(calls) == 3
    monkeypatch.undo()
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert report.kept == sum(calls[:2])
    assert report.complete


def test_batches_depend_on_the_plan_alone(bigearthnet):
    patches = bigearthnet.patches * 20
    # About 1 MB a batch: 6 Sentinel-2 or 9 Sentinel-1 patches.
    batches = list(cut(bigearthnet, patches, [115344.0, 160832.0]))
    assert [key for batch in batches for key in batch.keys] == [patch.key for patch in patches]
    assert [files for batch in batches for files in batch.files] == [
        bigearthnet.files(patch) for patch in patches
    ]
    assert all(6 <= len(batch.keys) <= 9 for batch in batches[:-1])
    assert all(batch.size <= 1 << 20 for batch in batches)
    # Where nothing is known of the sizes, batches are small.
    unknown = cut(bigearthnet, patches, [0.0, 0.0])
    assert max(len(batch.keys) for batch in unknown) == 16
    large = list(cut(bigearthnet, bigearthnet.patches, [1e9, 1e9]))
    assert [len(batch.keys) for batch in large] == [1] * len(bigearthnet.patches)


def test_large_values_grow_the_buffer(plan_of, made_up, tmp_path, monkeypatch):
    plan = plan_of(hyspecnet=made_up.hyspecnet, bigearthnet_s1=made_up.sentinel_1)
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1000)
    encode(plan, str(tmp_path / "out"), workers=2)
    assert records(tmp_path / "out") == expected_records(plan)


@pytest.mark.parametrize("workers", [None, 1, 2, 16])
def test_many_small_batches_all_arrive(plan_of, many_patches, tmp_path, monkeypatch, workers):
    """A batch and a commit per patch: whatever the order in which they are done."""
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 1)
    plan = plan_of(bigearthnet_s1=many_patches)
    few = Plan(plan.sources, plan.patches[::4])
    report = encode(few, str(tmp_path / "out"), workers=workers)
    assert report.complete
    assert report.encoded == 500
    assert records(tmp_path / "out").keys() == {patch.key for patch in few.patches}


def test_fewer_threads_than_wanted_do_the_work(bigearthnet, tmp_path, monkeypatch):
    """Of three, one renews the manifest, one writes back, and one encodes: that is enough."""
    start = _thread.start_new_thread
    started = []

    def few(*arguments):
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(start(*arguments))

    monkeypatch.setattr("_thread.start_new_thread", few)
    assert encode(bigearthnet, str(tmp_path / "out"), workers=8).complete
    assert len(started) == 3
