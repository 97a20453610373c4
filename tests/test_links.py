"""Symbolic links in the place of files: followed inside the source, and nowhere else."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from oracles import records, value_of
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.errors import PatchError
from tiff_factory import ramp, strips
from trees import SIBLINGS


@pytest.fixture
def root(own_sample):
    return Path(own_sample.sentinel_1)


def first(root):
    return sorted(root.rglob("*_VV.tif"))[0]


def both(run, root, target):
    """Encode without what fails, then check; return the failures and the check's exit code."""
    source = ["--bigearthnet-s1-root", root]
    encoded = run(*source, target, "-q", "--skip-failed")
    checked = run("check", *source, target, "--workers", "1", "-q")
    return encoded.err, checked.code


def absolute(path, place):
    path.symlink_to(place)


def relative(path, place):
    path.symlink_to(os.path.relpath(place, path.parent))


def through_others(path, place):
    (path.parent / "hop").symlink_to(place)
    path.symlink_to("hop")


def through_directories(path, place):
    (path.parent / "hop").symlink_to(place.parent)
    path.symlink_to(f"hop/{place.name}")


LINKS = [absolute, relative, through_others, through_directories]


@pytest.mark.parametrize("link", LINKS)
def test_links_inside_the_source_are_followed(run, root, tmp_path, link):
    run("--bigearthnet-s1-root", root, tmp_path / "before", "-q")
    store = root / ".store"
    store.mkdir()
    path = first(root)
    shutil.move(path, store / "blob")
    link(path, store / "blob")
    assert both(run, root, tmp_path / "out") == ("", 0)
    assert records(tmp_path / "out") == records(tmp_path / "before")


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("place", ["elsewhere", "BigEarthNet-S1-more", "root-swapped"])
def test_links_that_lead_out_are_not(run, root, tmp_path, link, place):
    outside = root.parent / place
    outside.mkdir()
    path = first(root)
    shutil.move(path, outside / "blob")
    link(path, outside / "blob")
    err, code = both(run, root, tmp_path / "out")
    assert err == (
        f"Failed: {path}: leads out of the source by a symbolic link; name {root.parent}, which "
        "holds the links and the files, as the source, or copy the files into it\n"
    )
    # To the check it is what was left out, not a difference.
    assert code == 0
    assert len(records(tmp_path / "out")) == 3


def test_the_root_may_be_a_link(run, root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    store = root / ".store"
    store.mkdir()
    path = first(root)
    shutil.move(path, store / "blob")
    path.symlink_to(store / "blob")
    assert both(run, tmp_path / "link", tmp_path / "out") == ("", 0)


def test_links_that_lead_nowhere(run, root, tmp_path):
    one, two = sorted(root.rglob("*_VV.tif"))[:2]
    for path in (one, two):
        path.unlink()
    one.symlink_to("nowhere")
    two.symlink_to(two.name)
    err, code = both(run, root, tmp_path / "out")
    assert (
        f"Failed: {one}: there is no such file: it is a symbolic link that leads nowhere\n" in err
    )
    assert f"Failed: {two}: cannot be followed: Too many levels of symbolic links\n" in err
    assert code == 0


def test_paths_of_several_components_stay_inside(tmp_path):
    """A layout may name files of other directories: these may be links that lead out."""
    inside, outside = tmp_path / "source", tmp_path / "outside"
    for place in (inside / "a", inside / "b", outside):
        place.mkdir(parents=True)
        strips(ramp()).write(place / "x.tif")
    (inside / "c").symlink_to(outside)
    encoder = _tiff.Encoder([[["A"]]], [".tif"], roots=[bytes(inside)])

    def outcome(name):
        files = [(0, bytes(inside / "a"), name + b"\0")]
        (result,), _ = encoder.encode(files, out)
        return result if isinstance(result, PatchError) else out[result[0] : result[1]].tobytes()

    out = np.empty(1 << 16, np.uint8)
    assert outcome(b"../b/x") == value_of({"A": ramp()})
    for name in (b"../c/x", b"../../outside/x", b"../../outside/../outside/x"):
        assert "leads out of the source" in str(outcome(name))
    assert "there is no such file" in str(outcome(b"../b/y"))


@pytest.fixture
def own(tmp_path):
    """A tree with masks in a sibling directory, outside of which there are others."""
    (tmp_path / "own.toml").write_text(SIBLINGS)
    for place in ("tree/images", "tree/masks", "outside"):
        (tmp_path / place).mkdir(parents=True)
        for name in "ab":
            strips(ramp()).write(tmp_path / place / f"{name}.tif")
    return tmp_path


def test_a_layout_leads_nowhere_else(run, own):
    source = ["--layout", own / "own.toml", own / "tree"]
    asked = [*source, "--with", "mask"]
    assert run(*asked, own / "whole", "-q").code == 0
    # A link to a directory inside of the source is followed.
    (own / "tree" / "masks").rename(own / "tree" / "other")
    (own / "tree" / "masks").symlink_to("other")
    assert run(*asked, own / "linked", "-q").code == 0
    assert records(own / "linked") == records(own / "whole")
    assert run("check", *asked, own / "linked", "-q", "--workers", "1").code == 0
    # One that leads out of it is not, by any verb.
    (own / "tree" / "masks").unlink()
    (own / "tree" / "masks").symlink_to(own / "outside")
    outcome = run(*asked, own / "out", "-q")
    assert outcome.code == 1
    mask = own / "tree" / "images" / "../masks/a.tif"
    assert f"{mask}: leads out of the source by a symbolic link" in outcome.err
    outcome = run("check", *asked, own / "whole", "-q", "--workers", "1")
    assert outcome.code == 1
    assert "leads out of the source by a symbolic link" in outcome.err
    outcome = run("layouts", "--try", *source[1:])
    assert outcome.code == 0
    assert "masks/a.tif: leads out of the tree by a symbolic link (--with mask)" in outcome.err


@pytest.mark.parametrize("verb", ["--guess", "--try"])
def test_layouts_look_at_nothing_else(run, own, verb):
    for name in "cdefgh":
        (own / "tree" / "images" / f"{name}.tif").symlink_to(own / "outside" / "a.tif")
    os.mkfifo(own / "tree" / "images" / "i.tif")
    (own / "tree" / "images" / "a.tif").unlink()
    (own / "tree" / "images" / "b.tif").unlink()
    if verb == "--guess":
        outcome = run("layouts", "--guess", own / "tree")
        assert "Note: 7 files cannot be read: images/c.tif, " in outcome.err
    else:
        outcome = run("layouts", "--try", own / "own.toml", own / "tree")
        assert outcome.code == 1
        assert "images/c.tif: leads out of the tree by a symbolic link" in outcome.err
        assert "images/i.tif: not a regular file" in outcome.err


def test_optional_files_that_lead_nowhere_are_not_lacking(run, own):
    asked = ["--layout", own / "own.toml", own / "tree", "--with", "mask"]
    mask = own / "tree" / "masks" / "a.tif"
    mask.unlink()
    mask.symlink_to("nowhere")
    outcome = run(*asked, own / "out", "-q")
    assert outcome.code == 1
    assert "masks/a.tif: there is no such file" in outcome.err
    mask.unlink()
    assert run(*asked, own / "out", "-q").code == 0


def test_without_roots_no_link_is_followed(tmp_path):
    strips(ramp()).write(tmp_path / "x.tif")
    (tmp_path / "y.tif").symlink_to("x.tif")
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    (result,), _ = encoder.encode([(0, bytes(tmp_path), b"y\0")], np.empty(1 << 16, np.uint8))
    assert result.reason == "a symbolic link"
    with pytest.raises(ValueError, match="a root for each format"):
        _tiff.Encoder([[["A"]], [["A"]]], [".tif"], roots=[b"/"])
