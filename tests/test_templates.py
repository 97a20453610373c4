"""Templates, rows of bands, and the depth of an expression."""

import pytest

from rs_tensor_encoder.layouts import templates


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("a", 1),
        (r"a/\d+/b", 3),
        (r"[^/]+/b", 2),
        (r"[]/]+/b", 2),
        (r"[^]/]+/b", 2),
        (r"[\]/]+/b", 2),
        (r"[\d]/[^/]", 2),
        (r"a\/b", 1),
        (r"(s2a/)?\d{7}/[A-Z/]", 3),
    ],
)
def test_components(pattern, count):
    assert templates.components(pattern) == count


def test_rows_of_bands():
    assert templates.expand("B{9..11}a") == ["B9a", "B10a", "B11a"]
    assert templates.expand("B8A") == ["B8A"]
    assert templates.expand("{3..3}") == ["3"]
    for wrong in ("B{3..1}", "B{1..10001}", "B{1..9999999999999999999}"):
        with pytest.raises(ValueError, match="must go up"):
            templates.expand(wrong)


def test_names_for_people():
    bands = ["B01", "B02", "B03", "B04", "B8A", "B09", "B10", "VV", "VH", "1", "2", "3", "4", "6"]
    assert templates.shorten(bands) == "B01 ... B04 B8A B09 B10 VV VH 1 ... 4 6"
    assert templates.shorten([]) == ""
    # Numbers that are none, and what a search that goes back and forth would not end with.
    bands = ["1" * 5000, "1" * 4999 + "2", "1" * 500_000 + "x", "x", "y0"]
    assert templates.shorten(bands) == " ".join(bands)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{name", "each { must have its }"),
        ("name}", "each { must have its }"),
        ("{nome}", "{nome} in '{nome}' is neither {name} nor a named group"),
        ("{}", "is neither {name} nor a named group"),
        ("{name!r}", "a name only"),
        ("{name:>9}", "a name only"),
        ("{name.x}", "{name.x} in"),
        ("{name[0]}", "{name[0]} in"),
    ],
)
def test_templates_that_cannot_be_filled(template, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        templates.check(template, {"name", "tile"})
    assert reason in str(caught.value)


def test_templates_that_can():
    templates.check("a_{name}_{tile}", {"name", "tile"})
    templates.check_path("../a/{name}", 1)
    templates.check_path("{name}", 0)
