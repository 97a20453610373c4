"""Tables of a TIFF file that are far longer, or shorter, than usual."""

import struct

import numpy as np
import pytest
import tifffile

from oracles import our_bands, our_value, rasterio_bands
from rs_tensor_encoder.errors import PatchError
from tiff_factory import ramp
from trees import PATCHES

POINTS = 70_000
BANDS = np.stack([ramp(18, 21) + 1000 * band for band in range(3)])
OFFSETS, COUNTS = 273, 279
TILE_OFFSETS, TILE_COUNTS = 324, 325


@pytest.mark.parametrize("big", [False, True])
def test_a_file_with_a_grid_of_tie_points(run, tmp_path, big):
    """Files of SNAP locate a grid of pixels: 70,000 points are 3.4 MB in ModelTiepointTag."""
    path, key = PATCHES["bigearthnet-s1"]
    random = np.random.default_rng(5)
    points = random.normal(0, 50, 6 * POINTS)
    wanted = {}
    for band in ("VV", "VH"):
        file = tmp_path / "S1" / path / f"{key}_{band}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        wanted[band] = random.normal(-12, 4, (120, 120)).astype("f4")
        tifffile.imwrite(
            file, wanted[band], photometric="minisblack", rowsperstrip=17, metadata=None,
            bigtiff=big, extratags=[(33922, 12, points.size, tuple(points), True)],
        )  # fmt: skip
        assert file.stat().st_size > points.nbytes
        with tifffile.TiffFile(file) as written:
            assert len(written.pages.first.tags[33922].value) == points.size
        assert np.array_equal(our_bands(file)[0], wanted[band])
        assert np.array_equal(rasterio_bands(file)[0], wanted[band])
    root = ("--bigearthnet-s1-root", tmp_path / "S1")
    assert run(*root, tmp_path / "out").code == 0
    for decoder in ("tifffile", "rasterio", "pylibtiff"):
        outcome = run("check", *root, tmp_path / "out", "--decoder", decoder)
        assert outcome.code == 0, outcome.err
        assert "no differences; 1 of 1 patch compared" in outcome.out


def shorten(path, tag, count):
    """Let the table of a tag end behind ``count`` values, as if there were no more."""
    data = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        number, kind, values, place = struct.unpack_from("<HHII", data, at)
        if number == tag:
            assert values > count
            size = {3: 2, 4: 4}[kind] * count
            stored = bytes(data[place : place + size])
            struct.pack_into("<I", data, at + 4, count)
            if size <= 4:  # then the values are in the entry itself
                data[at + 8 : at + 12] = stored.ljust(4, b"\0")
            path.write_bytes(data)
            return
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("storage", ["one strip", "strips", "tiles"])
@pytest.mark.parametrize("lacking", ["offsets", "counts", "both"])
def test_a_table_for_one_band_of_a_planar_file_is_refused(tmp_path, compression, storage, lacking):
    """GDAL reads zeros for the bands that the table lacks; we say that it lacks them."""
    path = tmp_path / "planar.tif"
    options = {"one strip": {"rowsperstrip": 18}, "strips": {"rowsperstrip": 6}}
    tifffile.imwrite(
        path, BANDS, photometric="minisblack", planarconfig="separate", metadata=None,
        compression=compression, **options.get(storage, {"tile": (16, 16)}),
    )  # fmt: skip
    np.testing.assert_array_equal(our_bands(path, 3), BANDS)
    each = {"one strip": 1, "strips": 3, "tiles": 4}[storage]
    offsets, counts = (TILE_OFFSETS, TILE_COUNTS) if storage == "tiles" else (OFFSETS, COUNTS)
    if lacking != "counts":
        shorten(path, offsets, each)
    if lacking != "offsets":
        shorten(path, counts, each)
    with pytest.raises(PatchError) as refused:
        our_value(path, 3)
    has = (
        f"the file has the byte counts of {each}"
        if lacking == "counts"
        else f"the file lists {each}"
    )
    assert str(refused.value).startswith(
        f"{path}: the image needs {3 * each} strips or tiles, {has}"
    )


def test_such_a_file_fails_its_patch_alone(run, tmp_path):
    path, key = PATCHES["hyspecnet"]
    good = tmp_path / "tree" / path
    bad = good.with_name(key[:-1] + "9")
    cube = np.arange(224 * 12 * 10).reshape(224, 12, 10).astype("i2")
    for place in (good, bad):
        place.mkdir(parents=True)
        file = place / f"{place.name}-SPECTRAL_IMAGE.TIF"
        options = {"planarconfig": "separate", "compression": "zlib", "rowsperstrip": 3}
        tifffile.imwrite(file, cube, photometric="minisblack", metadata=None, **options)
    shorten(file, OFFSETS, 4)
    outcome = run("--hyspecnet", tmp_path / "tree", tmp_path / "out", "--skip-failed")
    assert outcome.code == 1
    assert f"{bad.name}-SPECTRAL_IMAGE.TIF: the image needs 896 strips or tiles" in outcome.err
    assert "1 patch encoded" in outcome.out
