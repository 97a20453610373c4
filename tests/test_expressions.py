"""Expressions of strangers: as `re` matches them, or refused; never for ever."""

import re
from collections import Counter

import pytest

from oracles import records
from rs_tensor_encoder.errors import LayoutError, SourceError
from rs_tensor_encoder.layouts.linear_regex import Expression
from rs_tensor_encoder.layouts.parser import builtin, parse
from tiff_factory import ramp, strips
from trees import PATCHES

LAYOUT = """
title = "t"
link = "l"
option = "--o"
patch = "directory"
path = '{}'
key = "{{name}}"
[[files]]
path = "{{name}}.tif"
bands = ["A"]
"""


@pytest.mark.parametrize(
    "text", [r"(a+)+b", r"(a|a)*b", r"(a|aa)+b", r"(.*)*x", r"a*a*a*a*a*a*a*a*b", r"(\w|\d)*x" * 9]
)
def test_nothing_takes_for_ever(text):
    # Python's engine would take longer than the universe has.
    assert Expression(text).fullmatch("a" * 4000) is None
    assert parse("x", LAYOUT.format(text).encode()).match("a" * 4000) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"(?=a)b", "invalid perl operator"),
        (r"(a)\1", "invalid escape"),
        (r"(a{1000}){1000}", "bad repetition|invalid repetition"),
        (r"(((\w{100}){100}){100}){100}", "bad repetition|invalid repetition|too large"),
        ("(", r"missing \)"),
        ("\udcff", "surrogates"),
    ],
)
def test_what_is_refused(text, reason, capfd):
    with pytest.raises(LayoutError, match=reason):
        Expression(text)
    assert capfd.readouterr() == ("", "")


def test_a_refused_expression_names_its_layout():
    with pytest.raises(
        LayoutError, match="layout mine, line 6: 'path' is not a regular expression: "
    ):
        parse("mine", LAYOUT.format(r"(?<!x)y").encode())


def test_toml_that_goes_too_deep():
    with pytest.raises(LayoutError, match="layout mine: not a TOML file"):
        parse("mine", b"a = " + b"[" * 100_000)


def test_it_matches_as_the_engine_of_our_own_layouts_does():
    names = [
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43_reference_map",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_٤٨",
        "x",
        "",
        *(
            "/".join(path.split("/")[-depth:])
            for path, _ in PATCHES.values()
            for depth in range(1, 5)
        ),
    ]
    matches = Counter()
    for layout in builtin():
        assert isinstance(layout.pattern, re.Pattern)
        expression = Expression(layout.pattern.pattern)
        assert expression.groupindex == dict(layout.pattern.groupindex)
        for name in names:
            ours, theirs = layout.pattern.fullmatch(name), expression.fullmatch(name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                assert ours.groupdict() == theirs.groupdict()
                matches[layout.name] += 1
    assert matches.keys() == PATCHES.keys()


def test_groups_that_took_no_part_are_none():
    found = Expression(r"(?P<a>x)?(?P<b>.+)").fullmatch("yé/z")
    assert found.groupdict() == {"a": None, "b": "yé/z"}


def test_names_that_are_not_utf_8():
    assert Expression("a+").fullmatch("b\udcff") is None
    with pytest.raises(SourceError, match="not valid UTF-8"):
        Expression(".+").fullmatch("b\udcff")


@pytest.mark.parametrize("text", [r"(a+)+$", r"(a|a)*", r"((a*)*)*", r"(\w|\w\w)+$"])
def test_the_command_is_not_kept_waiting(run, tmp_path, text):
    """A layout of a stranger, and names that would keep Python's engine busy for ever."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("a" * 40, "a" * 200 + "!", "a" * 199 + "-", "aaa"):
        strips(ramp()).write(tree / f"{name}.tif")
    (tmp_path / "own.toml").write_text(
        f"patch = 'file'\npath = '{text}'\nkey = '{{name}}'\n"
        "[[files]]\npath = '{name}.tif'\nbands = ['A']\n"
    )
    source = ["--layout", tmp_path / "own.toml", tree]
    assert run(*source, tmp_path / "out", "-q").code == 0
    assert list(records(tmp_path / "out")) == [b"aaa", b"a" * 40]
    assert run("check", *source, tmp_path / "out", "-q", "--workers", "1").code == 0
    outcome = run("layouts", "--try", *source[1:])
    assert outcome.code == 0
    assert "tree: 2 patches of own\n" in outcome.out
    assert "2 files left over, which no patch has:" in outcome.out
    # What is proposed for such names does not keep anybody waiting either.
    outcome = run("layouts", "--guess", tree)
    assert outcome.code == 0
    parse("guessed", outcome.out.encode()).match("a" * 4000)


def test_an_expression_that_is_refused_on_the_command_line(run, tmp_path):
    (tmp_path / "own.toml").write_text(
        "patch = 'file'\npath = '(?=a)b'\nkey = '{name}'\n"
        "[[files]]\npath = '{name}.tif'\nbands = ['A']\n"
    )
    for verb in (["layouts", "--try"], ["--layout"]):
        target = [tmp_path / "out"] if verb == ["--layout"] else []
        outcome = run(*verb, tmp_path / "own.toml", tmp_path, *target)
        assert outcome.code == 2
        assert outcome.err == (
            f"Error: layout {tmp_path / 'own.toml'}, line 2: 'path' is not a regular expression: "
            "invalid perl operator: (?= (RE2 matches it, which knows neither look-arounds nor back "
            "references, because they may take for ever)\n"
        )
