"""What is packaged: the pinned sources, the wheels' promises, the source distribution."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import check_wheel
import sources
from rs_tensor_encoder import __version__, _tiff

ROOT = Path(__file__).parent.parent


def test_every_source_is_pinned_whole():
    for name, pin in (sources.PINS | sources.PYTHON).items():
        assert re.fullmatch(r"[a-z]+", name)
        assert re.fullmatch(r"\d+([.]\d+)+", pin["version"])
        assert pin["url"].startswith("https://")
        assert pin["version"] in pin["url"]
        assert re.fullmatch(r"[0-9a-f]{64}", pin["sha256"])
        assert pin.keys() == {"version", "url", "sha256", "licence", "licence_file", "debian"}
        assert all(pin.values())


def test_what_is_pinned_is_what_is_built():
    text = (ROOT / "packaging/libtiff.cmake").read_text()
    built = re.findall(r"^bundle\((\w+)", text, re.MULTILINE)
    linked = re.search(r"foreach\(name (.*)\)\n  target_link", text)[1].split()
    assert sorted(built) == sorted(linked)
    headers = re.findall(r"^unpack\((\w+)", text, re.MULTILINE)
    assert sorted(built + headers) == sorted(sources.PINS)


def test_the_built_wheel_has_the_pinned_versions():
    """As `make wheel` demands of each wheel that it makes."""
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if not wheels:
        pytest.skip("there is no wheel in dist/: make wheel")
    for path in wheels:
        assert not list(check_wheel.faults(path))
        found = check_wheel.versions(path)
        assert found, f"{path.name} is not a wheel for this machine"
        assert not list(check_wheel.differences(found))


def test_versions_other_than_the_pinned_ones_are_seen():
    pinned = {name: pin["version"] for name, pin in sources.PINS.items()}
    outer = {name: pinned.pop(name) for name in ("libtiff", "libdeflate")}
    assert not list(check_wheel.differences(outer | {"bundled": pinned}))
    (line,) = check_wheel.differences(outer | {"bundled": pinned, "libtiff": "4.5.0"})
    assert line == f"libtiff is 4.5.0 (inside); pinned is {outer['libtiff']}"
    (line,) = check_wheel.differences(outer | {"bundled": pinned | {"zstd": "1.0"}})
    assert line.startswith("zstd is 1.0 (inside)")
    (line,) = check_wheel.differences(outer | {"bundled": pinned | {"jbig": "1"}})
    assert line == "jbig is 1 (inside); pinned is not pinned"
    del pinned["xz"]
    assert list(check_wheel.differences(outer | {"bundled": pinned}))
    lines = list(check_wheel.differences(outer | {"bundled": {}}))
    assert len(lines) == len(sources.PINS)
    assert "(of the system)" in lines[0]


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("4.7.2-1", "4.7.2"),
        ("1:1.3.dfsg+really1.3.2-3", "1.3.2"),
        ("1.5.7+dfsg-1", "1.5.7"),
        ("4.0.0+ds-2", "4.0.0"),
        ("5.8.4-1+deb13u2", "5.8.4"),
    ],
)
def test_versions_of_debian_name_those_of_upstream(debian, upstream):
    assert sources.version_of(debian) == upstream


def test_archives_are_held_to_their_digest_and_unpacked(tmp_path):
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "LICENCE").write_text("free")
    archive = tmp_path / "v1.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "top", "top-1.0")
    there = tmp_path / "there"
    there.mkdir()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    good = {"version": "1.0", "url": archive.as_uri(), "sha256": digest}
    sources.upstream(there, {"a": good})
    assert (there / "a" / "LICENCE").read_text() == "free"
    with pytest.raises(SystemExit, match="sha256"):
        sources.upstream(there, {"b": good | {"sha256": "0" * 64}})
    # One that lies there already is not trusted either.
    (there / "a-1.0.tar.gz").write_bytes(b"other")
    with pytest.raises(SystemExit, match="sha256"):
        sources.upstream(there, {"a": good})
    assert sorted(path.name for path in there.iterdir()) == ["a"]


def _wheel(path, *more, without=()):
    about = f"rs_tensor_encoder-{__version__}.dist-info"
    names = [
        "rs_tensor_encoder/_tiff.abi3.so",
        f"{about}/licenses/LICENSE",
        *(f"{about}/licenses/{n}/{pin['licence_file']}" for n, pin in sources.PINS.items()),
        *more,
    ]
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            if not name.endswith(tuple(without)):
                wheel.writestr(name, "text")
    return path


def test_wheels_are_held_to_their_promises(tmp_path):
    good = tmp_path / f"rs_tensor_encoder-{__version__}-cp311-abi3-manylinux_2_17_x86_64.whl"
    assert not list(check_wheel.faults(_wheel(good)))
    for named, change in {
        "libtiff is missing": {"without": ["libtiff/LICENSE.md"]},
        "our own licence": {"without": ["licenses/LICENSE"]},
        "libz.so.1": {"more": ["rs_tensor_encoder.libs/libz.so.1"]},
        "tests/test_it.py": {"more": ["tests/test_it.py"]},
    }.items():
        wheel = _wheel(good, *change.get("more", ()), without=change.get("without", ()))
        assert any(named in fault for fault in check_wheel.faults(wheel)), named
    other = tmp_path / f"rs_tensor_encoder-{__version__}-cp311-cp311-linux_x86_64.whl"
    assert any("abi3" in fault for fault in check_wheel.faults(_wheel(other)))
    with good.open("ab") as file:
        file.truncate(check_wheel.MOST + 1)
    assert any("2,000,001 bytes" in fault for fault in check_wheel.faults(good))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this tree as pip makes it, with the system's libraries."""
    directory = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", ROOT, "-q", "--no-deps", "--no-build-isolation"]
    words += ["--no-index", "-w", directory, "-C", f"build-dir={directory}/build"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = directory.glob("*.whl")
    return path


def test_a_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (about,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = file.read(f"{about}/METADATA").decode()
    package = ROOT / "src/rs_tensor_encoder"
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "rs_tensor_encoder/py.typed",
        "rs_tensor_encoder/layouts/builtin/hyspecnet.toml",
    } <= wanted
    found = {name for name in names if not name.startswith(about)}
    assert found - {"rs_tensor_encoder/_tiff.abi3.so"} == wanted
    assert f"{about}/licenses/LICENSE" in names
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE)
    assert requirements == project["dependencies"]
    assert f"\nVersion: {__version__}\n" in metadata


def test_the_extension_of_a_wheel_is_loaded_out_of_it(wheel):
    found = check_wheel.versions(wheel)
    if sys.platform != "linux":
        assert found is None or not found["bundled"]
        return
    assert found == _tiff.versions()
    # What `make wheel` would say of it.
    assert found["bundled"] or len(list(check_wheel.differences(found))) == len(sources.PINS)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Names of the files in a source distribution of this tree."""
    directory = tmp_path_factory.mktemp("sdist")
    code = f"from scikit_build_core.build import build_sdist; build_sdist({str(directory)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (archive,) = directory.iterdir()
    with tarfile.open(archive) as file:
        names = [member.name for member in file if member.isfile()]
    stem = f"rs_tensor_encoder-{__version__}/"
    assert all(name.startswith(stem) for name in names)
    return {name.removeprefix(stem) for name in names}


def test_the_source_distribution_has_what_it_needs_and_nothing_else(sdist):
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: what belongs to the project is not known")
    kept = {name for name in done.stdout.split("\n") if name and (ROOT / name).exists()}
    left_out = {name for name in kept if name.startswith((".ci/", ".github/", ".gitignore"))}
    assert sdist - {"PKG-INFO"} == kept - left_out


DEBOOTSTRAP = """#!/bin/sh
for word; do suite=$directory directory=$word; done
mkdir -p "$directory/usr" "$directory/lib" "$directory/opt"
echo "$suite" >> "$MADE"
sleep 0.3
touch "$directory/usr/whole"
"""


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("flock") is None, reason="needs root and util-linux"
)
def test_two_clean_systems_at_once_are_made_once(tmp_path):
    """Whoever comes second waits for the first, and neither uses half a system."""
    (tmp_path / "debootstrap").write_text(DEBOOTSTRAP)
    (tmp_path / "debootstrap").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MADE": str(tmp_path / "made")}
    both = [
        subprocess.Popen(
            [ROOT / "packaging/clean.sh", "suite", "", "true"],
            env=env | {"CLEAN_CACHE": str(tmp_path / "cache")}, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        _, err = process.communicate(timeout=60)
        # There is nothing in it to run.
        assert "clean.sh" not in err
        assert process.returncode != 0
    assert (tmp_path / "made").read_text().split() == ["suite"]
    assert (tmp_path / "cache/suite-/usr/whole").exists()
