"""The flake evaluates, against a stub of nixpkgs that hands back what it is given."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rs_tensor_encoder import __version__

ROOT = Path(__file__).parent.parent

# A package is a string to interpolate; what builds one returns its arguments.
STUB = """
let
  names = text: builtins.filter builtins.isString (builtins.split " " text);
  named = prefix: text: builtins.listToAttrs
    (map (name: { inherit name; value = prefix + name; }) (names text));
  built = arguments: arguments // { outPath = "/nix/store/${arguments.pname}"; };
  lib = {
    genAttrs = list: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) list);
    licenses.mit = "MIT";
  };
  pkgs = system: named "" "cmake ninja libtiff libdeflate xxHash gnumake ruff mypy" // {
    inherit lib system;
    fetchPypi = { pname, version, hash }: "${pname}-${version} ${hash}";
    mkShell = arguments: arguments;
    runCommand = name: environment: script: { inherit name script; };
    python3Packages = named "python-" ("click click-default-group cython hatchling hatch-vcs "
      + "google-re2 imagecodecs lmdb numpy pytest safetensors scikit-build-core tifffile tqdm "
      + "xxhash") // {
      buildPythonPackage = built;
      buildPythonApplication = built;
    };
  };
in
{ inherit lib; legacyPackages = lib.genAttrs
    [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] pkgs; }
"""


@pytest.fixture(scope="module")
def flake(tmp_path_factory):
    """Evaluate an expression in which `flake` is what the flake puts out."""
    if not shutil.which("nix-instantiate"):
        pytest.skip("nix-instantiate is not installed (Debian: nix-bin)")
    stub = tmp_path_factory.mktemp("nix") / "nixpkgs.nix"
    stub.write_text(STUB)

    def evaluate(expression):
        outputs = f"(import {ROOT}/flake.nix).outputs"
        code = f"""let
          nixpkgs = import {stub};
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
    import tomllib

    package = flake('builtins.removeAttrs flake.packages.x86_64-linux.default ["outPath"]')
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {word.split(">=")[0] for word in project["project"]["dependencies"]}
    assert package["version"] == __version__
    assert {name.removeprefix("python-") for name in package["dependencies"]} == wanted
    wanted = {word.split(">=")[0] for word in project["build-system"]["requires"]}
    # A string, or the store path of one that the flake builds.
    named = {name.rpartition("/")[2].removeprefix("python-") for name in package["build-system"]}
    assert named == wanted
    assert {"libtiff", "libdeflate", "xxHash"} <= set(package["buildInputs"])


def test_the_overlay_adds_the_package(flake):
    added = flake(
        "builtins.mapAttrs (_: p: p.pname)"
        " (flake.overlays.default nixpkgs.legacyPackages.x86_64-linux { })"
    )
    assert added == {"rs-tensor-encoder": "rs-tensor-encoder"}
