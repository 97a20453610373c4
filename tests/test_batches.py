"""Batches: a buffer that grows keeps its values, and the system's trouble is no bad patch."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from harm import Range, compiled, write_source
from oracles import rasterio_bands, records, value_of
from rs_tensor_encoder.encoding import batching
from rs_tensor_encoder.encoding.batching import encode_batch, larger, new_encoder, refuse_trouble
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import PatchError, SourceError

TROUBLE = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE]


def expected(plan):
    """The value of each Sentinel-1 patch, by rasterio and safetensors alone."""
    found = {}
    for patch in plan.patches:
        vv, vh = (f"{path}.tif" for path in plan.files(patch).paths)
        found[patch.key] = value_of({"VV": rasterio_bands(vv)[0], "VH": rasterio_bands(vh)[0]})
    return found


@pytest.mark.parametrize("needed", [11, 5000, 20_000, 1 << 20])
def test_a_larger_buffer_begins_with_what_was_used(needed):
    chance = np.random.default_rng(needed)
    buffer = chance.integers(0, 256, 10_000, np.uint8)
    for used in (0, 1, 9_999, 10_000):
        new = larger(buffer, used, needed)
        assert len(new) >= max(needed, 20_000)
        assert new[:used].tobytes() == buffer[:used].tobytes()


@pytest.mark.parametrize("room", [0, 115_344, 300_000])
def test_values_that_were_there_before_the_buffer_grew(plan_of, made_up, room):
    """In one call, and again with a buffer that is a little too small for the last value."""
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1)
    files = [plan.files(patch) for patch in plan.patches]
    results, buffer = encode_batch(new_encoder(plan), files, np.full(room, 0xAA, np.uint8))
    values = [buffer[start:stop].tobytes() for start, stop, *_ in results]
    assert values == list(expected(plan).values())


@pytest.mark.parametrize("workers", [1, 4])
def test_one_large_patch_behind_small_ones_of_its_batch(plan_of, own_sample, tmp_path, workers):
    """The whole way to the database: the batch's buffer must grow behind three values."""
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[-1]
    pixels = np.random.default_rng(0).standard_normal((600, 700), "f4")
    tifffile.imwrite(path, pixels)
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    assert path.parent.name.encode() == plan.patches[-1].key
    encode(plan, str(tmp_path / "out"), workers=workers)
    assert records(tmp_path / "out") == expected(plan)


def test_failures_and_values_keep_their_places_while_the_buffer_grows(plan_of, own_sample):
    """The buffer grows behind failed patches, and for each value."""
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    right = expected(plan)
    files = [plan.files(patch) for patch in plan.patches]
    bad = (0, files[0].directory, b"no\0such\0")
    results, buffer = encode_batch(
        new_encoder(plan), [bad, bad, files[0], bad, *files[1:], bad], np.empty(10, np.uint8)
    )
    found = [
        None if isinstance(result, PatchError) else buffer[result[0] : result[1]].tobytes()
        for result in results
    ]
    first, *others = right.values()
    assert found == [None, None, first, None, *others, None]


def test_a_buffer_that_cannot_grow_ends_the_run(plan_of, own_sample, tmp_path, monkeypatch):
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[-1]
    tifffile.imwrite(path, np.zeros((1000, 1000), "f4"))
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)

    def refuse(*_):
        raise SourceError("out of memory: no room for this test")

    with monkeypatch.context() as patch:
        patch.setattr("rs_tensor_encoder.encoding.encode.larger", refuse)
        with pytest.raises(SourceError, match="no room for this test"):
            encode(plan, str(tmp_path / "out"), skip_failed=True)
    assert not (tmp_path / "out").exists()
    encode(plan, str(tmp_path / "out"))
    assert records(tmp_path / "out") == expected(plan)


@pytest.mark.parametrize("number", TROUBLE)
def test_the_systems_trouble_is_not_a_failed_patch(number):
    bad = PatchError("a.tif", "not a TIFF file", 0)
    failure = PatchError("b.tif", f"cannot be opened: {os.strerror(number)}", number)
    refuse_trouble([bad])
    with pytest.raises(SourceError, match=f"b.tif: .*{os.strerror(number)}; nothing is lost"):
        refuse_trouble([bad, failure])


def test_a_missing_or_unreadable_file_is_a_failed_patch():
    for number in (0, errno.ENOENT, errno.EACCES, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG):
        refuse_trouble([PatchError("a.tif", "cannot be opened", number)])


@pytest.mark.parametrize("number", TROUBLE)
@pytest.mark.parametrize("at", [1, 30])
def test_skip_failed_leaves_out_no_patch_for_the_systems_sake(tmp_path, number, at):
    """Files that cannot be opened, from the first on or from one on that is not the first."""
    shim = compiled(tmp_path)
    if shim is None:
        pytest.skip("faults in system calls need Linux and a C compiler")
    root = write_source(tmp_path / "source", 8)
    (tmp_path / "place").mkdir()
    field = Range(root, tmp_path / "place", {}, shim)
    faults = {"calls": "open", "at": at, "for": 10**6, "how": number, "under": root / "S1A"}
    ended = field.run("--skip-failed", env=field.faults(**faults))
    assert any(call[1] == "1" for call in field.calls())
    assert ended.code == 3, ended
    assert os.strerror(number) in ended.err
    assert "nothing is lost" in ended.err
    assert not field.target.exists()
    again = field.run("--skip-failed")
    assert again.code == 0
    assert again.report["failures"] == []
    assert len(records(field.target)) == 8


def test_a_batch_is_never_larger_than_one_patch_more_than_its_size(plan_of, made_up):
    """As many patches as fit: not one less, not one more."""
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1)
    third = batching.BATCH / 3
    cut = list(batching.cut(plan, plan.patches, [third]))
    assert [len(batch.keys) for batch in cut] == [3, 3]
    assert [batch.size for batch in cut] == [batching.BATCH] * 2
