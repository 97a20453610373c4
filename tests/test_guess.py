"""Layouts that are proposed for trees nobody has described."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st

from oracles import rasterio_bands, records, value_of
from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.inference.evaluate import attempt
from rs_tensor_encoder.inference.infer import guess
from rs_tensor_encoder.inference.regex_builder import generalise
from rs_tensor_encoder.layouts.linear_regex import Expression
from rs_tensor_encoder.layouts.parser import builtin, parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from trees import PATCHES, grow


def write(path, bands=1, dtype=np.uint16, shape=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = bands * shape[0] * shape[1]
    pixels = (np.arange(size) % 251).reshape(bands, *shape).astype(dtype)
    tifffile.imwrite(
        path, pixels if bands > 1 else pixels[0], photometric="minisblack",
        planarconfig="separate" if bands > 1 else None, metadata=None,
    )  # fmt: skip


def proposed(root):
    """The layout that is proposed for a tree, which must be valid."""
    text, remarks = guess(str(root))
    return parse("proposed", text.encode()), text, remarks


def keys(layout, root):
    return [p.key.decode() for p in discover([Source(layout, str(root))]).patches]


def test_a_dataset_that_is_not_in_the_list(run, tmp_path):
    """Three classes of four bands, a mask beside each, dots in the names: three edits at most."""
    root = tmp_path / "tree"
    wanted = {}
    for kind in ("forest", "urban", "water"):
        for number in range(7):
            path = root / kind / f"{kind}.{number:03d}.v1.2.tif"
            write(path, 4)
            write(path.with_name(f"{kind}.{number:03d}.v1.2.mask.tif"), dtype=np.uint8)
            names = ["Blue", "Green", "Red", "NIR"]
            tensors = dict(zip(names, rasterio_bands(path), strict=True))
            wanted[f"{kind}.{number:03d}.v1.2".encode()] = value_of(tensors)
    (root / "readme.txt").write_text("about it")
    outcome = run("layouts", "--guess", root)
    assert outcome.code == 0
    assert outcome.err == ""
    text = outcome.out
    edited = text.replace('["B{1..4}"]', '["Blue", "Green", "Red", "NIR"]')
    edits = sum(a != b for a, b in zip(text.split("\n"), edited.split("\n"), strict=True))
    assert 1 <= edits <= 3
    (tmp_path / "my.toml").write_text(edited)
    source = ["--layout", tmp_path / "my.toml", root]
    outcome = run("layouts", "--try", tmp_path / "my.toml", root)
    assert outcome.code == 0
    assert "21 patches of tree" in outcome.out
    assert "1 file left over, which no patch has:\n  readme.txt" in outcome.out
    assert run(*source, tmp_path / "out", "-q").code == 0
    assert records(tmp_path / "out") == wanted
    assert run("check", *source, tmp_path / "out", "-q", "--workers", "1").code == 0
    assert run(*source, "--with", "mask", tmp_path / "more", "-q").code == 0
    masked = run("info", tmp_path / "more").out
    assert re.search(r"mask +U8 +12 x 9 +in 21 patches", masked)


def variants(path, count=3):
    """Paths of patches like the one given: with other numbers, to which the layout is open."""
    last = path.rpartition("/")[2]
    found = [path]
    for match in reversed(list(re.finditer(r"\d+", last))):
        for i in range(1, count):
            number = str(int(match.group()) + i).zfill(len(match.group()))
            new = last[: match.start()] + number + last[match.end() :]
            found.append(path[: -len(last)] + new)
        yield found
        found = [path]


@pytest.mark.parametrize("name", [layout.name for layout in builtin()])
def test_known_trees_are_guessed(name, layouts, tmp_path):
    """What is proposed for a known dataset finds as many patches, and no file fails."""
    small = [replace(file, shape=(16, 16)) for file in layouts[name].every]
    layout = replace(layouts[name], every=tuple(small))
    paths = next(
        (
            found
            for found in variants(PATCHES[name][0])
            if all(layout.match("/".join(p.split("/")[-layout.depth :])) for p in found)
        ),
        [PATCHES[name][0]],
    )
    for path in paths:
        grow(layout, tmp_path, path)
    ours, _, remarks = proposed(tmp_path)
    assert any(layout.option in remark for remark in remarks)
    trial = attempt(ours, str(tmp_path))
    # That 60m and 200m belong to one patch of TreeSatAI, nobody could guess.
    assert trial.patches == len(paths) * (2 if name == "treesatai" else 1)
    assert trial.problems == []
    assert trial.unmatched == []


def test_masks_in_a_sibling_directory(tmp_path):
    for number in range(5):
        write(tmp_path / "images" / f"a_{number}.tif", 3)
        if number:
            write(tmp_path / "labels" / f"a_{number}.tif", dtype=np.uint8)
    layout, text, _ = proposed(tmp_path)
    assert layout.requests == ("labels",)
    assert "(labels is in 4 of 5 patches)" in text
    assert keys(layout, tmp_path) == [f"a_{number}" for number in range(5)]
    trial = attempt(layout, str(tmp_path))
    assert (trial.problems, trial.unmatched) == ([], [])
    assert trial.shown[1].files[1].path == "labels/a_1.tif"


def test_masks_in_a_sibling_tree(tmp_path):
    for kind in ("forest", "urban"):
        for number in range(5):
            write(tmp_path / "images" / kind / f"{number}.tif", 3)
            write(tmp_path / "labels" / kind / f"{number}.tif", dtype=np.uint8)
    layout, _, _ = proposed(tmp_path)
    assert keys(layout, tmp_path)[0] == "forest_0"
    trial = attempt(layout, str(tmp_path))
    assert trial.patches == 10
    assert (trial.problems, trial.unmatched) == ([], [])


def test_names_that_repeat_take_their_directory_into_the_key(tmp_path):
    for place in ("train/a", "train/b", "val/a"):
        for number in range(3):
            write(tmp_path / place / f"{number}.tif", 3)
    layout, _, _ = proposed(tmp_path)
    assert keys(layout, tmp_path)[::3] == ["train_a_0", "train_b_0", "val_a_0"]


def test_bands_in_directories(tmp_path):
    for number in range(4):
        for band, side in {"red": 20, "green": 20, "swir": 10}.items():
            write(tmp_path / f"p{number}" / f"p{number}_{band}.tif", shape=(side, side))
        write(tmp_path / f"p{number}" / f"p{number}_cloud.tif", dtype=np.uint8)
    layout, text, _ = proposed(tmp_path)
    assert layout.bands == ("green", "red", "swir")
    assert layout.requests == ("cloud",)
    assert 'bands = ["green", "red"]' in text
    trial = attempt(layout, str(tmp_path))
    assert (trial.patches, trial.problems, trial.unmatched) == (4, [], [])


def test_names_of_bands_are_those_that_the_files_have(tmp_path):
    import rasterio

    with rasterio.open(
        tmp_path / "x_1.tif", "w", driver="GTiff", width=9, height=9, count=2, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
    ) as file:  # fmt: skip
        file.write(np.zeros((2, 9, 9), np.uint8))
        file.descriptions = ("nir", "swir")
    layout, _, _ = proposed(tmp_path)
    assert layout.bands == ("nir", "swir")


def test_what_fits_in_nowhere_is_said(tmp_path):
    for number in range(9):
        write(tmp_path / f"p{number}" / "a.tif")
        write(tmp_path / f"p{number}" / "b.tif")
    write(tmp_path / "odd" / "mosaic.tif", 3)
    _, _, remarks = proposed(tmp_path)
    assert remarks == ["no place was found for 1 TIFF file: odd/mosaic.tif"]


@pytest.mark.parametrize("content", [b"", b"not a TIFF file at all", b"II*\0\x08\0\0\0\0\0"])
def test_files_that_cannot_be_read(tmp_path, content):
    (tmp_path / "a_1.tif").write_bytes(content)
    layout, text, _ = proposed(tmp_path)
    assert "a_1.tif cannot be read" in text
    assert layout.bands == ("B1",)


def test_nothing_to_guess_from(run, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    outcome = run("layouts", "--guess", tmp_path)
    assert outcome.code == 3
    assert "nothing to guess from. The tree holds no TIFF files, but a/x.png" in outcome.err
    assert run("layouts", "--guess", tmp_path / "nowhere").code == 3
    with pytest.raises(SourceError, match="is not a directory"):
        guess(str(tmp_path / "a" / "x.png"))


def test_files_that_cannot_be_encoded(tmp_path):
    tifffile.imwrite(tmp_path / "a_1.tif", np.zeros((9, 9), np.complex64))
    _, text, _ = proposed(tmp_path)
    assert '# dtype = "complex64": such files cannot be encoded' in text


def test_files_of_a_group_that_differ(tmp_path):
    for number in range(4):
        write(tmp_path / f"a_{number}.tif", 1 + number % 2)
    _, text, _ = proposed(tmp_path)
    assert "a_0.tif; not all have as many bands: 1, 2" in text


def test_bands_that_have_the_same_names(tmp_path):
    """Three ways to be called B1 in one patch: each tensor gets a name of its own."""
    for number in range(3):
        place = tmp_path / f"p{number}"
        write(place / "B1.tif")
        write(place / "B2.tif")
        write(place / f"p{number}_B1.tif")
        write(place / f"p{number}_B2.tif", shape=(5, 5))
        write(place / "rgb.tif", 3)
    layout, _, _ = proposed(tmp_path)
    assert len(set(layout.bands)) == 7
    trial = attempt(layout, str(tmp_path))
    assert (trial.patches, trial.problems, trial.unmatched) == (3, [], [])


def test_names_that_are_no_text(run, tmp_path):
    write(tmp_path / "a_1.tif")
    write(tmp_path / "x\udcff.tif")
    (tmp_path / "new\nline.txt").touch()
    outcome = run("layouts", "--guess", tmp_path)
    assert outcome.code == 0
    assert "\udcff" not in outcome.out
    (tmp_path / "my.toml").write_text(outcome.out)
    outcome = run("layouts", "--try", tmp_path / "my.toml", tmp_path)
    assert outcome.code == 0
    assert "x\\xff.tif" in outcome.out
    assert "new\\nline.txt" in outcome.out


PLAIN = st.text("aB1.é_- '\"\\{}()[]*+", min_size=1, max_size=8)


@given(st.lists(PLAIN, min_size=1, max_size=9))
def test_patterns_match_all_they_are_made_from(names):
    for name in names:
        assert re.compile(generalise(names), re.ASCII).fullmatch(name)
        assert Expression(generalise(names)).fullmatch(name)


# Names of files without a letter that a band could be called by.
@example([("1", "[", 1), ("1", "+", 1)])
@example([("1", "a+b", 1), ("1", "a[b", 1)])
@given(st.lists(st.tuples(PLAIN, PLAIN, st.integers(1, 3)), min_size=1, max_size=6))
def test_whatever_is_proposed_is_valid_and_finds_something(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("any")
    for place, name, bands in files:
        if place.strip(".") and not name.startswith("."):
            path = root / place.lstrip(".") / f"{name}.tif"
            write(path, bands)
    if not list(root.rglob("*.tif")):
        return
    layout, _, _ = proposed(root)
    assert keys(layout, root)
