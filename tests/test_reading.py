"""The snippets that show how to read: twice in a process, in workers of every kind, with each lmdb.

``make readers`` installs the versions of lmdb, beside the one of the environment.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from oracles import rasterio_bands
from reading import digest
from rs_tensor_encoder.cli.commands.demo import _SNIPPET
from rs_tensor_encoder.encoding.encode import encode
from test_docs import blocks

HERE = Path(__file__).parent
VERSIONS = ("1.4.1", "2.3.0", "3.0.0")
METHODS = ("none", "fork", "spawn", "forkserver")
PATCH = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43"


def snippets():
    """Snippets that read a database, by what they read."""
    found = {}
    for _, text in blocks("python"):
        if "lmdb.open" in text:
            name = re.search(r'"encoded-hyspecnet"|"Encoded-BigEarthNet"|class Patches', text)[0]
            found[name.strip('"')] = text
    found["demo"] = _SNIPPET.format(target="Encoded-BigEarthNet", key=PATCH)
    return found


@pytest.fixture(scope="module")
def place(made_up, tmp_path_factory):
    """A directory with both databases, under the names of the README."""
    from rs_tensor_encoder.layouts.parser import builtin
    from rs_tensor_encoder.sources.discover import discover
    from rs_tensor_encoder.sources.plan import Source

    place = tmp_path_factory.mktemp("reading")
    layouts = {layout.name: layout for layout in builtin()}
    for target, roots in {
        "Encoded-BigEarthNet": {
            "bigearthnet-s1": made_up.sentinel_1,
            "bigearthnet-s2": made_up.sentinel_2,
        },
        "encoded-hyspecnet": {"hyspecnet": made_up.hyspecnet},
    }.items():
        sources = [Source(layouts[name], root) for name, root in roots.items()]
        encode(discover(sources), str(place / target))
    return place


@pytest.fixture(params=VERSIONS)
def reading(request, place, tmp_path):
    """Run ``reading.py`` with one version of lmdb; ``reading(text, words)`` gives its result."""
    version = request.param
    installed = Path(sys.prefix) / "lmdb" / version
    if not installed.is_dir():
        pytest.skip(f"lmdb {version} is not there: `make readers` finds no wheel for this Python")

    def run(text, *words):
        (tmp_path / "snippet.py").write_text(text)
        for target in ("Encoded-BigEarthNet", "encoded-hyspecnet"):
            if not (tmp_path / target).exists():
                (tmp_path / target).symlink_to(place / target)
        done = subprocess.run(
            [sys.executable, HERE / "reading.py", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        answer = json.loads(lines[-1])
        assert answer["lmdb"] == version
        return answer["result"], lines[:-1]

    return run


def directory(root, name):
    (found,) = Path(root).rglob(name)
    return found


def rgb(made_up, key):
    place = directory(made_up.sentinel_2, key)
    files = [place / f"{key}_{band}.tif" for band in ("B04", "B03", "B02")]
    return np.concatenate([rasterio_bands(path) for path in files])


def test_all_that_read_are_tried():
    assert set(snippets()) == {"Encoded-BigEarthNet", "encoded-hyspecnet", "class Patches", "demo"}


@pytest.mark.parametrize("name", snippets())
def test_a_snippet_runs_again_in_the_same_process(reading, name):
    text = snippets()[name]
    _, lines = reading(text, "twice", "3")
    said = [line for line in re.findall(r"print\(.*\)  # (.*)", text) for _ in range(3)]
    if name == "demo":
        assert len(lines) == 3
        assert all("'B01': (dtype('uint16'), (20, 20))" in line for line in lines)
    else:
        assert lines == said


def test_snippets_follow_each_other_in_a_notebook(reading):
    """All that read the same database, in one namespace, twice."""
    found = snippets()
    found["class Patches"] += '\nprint(names("Encoded-BigEarthNet")[0])\n'
    _, lines = reading("\n".join(found.values()), "twice", "2")
    assert len(lines) == 8


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_is_read_in_worker_processes(reading, made_up, method):
    every = {
        path.stem.rpartition("_")[2]: rasterio_bands(path)[0]
        for path in directory(made_up.sentinel_2, PATCH).glob("*.tif")
    }
    assert len(every) == 12
    for name in ("Encoded-BigEarthNet", "demo"):
        arguments = ("function", method, "read", "Encoded-BigEarthNet", PATCH)
        found, _ = reading(snippets()[name], *arguments)
        assert found == [digest(every)] * 6


@pytest.mark.parametrize("method", METHODS)
def test_a_cube_is_read_in_worker_processes(reading, made_up, method):
    text = snippets()["encoded-hyspecnet"]
    found, _ = reading(text, "function", method, "first", "encoded-hyspecnet")
    (path,) = Path(made_up.hyspecnet).rglob("*-SPECTRAL_IMAGE.TIF")
    assert found == [[path.parent.name, digest(rasterio_bands(path))]] * 6


@pytest.mark.parametrize("method", METHODS)
def test_two_datasets_are_read_in_worker_processes(reading, made_up, method):
    found, _ = reading(snippets()["class Patches"], "datasets", method, "Encoded-BigEarthNet")
    assert len(found["keys"]) == 6
    wanted = [digest(rgb(made_up, key).astype("f4")) for key in found["keys"]]
    assert found["found"] == [[*wanted[1:], wanted[0]]] * 3


@pytest.mark.parametrize("method", METHODS)
def test_two_datasets_are_read_by_loaders_of_torch(reading, made_up, method):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    found, _ = reading(snippets()["class Patches"], "loaders", method, "Encoded-BigEarthNet")
    wanted = [digest(rgb(made_up, key).astype("f4")) for key in found["keys"]]
    assert found["found"] == [[*wanted[1:], wanted[0]]] * 2


@pytest.mark.parametrize("name", ["Encoded-BigEarthNet", "encoded-hyspecnet", "class Patches"])
def test_a_forked_worker_does_not_grow(reading, name):
    """An environment that was inherited would keep 250 bytes of each transaction: 12,500 KiB."""
    text = snippets()[name]
    names = re.search(r"def names.*?(?=class )", snippets()["class Patches"], re.DOTALL)[0]
    path = "encoded-hyspecnet" if "hyspecnet" in name else "Encoded-BigEarthNet"
    grown, _ = reading(f"{text}\n\n{names}", "growth", path, "50000")
    assert grown < 4000


def test_what_the_readme_says_of_lmdb(reading, request):
    said, _ = reading("", "claims")
    old = request.node.callspec.params["reading"].startswith("1.")
    for case in ("again", "forked"):
        if old:
            assert said[case] is None
        else:
            assert said[case].endswith("is already open in this process.")
    assert said["pickle"] == "TypeError: cannot pickle 'Environment' object"
    assert said["buffer"].startswith("TypeError: ")
    assert said["bytes"] is None


def test_the_order_of_bands_is_another_on_every_call(place):
    import safetensors.numpy

    with (
        lmdb.open(str(place / "Encoded-BigEarthNet"), readonly=True, lock=False) as env,
        env.begin() as txn,
    ):
        value = txn.get(PATCH.encode())
    # Twelve bands have 479 million orders: twenty calls with one order do not happen by chance.
    assert len({tuple(safetensors.numpy.load(value)) for _ in range(20)}) > 1
