"""Layouts: the language, and those that come with the package."""

import pytest

from rs_tensor_encoder.errors import LayoutError
from rs_tensor_encoder.layout import builtin, parse, stem

TILE = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"

GOOD = """
title = "A dataset"
link = "https://example.org"
option = "--a-dataset"
patch = "directory"
path = '(?P<tile>T\\d+)/P\\d+'
key = "{tile}_{name}"
[[files]]
path = "{name}_{band}.tif"
bands = ["B{1..3}", "B8A"]
[[files]]
path = "mask.tiff"
bands = ["M"]
"""


def test_a_layout_says_what_a_patch_is():
    layout = parse("a", GOOD.encode())
    assert layout.depth == 2
    groups = layout.match("T01/P7")
    assert groups == {"tile": "T01", "name": "P7"}
    assert layout.key.format_map(groups) == "T01_P7"
    assert layout.names(groups) == ["P7_B1", "P7_B2", "P7_B3", "P7_B8A", "mask"]
    assert layout.bands == ("B1", "B2", "B3", "B8A", "M")
    assert layout.match("T01/P7x") is None
    assert layout.match("xT01/P7") is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('title = "A dataset"', "title = 3", "'title' must be a text"),
        ('title = "A dataset"', "", "'title' must be a text"),
        ('"directory"', '"folder"', "'patch' must be"),
        ("P\\d+'", "P(\\d+'", "'path' is not a regular expression"),
        ("{tile}_", "{tyle}_", "{tyle} in '{tyle}_{name}' is neither"),
        ("mask.tiff", "mask.png", "'mask.png' must be the name of a TIFF file"),
        ("mask.tiff", "a/mask.tiff", "must be the name of a TIFF file"),
        ('"M"', '"B2"', "'bands' must all differ"),
        ('"M"', '"__metadata__"', "'__metadata__' is reserved"),
        ("[[files]]", "[[file]]", "unknown key 'file'"),
        ('bands = ["M"]', "", "[[files]] must have 'path' and 'bands'"),
        ("title =", "title", "not a TOML file"),
    ],
)
def test_errors_name_the_key(old, new, reason):
    assert old in GOOD
    with pytest.raises(LayoutError) as caught:
        parse("mine", GOOD.replace(old, new).encode())
    assert reason in str(caught.value)
    assert str(caught.value).startswith("layout mine: ")


def test_no_files_at_all():
    with pytest.raises(LayoutError, match="at least one"):
        parse("mine", GOOD.partition("[[files]]")[0].encode())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tif", "a"),
        ("a.b.TIF", "a.b"),
        ("a.tiff", "a"),
        ("a.TIFF", "a"),
        (".tif", None),
        ("a.png", None),
        ("tif", None),
    ],
)
def test_stem_cuts_the_extension_and_nothing_else(name, expected):
    assert stem(name) == expected


def test_builtin_layouts_match_real_names(layouts):
    names = {
        "bigearthnet-s1": [
            "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48",
            "S1B_IW_GRDH_1SDV_20180513T051552_29UPU_5_0",
        ],
        "bigearthnet-s2": [
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43",
            "S2B_MSIL2A_20180510T94033_19_86",
        ],
        "bigearthnet-reference-maps": [
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57_reference_map",
        ],
        "hyspecnet": [
            f"{TILE}-Y01460273_X03110438",
        ],
    }
    assert names.keys() == layouts.keys()
    for name, examples in names.items():
        for example in examples:
            assert layouts[name].match(example) == {"name": example}
        for other in names.keys() - {name}:
            assert all(layouts[name].match(example) is None for example in names[other])


def test_builtin_layouts_are_sorted_and_have_options_of_their_own():
    found = builtin()
    assert [layout.name for layout in found] == sorted(layout.name for layout in found)
    assert len({layout.option for layout in found}) == len(found)
    assert len(next(x for x in found if x.name == "hyspecnet").bands) == 224
