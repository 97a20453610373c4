"""The verb demo, and the dataset that it makes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image


def test_demo_makes_encodes_checks_and_shows(run, tmp_path):
    outcome = run("demo", tmp_path / "demo")
    assert outcome.code == 0
    assert outcome.out.count("no differences") == 2
    # The code that it prints works; test_reading.py has more of it.
    code = outcome.out[outcome.out.index("import functools") :]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "'B01': (dtype('uint16'), (20, 20))" in done.stdout
    with Image.open(tmp_path / "demo" / "patch.png") as picture:
        assert picture.size[0] > 1000
        pixels = np.asarray(picture)
    # Three panels, of which the first is in colour and none is blank.
    colours, grey = pixels[40:360, 20:350].astype(int), pixels[40:360, 400:700].astype(int)
    assert np.ptp(colours, axis=-1).mean() > 10
    assert np.ptp(grey, axis=-1).max() == 0
    assert grey.std() > 20
    assert run("demo", tmp_path / "demo").code == 4


def test_without_pillow_there_is_no_picture_but_all_else(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    outcome = run("demo", tmp_path / "demo")
    assert outcome.code == 0
    assert "pip install 'rs-tensor-encoder[preview]'" in outcome.err


def structure(path):
    """What a file is like, apart from its pixels."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        names = {tag.code for tag in page.tags.values() if tag.code > 1000}
        rows = page.tags["RowsPerStrip"].value
        return (
            page.shape, page.dtype, page.compression, page.predictor, page.planarconfig, rows,
            len(page.dataoffsets), names, page.nodata, file.byteorder, len(file.pages),
        )  # fmt: skip


def test_the_sample_is_like_the_real_files(made_up, samples):
    pairs = {
        "_VH.tif": made_up.sentinel_1,
        **{f"_B{band}.tif": made_up.sentinel_2 for band in ("01", "02", "05", "8A", "12")},
        "-SPECTRAL_IMAGE.TIF": made_up.hyspecnet,
    }
    for ending, root in pairs.items():
        places = [samples / "BigEarthNet", samples / "HySpecNet-11k"]
        real = next(path for place in places for path in sorted(place.rglob(f"*{ending}")))
        ours = sorted(Path(root).rglob(f"*{ending}"))[0]
        assert structure(ours) == structure(real), ending


def test_the_sample_is_the_same_for_the_same_seed(made_up, tmp_path):
    from rs_tensor_encoder.demo.sample import write_sample

    again = write_sample(str(tmp_path), patches=1, hyspecnet=0)
    paths = list(Path(again.sentinel_2).rglob("*.tif"))
    # One patch, of twelve bands.
    assert len(paths) == 12
    for path in paths:
        twin = Path(made_up.sentinel_2) / path.relative_to(again.sentinel_2)
        assert path.read_bytes() == twin.read_bytes()
