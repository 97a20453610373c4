"""The tag Orientation says how to show an image: pixels are kept as they are stored."""

import numpy as np
import pytest
import tifffile

from oracles import our_bands, rasterio_bands
from tiff_factory import SHORT, ramp, strips

# Rows and columns differ, and no strip or tile ends where the image does.
PIXELS = np.stack([ramp(20, 23), ramp(20, 23) + 1000, ramp(20, 23)[::-1] + 2000])

STORAGE = {
    "strips": {"rowsperstrip": 7},
    "deflate": {"rowsperstrip": 7, "compression": "zlib", "predictor": 2},
    "LZW": {"rowsperstrip": 7, "compression": "lzw"},
    "zstd": {"rowsperstrip": 7, "compression": "zstd"},
    "tiles": {"tile": (16, 16)},
    "deflate tiles": {"tile": (16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_pixels_are_as_stored(tmp_path, orientation, storage, planar):
    path = tmp_path / "turned.tif"
    tifffile.imwrite(
        path, PIXELS.transpose(1, 2, 0) if planar == "contig" else PIXELS,
        photometric="minisblack", planarconfig=planar, metadata=None,
        extratags=[(274, 3, 1, orientation, True)], **STORAGE[storage],
    )  # fmt: skip
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.tags[274].value == orientation
    np.testing.assert_array_equal(our_bands(path, 3), PIXELS)
    np.testing.assert_array_equal(rasterio_bands(path), PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_no_matter(tmp_path, orientation):
    file = strips(ramp(), 7)
    file.tags[274] = (SHORT, [orientation])
    assert np.array_equal(our_bands(file.write(tmp_path / "odd.tif"))[0], ramp())


@pytest.mark.parametrize("decoder", ["tifffile", "rasterio", "pylibtiff"])
def test_check_agrees_whatever_the_orientation(run, tmp_path, made_up, decoder):
    import shutil
    from pathlib import Path

    source = tmp_path / "S1"
    shutil.copytree(made_up.sentinel_1, source)
    files = sorted(Path(source).rglob("*.tif"))
    assert len(files) >= 8
    for index, path in enumerate(files):
        pixels = tifffile.imread(path)
        tag = (274, 3, 1, index % 8 + 1, True)
        tifffile.imwrite(path, pixels, rowsperstrip=17, metadata=None, extratags=[tag])
    assert run("--bigearthnet-s1-root", source, tmp_path / "out").code == 0
    outcome = run("check", "--bigearthnet-s1-root", source, tmp_path / "out", "--decoder", decoder)
    assert outcome.code == 0, outcome.err
    assert "no differences; 6 of 6 patches" in outcome.out
