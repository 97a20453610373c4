"""Layouts: the language, and those that come with the package."""

import re

import pytest

from rs_tensor_encoder.errors import LayoutError
from rs_tensor_encoder.layouts.parser import builtin, parse, read, stem

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
        ("key =", "# key =", "'key' is missing; it must be a text, for example"),
        ("{tile}_", "{tile_", "'key' cannot be filled: each { must have its }"),
        ("path = '(", "path = '/(", "it must not begin with /"),
        ("<tile>", "<name>", "a group called 'name'"),
        ('"directory"', '"file"\nkey2 = 1', "unknown key 'key2'; there are patch, path, key"),
        ('bands = ["M"]', 'bands = ["M"]\nband = 1', "unknown key 'band' in [[files]]"),
        ('bands = ["M"]', 'bands = "M"', "'bands' of [[files]] must be a list of names"),
        ('bands = ["M"]', "bands = []", "'bands' of [[files]] must be a list of names"),
        ('bands = ["M"]', 'bands = ["M", 3]', "'bands' of [[files]] must be a list of names"),
        ('bands = ["M"]', 'bands = ["M{3..1}"]', "'bands': 'M{3..1}' must go up"),
        ('"mask.tiff"', "3", "'path' of [[files]] must be the name of a TIFF file"),
        ('bands = ["M"]', 'bands = ["M"]\nwith = "a b"', "'with' of [[files]] must be a word"),
        ('bands = ["M"]', 'bands = ["M"]\noptional = 1', "'optional' of [[files]] must be true"),
        ('bands = ["M"]', 'bands = ["M"]\ndtype = "u2"', "'dtype' of [[files]] must be one of"),
        ('bands = ["M"]', 'bands = ["M"]\nshape = [2]', "'shape' of [[files]] must be rows"),
        ('"mask.tiff"', '"{mask}.tif"', "'path' of [[files]] cannot be filled: {mask} in"),
        ('title = "A dataset"', "title = 3", "'title' must be a text"),
        ("key =", "keys =", "unknown key 'keys'"),
        ('"directory"', '"folder"', "'patch' must be"),
        ("P\\d+'", "P(\\d+'", "'path' is not a regular expression"),
        ("{tile}_", "{tyle}_", "{tyle} in '{tyle}_{name}' is neither"),
        ("mask.tiff", "mask.png", "'mask.png' must be the name of a TIFF file"),
        ("mask.tiff", "/a/mask.tiff", "must be a relative path"),
        ("mask.tiff", "a/../mask.tiff", ".. is for its beginning only"),
        ("mask.tiff", "a//mask.tiff", "must be a relative path"),
        ("mask.tiff", "../../../mask.tiff", "may lead above the root"),
        ('"M"', '"B2"', "'bands' must all differ"),
        ('"M"', '"__metadata__"', "'__metadata__' is reserved"),
        ("[[files]]", "[[file]]", "unknown key 'file'"),
        ('bands = ["M"]', "", "[[files]] must have 'path' and 'bands'"),
        ('"M"', ", ".join(f'"{x}{{1..9999}}"' for x in "abc"), "not be more than 10000 in all"),
        ('"M"]', '"M{1..9999}"]', "not be more than 10000 in all"),
        ("title =", "title", "not a TOML file"),
    ],
)
def test_errors_name_the_key(old, new, reason):
    assert old in GOOD
    with pytest.raises(LayoutError) as caught:
        parse("mine", GOOD.replace(old, new).encode())
    assert reason in str(caught.value)
    # The line is the one that was changed, or that of the table where something is missing.
    changed = GOOD.partition(old)[0].count("\n") + 1
    line = int(re.match(r"layout mine(?:, line (\d+))?: ", str(caught.value)).group(1) or changed)
    assert changed - 2 <= line <= changed + new.count("\n")


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


def test_a_pattern_of_files_has_no_extension():
    text = GOOD.replace('"directory"', '"file"').replace("P\\d+'", "P\\d+\\.tif'")
    with pytest.raises(LayoutError, match="line 6: 'path' is matched without the extension"):
        parse("mine", text.encode())


def test_slashes_in_sets_are_no_components():
    layout = parse("a", GOOD.replace("T\\d+", "[^/]+").encode())
    assert layout.depth == 2
    assert layout.match("any/P7") == {"tile": "any", "name": "P7"}


MORE = """
with = "mask"
[[files]]
path = "../{tile}_a.tif"
bands = ["A"]
optional = true
[[files]]
path = "{band}.tif"
bands = ["C", "D"]
optional = true
"""


def test_files_on_request_and_optional_ones():
    layout = parse("a", (GOOD + MORE).encode())
    assert layout.requests == ("mask",)
    assert layout.bands == ("B1", "B2", "B3", "B8A", "A", "C", "D")
    groups = layout.match("T01/P7")
    always = ["P7_B1", "P7_B2", "P7_B3", "P7_B8A"]
    assert len(layout.formats) == 4
    assert layout.names(groups, 0) == always
    assert layout.names(groups, 1) == [*always, "../T01_a"]
    assert layout.names(groups, 2) == [*always, "C", "D"]
    assert layout.names(groups, 3) == [*always, "../T01_a", "C", "D"]
    asked = layout.asking(["mask", "other"])
    assert asked.asked == ("mask",)
    assert asked.names(groups, 0) == [*always, "mask"]
    assert asked.digest == layout.digest
    # What takes no more than the name is made without the expression.
    assert layout.names_by_name is None
    assert parse("a", GOOD.encode()).names_by_name == (
        b"{name}_B1\0{name}_B2\0{name}_B3\0{name}_B8A\0mask\0"
    )


def test_braces_in_the_names_of_files():
    """A file that is called {name}_x has no patch's name in it."""
    text = GOOD + '[[files]]\npath = "{{name}}_x.tif"\nbands = ["x"]\n'
    layout = parse("a", text.encode())
    assert layout.names_by_name is None
    assert layout.names({"name": "p1"})[-1] == "{name}_x"


def test_too_many_optional_files():
    text = GOOD + "".join(
        f'[[files]]\npath = "{i}.tif"\nbands = ["{i}"]\noptional = true\n' for i in range(7)
    )
    with pytest.raises(LayoutError, match=r"line 38: at most 6 of \[\[files\]\] may be optional"):
        parse("a", text.encode())


def test_a_layout_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    short = "\n".join(GOOD.splitlines()[4:])
    path.write_text(short)
    layout = read(str(path))
    assert (layout.name, layout.title, layout.link) == ("mine", "mine", "")
    assert layout.option == f"--layout {path}"
    path.write_text(short.replace("{tile}", "{tyle}"))
    with pytest.raises(LayoutError, match=rf"layout {path}, line 3: 'key' cannot be filled"):
        read(str(path))


def test_layouts_that_cannot_be_read(tmp_path):
    with pytest.raises(LayoutError, match=r"nothing\.toml: does not exist$"):
        read(str(tmp_path / "nothing.toml"))
    (tmp_path / "link.toml").symlink_to("gone.toml")
    with pytest.raises(LayoutError, match="is a symbolic link that leads nowhere"):
        read(str(tmp_path / "link.toml"))
    with pytest.raises(LayoutError, match="cannot be read: Is a directory"):
        read(str(tmp_path))
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    with pytest.raises(LayoutError, match="it is too large for one"):
        read(str(tmp_path / "large"))


def test_builtin_layouts_say_all_that_a_users_own_may_leave_out():
    for layout in builtin():
        assert layout.option.startswith("--")
        assert layout.link.startswith("http")
        assert layout.title.startswith(layout.family) or layout.family == "BigEarthNet"
        assert all(file.dtype for file in layout.every), layout.name
    options = [layout.option for layout in builtin()]
    assert len(set(options)) == len(options)
    assert [layout.name for layout in builtin()] == sorted(layout.name for layout in builtin())
