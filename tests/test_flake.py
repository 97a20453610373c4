"""The flake: its text is held to the project's, and nix evaluates it, against a stub of nixpkgs.

`make flake-test` installs nix where it is missing; then nothing is skipped.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import rs_tensor_encoder
from rs_tensor_encoder import __version__

ROOT = Path(__file__).parent.parent
FLAKE = (ROOT / "flake.nix").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements):
    """Names of packages in requirements of Python, without versions."""
    return {re.split(r"[^\w-]", text)[0] for text in requirements}


# ---- without nix ------------------------------------------------------------


def listed(what):
    """The words of the list that the package of the flake gives an attribute."""
    package = FLAKE.partition("buildPythonApplication")[2]
    return re.search(rf"^ *{what} = \[(.*?)\];", package, re.DOTALL | re.MULTILINE)[1].split()


def test_brackets_and_strings_are_closed():
    # Comments, and strings of both kinds.
    text = re.sub(r"#[^\n]*|\'\'.*?\'\'|\"(?:\\.|[^\"\\])*\"", "", FLAKE, flags=re.DOTALL)
    assert '"' not in text
    assert "''" not in text
    left, before = re.sub(r"[^][(){}]", "", text), None
    while left != before:
        left, before = re.sub(r"\(\)|\[\]|\{\}", "", left), left
    assert not left


def test_the_text_has_our_version_and_our_dependencies():
    # builtins.match wants a match of the whole file, as fullmatch does.
    pattern = re.search(r"builtins.match \"(.*?)\"\n", FLAKE)[1].replace('\\"', '"')
    module = Path(rs_tensor_encoder.__file__).read_text()
    assert re.fullmatch(pattern, module, re.DOTALL)[1] == __version__
    assert f"builtins.readFile ./src/{Path(rs_tensor_encoder.__file__).parent.name}/" in FLAKE
    dependencies = listed("dependencies")
    assert all(name.startswith("ps.") for name in dependencies)
    assert {name[3:] for name in dependencies} == names(PROJECT["project"]["dependencies"])
    assert len(dependencies) == len(set(dependencies))
    building = {name.removeprefix("ps.") for name in listed("build-system")}
    own = {"(cythonCmake", "pkgs", "ps)"}
    assert own <= building
    required = names(PROJECT["build-system"]["requires"])
    assert building - own | {"cython-cmake"} == required
    # Whatever the Makefile asks Debian for to build with, this asks nixpkgs for.
    recipe = (ROOT / "Makefile").read_text().partition("\n$(VENV)/bin/python:\n")[2]
    headers = re.findall(r"(lib\w+)-dev", recipe.partition("\n\n")[0])
    assert {name.removeprefix("lib") for name in headers} == {
        name.removeprefix("pkgs.").removeprefix("lib").lower() for name in listed("buildInputs")
    }


def test_what_the_flake_builds_itself_is_pinned_as_we_need_it():
    pinned = re.search(r"pname = \"cython-cmake\";\s+version = \"([\d.]+)\"", FLAKE)[1]
    (least,) = re.findall(r"cython-cmake>=([\d.]+)", " ".join(PROJECT["build-system"]["requires"]))
    numbers = [[int(number) for number in text.split(".")] for text in (pinned, least)]
    assert numbers[0] >= numbers[1]
    assert re.findall(r"hash = \"(.*)\"", FLAKE) == re.findall(
        r"hash = \"(sha256-[\w+/]{43}=)\"", FLAKE, re.ASCII
    )


# ---- with nix ---------------------------------------------------------------

# nixpkgs as far as the flake uses it. Where it is not real, a package is a string to interpolate,
# and what builds one returns its arguments; where it is, all are derivations.
STUB = """
real:
let
  names = text: builtins.filter builtins.isString (builtins.split " " text);
  made = system: name: derivation { inherit system name; builder = "/bin/sh"; };
  pkgs = system: let
    package = prefix: name: if real then made system name else prefix + name;
    named = prefix: text: builtins.listToAttrs
      (map (name: { inherit name; value = package prefix name; }) (names text));
    built = arguments: if real
      then made system arguments.pname // { meta = arguments.meta or { }; }
      else arguments // { outPath = "/nix/store/${arguments.pname}"; };
  in named "" "cmake ninja libtiff libdeflate xxHash gnumake ruff mypy" // {
    inherit lib system;
    fetchPypi = { pname, version, hash }:
      if real then made system pname else "${pname}-${version} ${hash}";
    mkShell = arguments: if real then made system "shell" else arguments;
    runCommand = name: environment: script:
      if real then made system name else { inherit name script; };
    python3Packages = named "python-" ("click click-default-group cython hatchling hatch-vcs "
      + "google-re2 imagecodecs lmdb numpy pytest safetensors scikit-build-core tifffile tqdm "
      + "xxhash") // {
      buildPythonPackage = built;
      buildPythonApplication = built;
    };
  };
  lib = {
    genAttrs = list: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) list);
    licenses.mit = "MIT";
  };
in
{ inherit lib; legacyPackages = lib.genAttrs
    [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] pkgs; }
"""


@pytest.fixture(scope="module")
def nixpkgs(tmp_path_factory):
    """The file of the stub, where there is nix."""
    if not shutil.which("nix-instantiate"):
        assert "RS_TENSOR_NIX" not in os.environ, "nix-instantiate is not installed"
        pytest.skip("nix-instantiate is not installed: make flake-test")
    stub = tmp_path_factory.mktemp("nix") / "nixpkgs.nix"
    stub.write_text(STUB)
    return stub


@pytest.fixture(scope="module")
def flake(nixpkgs):
    """Evaluate an expression in which `flake` is what the flake puts out."""

    def evaluate(expression):
        outputs = f"(import {ROOT}/flake.nix).outputs"
        code = f"""let
          nixpkgs = import {nixpkgs} false;
          flake = {outputs} {{ self = "{ROOT}"; inherit nixpkgs; }};
        in {expression}"""
        words = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", code]
        # Nothing is built: no store is needed.
        done = subprocess.run(
            [*words, "--store", "dummy://"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate


def test_nix_finds_nothing_wrong_with_the_outputs(nixpkgs, tmp_path):
    """`nix flake check`, with the stub in the place of nixpkgs: types of all outputs are right."""
    tree, place = tmp_path / "tree", tmp_path / "nixpkgs"
    (tree / "src/rs_tensor_encoder").mkdir(parents=True)
    place.mkdir()
    shutil.copy(ROOT / "flake.nix", tree)
    shutil.copy(rs_tensor_encoder.__file__, tree / "src/rs_tensor_encoder")
    shutil.copy(nixpkgs, place)
    (place / "flake.nix").write_text("{ outputs = _: import ./nixpkgs.nix true; }")
    ways = [
        ["lock", "--override-input", "nixpkgs", f"path:{place}"],
        ["check", "--no-build"],
        ["show", "--json"],
    ]
    for way in ways:
        words = ["nix", "--extra-experimental-features", "nix-command flakes", "flake", *way]
        words += [f"path:{tree}", "--offline", "--store", f"{tmp_path}/store"]
        done = subprocess.run(
            words, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    # Nor was nothing looked at.
    shown = json.loads(done.stdout)
    system = f"{platform.machine()}-linux"
    for output, name in {
        "packages": "rs-tensor-encoder",
        "checks": "rs-tensor-encoder-demo",
        "devShells": "shell",
    }.items():
        found = shown[output][system]["default"]
        assert (found["type"], found["name"]) == ("derivation", name)
    assert shown["apps"][system]["default"] == {"type": "app"}


def test_every_output_is_there_for_every_system(flake):
    names = flake("builtins.mapAttrs (_: builtins.attrNames) flake")
    systems = ["aarch64-darwin", "aarch64-linux", "x86_64-linux"]
    assert names == {
        "packages": systems,
        "apps": systems,
        "checks": systems,
        "devShells": systems,
        "overlays": ["default"],
    }
    assert flake("flake.apps.x86_64-linux.default") == {
        "type": "app",
        "program": "/nix/store/rs-tensor-encoder/bin/rs-tensor-encoder",
    }
    assert "bin/rs-tensor-encoder demo" in flake("flake.checks.x86_64-linux.default.script")
    assert flake("flake.devShells.x86_64-linux.default.packages")


def test_the_package_has_our_version_and_our_dependencies(flake):
    package = flake('builtins.removeAttrs flake.packages.x86_64-linux.default ["outPath"]')
    assert package["version"] == __version__
    assert {name.removeprefix("python-") for name in package["dependencies"]} == names(
        PROJECT["project"]["dependencies"]
    )
    # A string, or the store path of one that the flake builds.
    named = {name.rpartition("/")[2].removeprefix("python-") for name in package["build-system"]}
    assert named == names(PROJECT["build-system"]["requires"])
    assert {"libtiff", "libdeflate", "xxHash"} <= set(package["buildInputs"])


def test_the_overlay_adds_the_package(flake):
    added = flake(
        "builtins.mapAttrs (_: p: p.pname)"
        " (flake.overlays.default nixpkgs.legacyPackages.x86_64-linux { })"
    )
    assert added == {"rs-tensor-encoder": "rs-tensor-encoder"}
