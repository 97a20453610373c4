"""Mistakes in a TOML file are named by line."""

import pytest

from rs_tensor_encoder.errors import LayoutError
from rs_tensor_encoder.layouts.toml_document import Document

TEXT = """\
# a comment

title = "A"
text = '''
title = "B"
[[files]]
'''  # a trap

# of the list
list = [
  "a",  # one

  "b",
]

[[files]]
path = "x"

[[files]]
# before it
path = "y"
table.inner = 1
[[files]]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 3),
        (("text",), 4),
        (("list",), 10),
        (("files",), 16),
        (("files", 0), 16),
        (("files", 0, "path"), 17),
        (("files", 1), 19),
        (("files", 1, "path"), 21),
        (("files", 1, "table", "inner"), 22),
        (("files", 2), 23),
        (("files", 2, "path"), None),
        (("files", 3), None),
        (("nothing",), None),
        (("title", 0), None),
    ],
)
def test_lines(path, line):
    assert Document("x", TEXT.encode()).line(*path) == line
    # The same, as an editor on Windows would save it.
    text = "\ufeff" + TEXT.replace("\n", "\r\n")
    assert Document("x", text.encode()).line(*path) == line


def test_what_is_not_there_is_blamed_on_its_table():
    error = Document("x.toml", TEXT.encode()).error("wrong", "files", 2, "path")
    assert str(error) == "layout x.toml, line 23: wrong"
    error = Document("x.toml", TEXT.encode()).error("wrong", "nothing")
    assert str(error) == "layout x.toml: wrong"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a = 1\nb = \n", "line 2: not a TOML file: Invalid value"),
        (b"a = 1\na = 2\n", "line 2: not a TOML file: Cannot overwrite a value"),
        (b"a = 1\n\nb = '''x\n", "line 3: not a TOML file: Expected"),
        (b"a = 1\nb = '\xff'\n", "line 2: not a TOML file: it is not UTF-8"),
        (b"II*\0\x08\0\0\0", "line 1: not a TOML file: "),
        (b"a = " + b"[" * 100_000, "not a TOML file: nested too deeply"),
    ],
)
def test_what_is_no_toml(text, reason):
    with pytest.raises(LayoutError) as caught:
        Document("x", text)
    assert reason in str(caught.value)
