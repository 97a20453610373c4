"""The plan is in the order of the keys, whatever the order of sources and directories."""

import pytest

from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source

LAYOUT = """
title = "Letters"
link = ""
option = "--letters"
patch = "file"
path = '(?:[a-z]+/)*[a-z]+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["A"]
"""


def source(root, *paths):
    for path in paths:
        place = root / f"{path}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return Source(parse("letters", LAYOUT.encode()), str(root))


def keys(plan):
    return b"".join(patch.key for patch in plan.patches)


def test_keys_ascend_across_directories_and_sources(tmp_path):
    one = source(tmp_path / "one", "z/a", "z/y/d", "a/x", "a/b/c/i", "m")
    other = source(tmp_path / "other", "b", "w", "q/e", "q/a/l")
    assert keys(discover([one])) == b"adimx"
    assert keys(discover([one, other])) == b"abdeilmwx"
    plan = discover([other, one])
    assert keys(plan) == b"abdeilmwx"
    places = [(patch.place.source, patch.place.path + b"/" + patch.name) for patch in plan.patches]
    assert places[:5] == [(1, b"/z/a"), (0, b"/b"), (1, b"/z/y/d"), (0, b"/q/e"), (1, b"/a/b/c/i")]


@pytest.mark.parametrize("twice", ["a", "d", "m", "x"])
def test_one_key_of_two_patches_is_one_too_many(tmp_path, twice):
    """The first of all, the last, or one in between; in one source, or in two."""
    paths = ["z/a", "z/y/d", "a/x", "m"]
    one = source(tmp_path / "one", *paths)
    other = source(tmp_path / "other", "b", f"k/{twice}")
    for sources in ([one, other], [source(tmp_path / "both", *paths, f"k/{twice}")]):
        with pytest.raises(SourceError, match=f"the key {twice} stands for two patches") as caught:
            discover(sources)
        assert "1 such key" in str(caught.value)
