"""Fixtures: the real samples and the corpus where they are, a made-up sample always."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from harm import TALLY
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.cli import main
from rs_tensor_encoder.demo.sample import write_sample
from rs_tensor_encoder.layouts.parser import builtin
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source


def pytest_report_header():
    import lmdb
    import rasterio
    import safetensors
    import tifffile

    found = _tiff.versions()
    return (
        f"libtiff {found['libtiff']}, libdeflate {found['libdeflate']}, lmdb {lmdb.__version__}, "
        f"safetensors {safetensors.__version__}, numpy {np.__version__}, "
        f"tifffile {tifffile.__version__}, rasterio {rasterio.__version__}"
    )


def pytest_terminal_summary(terminalreporter):
    if TALLY:
        terminalreporter.section("harm done")
        for what, count in sorted(TALLY.items()):
            terminalreporter.write_line(f"{count:8,} {what}")


def _directory(variable):
    path = os.environ.get(variable)
    if not path or not os.path.isdir(path):
        pytest.skip(f"{variable} does not name a directory")
    return Path(path)


@pytest.fixture(scope="session")
def samples():
    """Real files of the real datasets."""
    return _directory("RS_TENSOR_SAMPLES")


@pytest.fixture(scope="session")
def corpus():
    """Odd and hostile TIFF files, with an index."""
    return _directory("RS_TENSOR_CORPUS")


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """A made-up sample dataset that all tests share: do not change it."""
    return write_sample(str(tmp_path_factory.mktemp("sample")), patches=6, hyspecnet=1)


@pytest.fixture
def own_sample(tmp_path):
    """A made-up sample dataset that the test may damage."""
    return write_sample(str(tmp_path / "sample"), patches=4, hyspecnet=0)


@pytest.fixture
def layouts():
    return {layout.name: layout for layout in builtin()}


@pytest.fixture
def plan_of(layouts):
    """Make a plan of sources given by name: plan_of(hyspecnet=root)."""

    def plan(**roots):
        return discover(
            [Source(layouts[name.replace("_", "-")], str(root)) for name, root in roots.items()]
        )

    return plan


@pytest.fixture
def bigearthnet(plan_of, made_up):
    """A plan of the made-up BigEarthNet."""
    return plan_of(bigearthnet_s1=made_up.sentinel_1, bigearthnet_s2=made_up.sentinel_2)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd):
    """Run the command in this process; what libraries print is seen, too."""

    def call(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture
def command():
    """Run the command as a user does, in a process of its own."""

    def call(*arguments, **options):
        done = subprocess.run(
            [sys.executable, "-m", "rs_tensor_encoder", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            errors="surrogateescape",
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def roots(made_up):
    """Arguments that name the made-up BigEarthNet."""
    return [
        "--bigearthnet-s1-root", made_up.sentinel_1, "--bigearthnet-s2-root", made_up.sentinel_2,
    ]  # fmt: skip


@pytest.fixture(scope="session")
def many_patches(made_up, tmp_path_factory):
    """Root of 2,000 Sentinel-1 patches of the real size: hard links to one."""
    root = tmp_path_factory.mktemp("many")
    files = {path.name[-7:]: path for path in Path(made_up.sentinel_1).rglob("*_70_48_*.tif")}
    for index in range(2000):
        tile = f"S1A_IW_GRDH_1SDV_20170613T{index // 100:06d}"
        name = f"{tile}_33UUP_{index % 100}_1"
        (root / tile / name).mkdir(parents=True)
        for ending, path in files.items():
            os.link(path, root / tile / name / f"{name}{ending}")
    return root


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)
