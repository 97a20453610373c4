"""The same sources give the same keys and bytes, whatever locale, umask, time zone or terminal."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from oracles import records
from tiff_factory import ramp, strips

# A name in German, one in Greek, and one of a letter and its accent, which is no one letter.
NAMES = ["w\u00e4ld_1", "\u03b4\u03ac\u03c3\u03bf\u03c2_2", "e\u0301t\u00e9_3"]
LAYOUT = """
patch = "file"
path = '(?P<class>[^/]+)/[^/]+'
key = "{class}_{name}"
[[files]]
path = "{name}.tif"
bands = ["w\u00e4rme"]
[[files]]
path = "../k\u00fchle/{name}_m\u00e4ske.tif"
bands = ["mask"]
with = "mask"
optional = true
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A tree with names in UTF-8, and a layout with others."""
    place = tmp_path_factory.mktemp("tree")
    (place / "own.toml").write_bytes(LAYOUT.encode())
    for part in ("for\u00eat", "k\u00fchle"):
        (place / "root" / part).mkdir(parents=True)
    for index, name in enumerate(NAMES):
        strips(ramp() + index).write(place / "root" / "for\u00eat" / f"{name}.tif")
        # Above 'path', so that it is no patch.
    strips(ramp() * 2).write(place / "root" / "k\u00fchle" / f"{NAMES[0]}_m\u00e4ske.tif")
    return place


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    """Environment of a locale whose encoding is Latin-1."""
    place = tmp_path_factory.mktemp("locale")
    words = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", f"{place}/de_DE.ISO-8859-1"]
    if shutil.which("localedef") is None or subprocess.run(words, check=False).returncode:
        pytest.skip("localedef, or what it makes locales of, is not installed")
    return {"LOCPATH": str(place), "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"}


DEMOTED = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
SETTINGS = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    "latin-1": None,
    "demoted C locale": DEMOTED,
    "another time zone": {"TZ": "Pacific/Kiritimati"},
    "a dumb terminal": {"TERM": "dumb", "COLUMNS": "20", "NO_COLOR": "1"},
    "output in another encoding": {"PYTHONIOENCODING": "ascii"},
}


def call(words, environment, **options):
    command = [sys.executable, "-m", "rs_tensor_encoder", *words]
    done = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, **environment}, **options
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def environment(request, setting):
    return request.getfixturevalue("latin") if SETTINGS[setting] is None else SETTINGS[setting]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_keys_and_bytes(tree, tmp_path, environment):
    words = ["--layout", tree / "own.toml", tree / "root", "--with", "mask"]
    done = call([*words, tmp_path / "out", "-q", "--json"], environment)
    assert done.returncode == 0, done.stderr
    assert call([*words, tmp_path / "utf8", "-q"], {"LC_ALL": "C.UTF-8"}).returncode == 0
    for name in ("data.mdb", "rs-tensor-encoder.digests"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "utf8" / name).read_bytes()
    own = [f"for\u00eat_{name}" for name in NAMES]
    other = f"k\u00fchle_{NAMES[0]}_m\u00e4ske"
    assert sorted(records(tmp_path / "out")) == sorted(key.encode() for key in [*own, other])
    # The manifest, too, but for what it says of the machine's libraries.
    one, two = (
        json.loads((tmp_path / name / "rs-tensor-encoder.json").read_text())
        for name in ("out", "utf8")
    )
    assert one == two
    # One locale encodes, another one checks.
    for checker in (environment, {"LC_ALL": "C.UTF-8"}):
        done = call(["check", *words, tmp_path / "out", "-q", "--json"], checker)
        assert (done.returncode, json.loads(done.stdout)["tensors"]) == (0, 5), done.stderr
    done = call(["info", tmp_path / "out"], environment)
    assert done.returncode == 0
    # What the encoding of the output does not have is escaped.
    text = done.stdout.decode(
        "latin-1" if environment.get("LC_ALL") == "de_DE.ISO-8859-1" else "utf-8"
    )
    assert "w\u00e4rme" in text or "w\\xe4rme" in text


@pytest.mark.parametrize("setting", SETTINGS)
def test_layouts_are_written_in_utf_8(tree, tmp_path, environment):
    done = call(["layouts", "--guess", tree / "root" / "for\u00eat"], environment)
    assert done.returncode == 0, done.stderr
    (tmp_path / "proposed.toml").write_bytes(done.stdout)
    assert "w\u00e4ld" in done.stdout.decode("utf-8") or "path = " in done.stdout.decode("utf-8")
    words = ["layouts", "--try", tmp_path / "proposed.toml", tree / "root" / "for\u00eat"]
    done = call([*words, "--json"], environment)
    assert (done.returncode, json.loads(done.stdout)["patches"]) == (0, 3), done.stderr


@pytest.mark.parametrize("setting", ["latin-1", "demoted C locale"])
def test_failures_are_named(tree, tmp_path, environment):
    root = tmp_path / "root"
    shutil.copytree(tree / "root", root)
    bad = root / "for\u00eat" / f"{NAMES[0]}.tif"
    bad.write_bytes(b"")
    words = ["--layout", tree / "own.toml", root, tmp_path / "out", "-q"]
    done = call([*words, "--json"], environment)
    assert done.returncode == 1
    (failure,) = json.loads(done.stdout)["failures"]
    assert (failure["path"], failure["patch"]) == (str(bad), f"for\u00eat_{NAMES[0]}")
    assert b"Failed: " in done.stderr
    # A rerun in another locale goes on where this one has stopped.
    strips(ramp()).write(bad)
    done = call([*words, "--json"], {"LC_ALL": "C.UTF-8"})
    assert (done.returncode, json.loads(done.stdout)["kept"]) == (0, 3), done.stderr


@pytest.mark.parametrize("setting", ["utf-8", "latin-1", "demoted C locale"])
@pytest.mark.parametrize("verb", ["encode", "check", "layouts"])
def test_names_that_are_not_utf_8_are_named_by_their_path(tree, tmp_path, environment, verb):
    deep = tmp_path / "root" / "deep" / "down"
    deep.mkdir(parents=True)
    strips(ramp()).write(deep / "x.tif")
    os.rename(bytes(deep) + b"/x.tif", bytes(deep) + b"/b\xe4d_1.tif")
    if verb == "layouts":
        words = ["layouts", "--try", tree / "own.toml", tmp_path / "root"]
    else:
        words = [verb, "--layout", tree / "own.toml", tmp_path / "root", tmp_path / "out"]
    done = call(words, environment)
    assert done.returncode == 3
    problem = "the name is not valid UTF-8, so it cannot be a key; rename it"
    assert done.stderr.decode() == f"Error: {deep}/b\\xe4d_1: {problem}\n"


def test_the_umask_changes_no_byte(tree, tmp_path):
    words = ["--layout", tree / "own.toml", tree / "root"]
    for umask in (0o077, 0o000):
        target = tmp_path / f"{umask}"
        assert call([*words, target, "-q"], {}, umask=umask).returncode == 0
        assert (target / "data.mdb").stat().st_mode & 0o077 == (0o044 & ~umask)
    one, two = ((tmp_path / name / "data.mdb").read_bytes() for name in ("63", "0"))
    assert one == two
