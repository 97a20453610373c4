"""An optional file that cannot be looked at is not a file that is lacking."""

import errno
import os
import re
import subprocess
import sys

import pytest
import safetensors.numpy

from harm import without_privileges
from oracles import records
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from tiff_factory import ramp, strips
from trees import SIBLINGS

UNKNOWN = [errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOMEM, errno.ELOOP, errno.ENAMETOOLONG]
LACKING = [errno.ENOENT, errno.ENOTDIR]


@pytest.fixture
def tree(tmp_path):
    """Three images, two of which have a mask."""
    for place, names in (("images", "abc"), ("masks", "ab")):
        (tmp_path / "tree" / place).mkdir(parents=True)
        for name in names:
            strips(ramp()).write(tmp_path / "tree" / place / f"{name}.tif")
    return tmp_path / "tree"


def plan_of(tree):
    return discover([Source(parse("own", SIBLINGS.encode()).asking(["mask"]), str(tree))])


def tensors(target):
    return [set(safetensors.numpy.load(value)) for value in records(target).values()]


@pytest.mark.parametrize("number", [*UNKNOWN, *LACKING])
def test_a_look_that_fails(tree, tmp_path, monkeypatch, number):
    """The look at one mask fails; reading it would not."""
    plan = plan_of(tree)
    lstat = os.lstat

    def failing(path):
        if os.path.basename(path) == b"a.tif":
            raise OSError(number, os.strerror(number))
        return lstat(path)

    monkeypatch.setattr("rs_tensor_encoder.sources.plan.os.lstat", failing)
    formats = [files.format for files in plan.files_of(plan.patches)]
    assert formats == [number in UNKNOWN, 1, 0]
    if number in UNKNOWN:
        encode(plan, str(tmp_path / "out"))
        assert tensors(tmp_path / "out") == [{"A", "mask"}, {"A", "mask"}, {"A"}]


def test_links_and_other_things_in_the_place_of_an_optional_file_are_there(tree):
    (tree / "masks" / "a.tif").unlink()
    (tree / "masks" / "a.tif").symlink_to("nowhere")
    (tree / "masks" / "c.TIFF").mkdir()
    plan = plan_of(tree)
    assert [files.format for files in plan.files_of(plan.patches)] == [1, 1, 1]


def test_masks_that_must_not_be_read_are_failures_not_gaps(tree, tmp_path):
    """Names may be listed, but not looked up: no patch may be encoded without its mask."""
    (tmp_path / "own.toml").write_text(SIBLINGS)
    words = [sys.executable, "-m", "rs_tensor_encoder", "--layout", tmp_path / "own.toml", tree]
    words += ["--with", "mask", tmp_path / "out", "-v"]
    (tree / "masks").chmod(0o444)
    try:
        before = without_privileges()
        done = subprocess.run([*before, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1, done
        for name in "abc":
            path = tree / "images" / ".." / "masks" / f"{name}.tif"
            assert re.search(f"{path}: cannot be .*: Permission denied", done.stderr)
        assert not (tmp_path / "out").exists()
    finally:
        (tree / "masks").chmod(0o755)
    subprocess.run(words, capture_output=True, check=True)
    assert tensors(tmp_path / "out") == [{"A", "mask"}, {"A", "mask"}, {"A"}]
