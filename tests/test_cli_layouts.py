"""The verb layouts: what is listed, printed, tried."""

import json
import tomllib
from dataclasses import replace

import pytest

from rs_tensor_encoder.layouts.parser import builtin, parse
from test_guess import write
from trees import PATCHES, grow


def test_the_list_names_all_that_matters(run):
    outcome = run("layouts")
    assert outcome.code == 0
    for layout in builtin():
        assert f"\n  {layout.name}: " in outcome.out
        assert f"\n    {layout.option} DIR\n    {layout.link}\n" in outcome.out
    assert "    B02 B03 B04 B08: uint16, 120 x 120\n" in outcome.out
    assert "    cloud_mask: uint8, 1068 x 1068 (--with cloud-mask)\n" in outcome.out


def test_the_list_as_json(run):
    found = {entry["name"]: entry for entry in json.loads(run("layouts", "--json").out)}
    assert list(found) == [layout.name for layout in builtin()]
    entry = found["hls-burn-scars"]
    assert entry["patch"] == "file"
    assert entry["key"] == "{chip}"
    assert entry["tensors"][-1] == {
        "name": "mask", "dtype": "int16", "shape": [512, 512], "with": "mask", "optional": False,
    }  # fmt: skip
    assert json.loads(run("layouts", "hls-burn-scars", "--json").out) == entry


@pytest.mark.parametrize("name", [layout.name for layout in builtin()])
def test_one_to_start_from(run, name, layouts):
    outcome = run("layouts", name)
    assert outcome.code == 0
    assert outcome.out.endswith("]\n") or outcome.out.endswith("\n")
    assert tomllib.loads(outcome.out)["title"] == layouts[name].title
    found, own = parse(name, outcome.out.encode()), layouts[name]
    # Another engine matches it once it is the user's.
    assert found.pattern.pattern == own.pattern.pattern
    assert replace(found, pattern=own.pattern) == own


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hyspec", "hyspecnet"),
        ("HySpecNet-11k", "hyspecnet"),
        ("euro-sat", "eurosat-ms"),
        ("sen12ms", "sen12ms-lc or sen12ms-s1 or sen12ms-s2"),
    ],
)
def test_names_that_are_nearly_right(run, tmp_path, name, meant):
    for arguments in ([name], ["--try", name, tmp_path]):
        outcome = run("layouts", *arguments)
        assert outcome.code == 2
        assert outcome.err.endswith(f"There is no layout called {name}. Did you mean {meant}?\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing-like-it"],
        ["hydro", "--guess", "x"],
        ["--try", "a", "b", "--guess", "x"],
        ["--try", "a"],
        ["--try", "a", ""],
        ["--guess", ""],
        ["--try", "nothing.toml", "x"],
    ],
)
def test_usage(run, arguments):
    outcome = run("layouts", *arguments)
    assert outcome.code == 2
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err


def test_trying_shows_keys_files_bands_and_shapes(run, layouts, tmp_path):
    layout = layouts["major-tom-s2-l2a"]
    path, key = PATCHES[layout.name]
    grow(layout, tmp_path)
    (tmp_path / path / "thumbnail.png").touch()
    (tmp_path / path / "B8A.tif").unlink()
    outcome = run("layouts", "--try", layout.name, tmp_path)
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[:3] == [
        f"{tmp_path}: 1 patch of Major TOM Core Sentinel-2 L2A",
        f"key {key}",
        f"  {path}/B02.tif: 1 band, uint16, 1068 x 1068: B02",
    ]
    assert f"  {path}/B8A.tif: there is no such file" in lines
    assert (
        f"  {path}/cloud_mask.tif: 1 band, uint8, 1068 x 1068: cloud_mask (--with cloud-mask)"
        in lines
    )
    assert lines[-2:] == [
        "1 file left over, which no patch has:",
        f"  {path}/thumbnail.png",
    ]
    assert outcome.err.splitlines() == [
        f"Would fail: {path}/B8A.tif: there is no such file",
        "1 file would fail of the 1 patch looked into",
    ]


def test_what_is_read_on_request_only_may_be_lacking(run, layouts, tmp_path):
    grow(layouts["hls-burn-scars"], tmp_path, without=(1,))
    outcome = run("layouts", "--try", "hls-burn-scars", tmp_path)
    assert outcome.code == 0
    assert outcome.err.startswith("Would fail if asked for: training/subsetted_")
    assert outcome.err.endswith(".mask.tif: there is no such file (--with mask)\n")


def test_names_cannot_command_the_terminal(run, tmp_path):
    (tmp_path / "my.toml").write_text(
        "patch = 'file'\npath = 'a.*'\nkey = '{name}'\n"
        "[[files]]\npath = '{name}.tif'\nbands = ['A']\n"
    )
    for name in ("a\x1b[2J", "a\x1b]0;x", "b\x1b[2J"):
        write(tmp_path / "tree" / f"{name}.tif")
    (tmp_path / "tree" / "a\x1b[2J.tif").write_text("no TIFF file")
    outcome = run("layouts", "--try", tmp_path / "my.toml", tmp_path / "tree")
    assert outcome.code == 1
    assert "key a\\x1b[2J\n" in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


def test_trying_as_json(run, layouts, tmp_path):
    layout = layouts["eurosat-ms"]
    for number in range(9):
        grow(layout, tmp_path, f"SeaLake/SeaLake_{number}")
        (tmp_path / "SeaLake" / f"SeaLake_{number}.jpg").touch()
    found = json.loads(run("layouts", "--try", layout.name, tmp_path, "--json").out)
    assert found["patches"] == found["looked_into"] == 9
    assert [patch["key"] for patch in found["shown"]] == ["SeaLake_0", "SeaLake_1", "SeaLake_2"]
    assert found["shown"][0]["files"][0]["shape"] == [64, 64]
    assert found["left_over"] == [{"example": "SeaLake/SeaLake_0.jpg", "files": 9}]
    assert found["all_looked_at"]
    assert found["exit_code"] == 0


def test_trying_a_layout_that_does_not_fit(run, tmp_path):
    text = """
patch = "file"
path = 'a_\\d'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["B{1..4}"]
[[files]]
path = "../masks/{name}.tif"
bands = ["M"]
"""
    (tmp_path / "my.toml").write_text(text)
    outcome = run("layouts", "--try", tmp_path / "my.toml", tmp_path)
    assert outcome.code == 2
    assert "line 9: 'path' of [[files]] cannot be filled: '../masks/{name}' may lead" in outcome.err
    (tmp_path / "my.toml").write_text(text.replace("'a_", "'x/a_"))
    tree = tmp_path / "tree"
    tree.mkdir()
    outcome = run("layouts", "--try", tmp_path / "my.toml", tree)
    assert outcome.code == 3
    assert "The tree holds no files" in outcome.err
    assert f"(given as --try {tmp_path / 'my.toml'}; " in outcome.err
    write(tree / "x" / "a_1.tif", 3)
    write(tree / "x" / "b_1.tif", 3)
    (tree / "x" / "a_2.tif").write_text("no TIFF file")
    outcome = run("layouts", "--try", tmp_path / "my.toml", tree)
    assert outcome.code == 1
    assert "Would fail: x/a_1.tif: the file has 3 bands, not 4" in outcome.err
    assert "Would fail: x/a_2.tif: not a TIFF file that can be understood" in outcome.err
    assert "Would fail: masks/a_1.tif: there is no such file" in outcome.err
    assert outcome.out.endswith("1 file left over, which no patch has:\n  x/b_1.tif\n")


def test_a_large_tree_is_looked_at_in_part(run, layouts, tmp_path, monkeypatch):
    monkeypatch.setattr("rs_tensor_encoder.inference.evaluate._BUDGET", 30)
    for number in range(40):
        grow(layouts["eurosat-ms"], tmp_path, f"SeaLake/SeaLake_{number}")
    outcome = run("layouts", "--try", "eurosat-ms", tmp_path)
    assert outcome.code == 0
    assert "... and 37 patches more" in outcome.out
    assert "No file is left over among those that were looked at." in outcome.out


def test_help_groups_the_datasets(run):
    for verb in ("encode", "check"):
        out = run(verb, "--help").out
        datasets = out.partition("Datasets (")[2].partition("Examples:")[0].splitlines()[1:]
        families = [line.strip() for line in datasets if line[:4].strip() and line[:4] != "    "]
        assert families == sorted({layout.family for layout in builtin()}, key=str.lower)
        options = [line.split()[0] for line in datasets if line.startswith("    --")]
        assert sorted(options) == sorted(layout.option for layout in builtin())
        # A line each, at the width of a terminal.
        assert len([line for line in datasets if line.strip()]) == len(families) + len(options)
        assert all(len(line) <= 80 for line in out.splitlines()), out
