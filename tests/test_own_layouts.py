"""Layouts of a user's own, files on request, optional files: from the command line."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tifffile

from oracles import records
from trees import PATCHES, grow

OWN = """
patch = "file"
path = '[a-z]+_\\d{3}\\.v\\d\\.\\d'
key = "{name}"

[[files]]
path = "{name}.tif"
bands = ["Blue", "Green", "Red", "NIR"]

[[files]]
path = "{name}.mask.tif"
bands = ["mask"]
with = "mask"
optional = true
"""


@pytest.fixture
def tree(tmp_path):
    """Three classes of 4-band files, a mask beside each but the last, dots in the names."""
    random = np.random.default_rng(1)
    for kind in ("forest", "urban", "water"):
        (tmp_path / "tree" / kind).mkdir(parents=True)
        for number in range(4):
            path = tmp_path / "tree" / kind / f"{kind}_{number:03d}.v1.0.tif"
            pixels = random.integers(0, 4000, (4, 20, 30), np.uint16)
            tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="separate")
            mask = random.integers(0, 2, (20, 30), np.uint8)
            tifffile.imwrite(path.with_name(path.name.replace(".tif", ".mask.tif")), mask)
    (tmp_path / "tree" / "water" / "water_003.v1.0.mask.tif").unlink()
    (tmp_path / "own.toml").write_text(OWN)
    return tmp_path


def tensors(target):
    """Names of the tensors of all records."""
    found = records(target)
    return {key.decode(): set(safetensors.numpy.load(value)) for key, value in found.items()}


def test_encode_and_check(run, tree):
    source = ["--layout", tree / "own.toml", tree / "tree"]
    assert run(*source, tree / "out", "-q").code == 0
    bands = {"Blue", "Green", "Red", "NIR"}
    assert list(tensors(tree / "out").values()) == [bands] * 12
    assert run("check", *source, tree / "out", "-q", "--workers", "1").code == 0
    found = json.loads(run("info", tree / "out", "--json").out)
    assert [source["layout"] for source in found["sources"]] == ["own"]


def test_masks_on_request(run, tree):
    source = ["--layout", tree / "own.toml", tree / "tree", "--with", "mask"]
    assert run(*source, tree / "out", "-q").code == 0
    bands = {"Blue", "Green", "Red", "NIR"}
    found = tensors(tree / "out")
    assert found.pop("water_003.v1.0") == bands
    assert list(found.values()) == [bands | {"mask"}] * 11
    assert run("check", *source, tree / "out", "-q", "--workers", "1").code == 0
    assert "tree --with mask\n" in run("info", tree / "out").out
    # A mask that came later is a difference.
    mask = tree / "tree" / "water" / "water_002.v1.0.mask.tif"
    shutil.copy(mask, mask.with_name("water_003.v1.0.mask.tif"))
    outcome = run("check", *source, tree / "out", "-q", "--workers", "1")
    assert outcome.code == 1
    assert "water_003.v1.0, band mask: no such tensor" in outcome.err


def test_other_requests_are_other_sources(run, tree):
    source = ["--layout", tree / "own.toml", tree / "tree"]
    (tree / "tree" / "urban" / "urban_001.v1.0.tif").write_bytes(b"")
    assert run(*source, "--with", "mask", tree / "out", "-q").code == 1
    outcome = run(*source, tree / "out", "-q")
    assert outcome.code == 4
    assert f"was begun from other sources (own {tree / 'tree'} --with mask)" in outcome.err


def test_a_check_with_other_requests_is_refused(run, tree):
    source = ["--layout", tree / "own.toml", tree / "tree"]
    assert run(*source, "--with", "mask", tree / "out", "-q").code == 0
    outcome = run("check", *source, tree / "out", "-q")
    assert outcome.code == 4
    assert "was encoded with --with mask; give the same to check it" in outcome.err
    assert run(*source, tree / "plain", "-q").code == 0
    outcome = run("check", *source, "--with", "mask", tree / "plain", "-q")
    assert outcome.code == 4
    assert "was encoded without --with; give the same to check it" in outcome.err


def test_requests_that_no_dataset_has(run, tree):
    outcome = run("--layout", tree / "own.toml", tree / "tree", "--with", "msk", tree / "out")
    assert outcome.code == 2
    assert "--with msk: no such files in these datasets; there are: mask." in outcome.err
    outcome = run("--hyspecnet", tree / "tree", "--with", "msk", tree / "out")
    assert outcome.code == 2
    assert "they have none to ask for" in outcome.err


def test_a_request_is_for_the_datasets_that_have_it(run, tree, layouts):
    grow(layouts["eurosat-ms"], tree / "more")
    source = ["--layout", tree / "own.toml", tree / "tree", "--eurosat-ms", tree / "more"]
    assert run(*source, "--with", "mask", tree / "out", "-q").code == 0
    found = tensors(tree / "out")
    assert len(found) == 13
    assert "mask" in found["forest_000.v1.0"]
    assert "mask" not in found["SeaLake_3000"]


def test_several_layouts_and_the_same_twice(run, tree):
    (tree / "two.toml").write_text(OWN.replace('"{name}"', '"two_{name}"'))
    one = ["--layout", tree / "own.toml", tree / "tree"]
    two = ["--layout", tree / "two.toml", tree / "tree"]
    assert run(*one, *two, tree / "out", "-q").code == 0
    assert len(records(tree / "out")) == 24
    outcome = run(*one, *one, tree / "twice")
    assert outcome.code == 2
    assert "given twice" in outcome.err
    # Under other names, keys collide: both places are named, and nothing is written.
    (tree / "three.toml").write_text(OWN + "# the same\n")
    outcome = run(*one, "--layout", tree / "three.toml", tree / "tree", tree / "clash")
    assert outcome.code == 3
    assert "the key forest_000.v1.0 stands for two patches" in outcome.err
    assert not (tree / "clash.partial").exists()


def test_a_layout_that_is_not_valid(run, tree):
    (tree / "bad.toml").write_text(OWN.replace("{name}.mask", "{nome}.mask"))
    outcome = run("--layout", tree / "bad.toml", tree / "tree", tree / "out")
    assert outcome.code == 2
    assert outcome.err == (
        f"Error: layout {tree / 'bad.toml'}, line 11: 'path' of [[files]] cannot be filled: "
        "{nome} in '{nome}.mask' is neither {name} nor a named group of 'path' "
        "(there are: {name})\n"
    )


def test_files_with_another_number_of_bands(run, tree):
    (tree / "own.toml").write_text(OWN.replace('"Red", "NIR"', '"Red"'))
    outcome = run("--layout", tree / "own.toml", tree / "tree", tree / "out")
    assert outcome.code == 3
    assert f"no patches of own found (given as --layout {tree / 'own.toml'})" in outcome.err
    assert "the file has 4 bands, not 3" in outcome.err
    # One patch that has the bands is enough to begin, and the others are failures.
    path = tree / "tree" / "urban" / "urban_001.v1.0.tif"
    tifffile.imwrite(
        path, np.zeros((3, 9, 9), np.uint8), photometric="minisblack", planarconfig="separate"
    )
    outcome = run("--layout", tree / "own.toml", tree / "tree", tree / "out", "-q")
    assert outcome.code == 1
    assert "11 of 12 patches failed" in outcome.out


def test_optional_files_of_a_known_dataset(run, layouts, tmp_path):
    layout = layouts["sen1floods11-weak"]
    path, key = PATCHES[layout.name]
    (tmp_path / "tree").mkdir()
    grow(layout, tmp_path / "tree")
    grow(layout, tmp_path / "tree", path.replace("7437667", "1"), without=(1,))
    source = [layout.option, tmp_path / "tree"]
    assert run(*source, tmp_path / "out", "-q").code == 0
    found = tensors(tmp_path / "out")
    assert found["Bolivia_1"] == {"VV", "VH"}
    assert len(found[key]) == 15
    assert run("check", *source, tmp_path / "out", "-q", "--workers", "1").code == 0


def test_part_of_an_optional_entry_is_a_failure(run, tmp_path):
    text = OWN.replace('"{name}.mask.tif"', '"{name}.{band}.tif"').replace(
        '["mask"]', '["mask", "edges"]'
    )
    (tmp_path / "own.toml").write_text(text)
    (tmp_path / "tree").mkdir()
    for name in ("a_001.v1.0", "a_001.v1.0.edges"):
        bands = 1 if name.endswith("edges") else 4
        pixels = np.zeros((bands, 9, 9), np.uint8)
        tifffile.imwrite(
            tmp_path / "tree" / f"{name}.tif", pixels, photometric="minisblack",
            planarconfig="separate" if bands > 1 else None,
        )  # fmt: skip
    outcome = run(
        "--layout", tmp_path / "own.toml", tmp_path / "tree", "--with", "mask", tmp_path / "out"
    )
    assert outcome.code == 1
    assert "a_001.v1.0.mask.tif: there is no such file" in outcome.err


def test_keys_that_would_be_empty(run, tree):
    text = OWN.replace("'[a-z]+", "'(?P<x>x)?[a-z]+").replace('key = "{name}"', 'key = "{x}"')
    (tree / "own.toml").write_text(text)
    outcome = run("--layout", tree / "own.toml", tree / "tree", tree / "out")
    assert outcome.code == 3
    assert "its key would be empty" in outcome.err


def test_a_users_layout_is_taken_at_its_word(run, tree, layouts):
    """Three bands of L1C are not mistaken for L2A, nor refused because L1C has more."""
    grow(layouts["ssl4eo-s12-s2-l1c"], tree / "more")
    text = """
patch = "directory"
path = '(?P<location>\\d{7})/[^/]+'
key = "{location}_{name}"
[[files]]
path = "{band}.tif"
bands = ["B4", "B3", "B2"]
"""
    (tree / "rgb.toml").write_text(text)
    assert run("--layout", tree / "rgb.toml", tree / "more", tree / "out", "-q").code == 0
    assert list(tensors(tree / "out").values()) == [{"B2", "B3", "B4"}]
