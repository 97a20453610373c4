r"""What a dataset looks like on disk: layouts, which are TOML files, and paths.

A layout says what a patch is (a directory or a file), how its path looks (a
regular expression over the last components of the path below the root), what
its key is, and which bands its files hold, in file order::

    title = "BigEarthNet Sentinel-1 (v2.0 and v1.0)"
    link = "https://doi.org/10.5281/zenodo.10891137"
    option = "--bigearthnet-s1-root"
    patch = "directory"
    path = 'S1[A-D]_IW_GRDH_1SDV_\d{8}T\d{6}_\d{2}[A-Z]{3}_\d{1,2}_\d{1,2}'
    key = "{name}"
    [[files]]
    path = "{name}_{band}.tif"
    bands = ["VV", "VH"]

Keys and paths of files are templates over the named groups of the expression
and over ``{name}``, the last component of the patch's path (without extension
where the patch is a file). ``{band}`` in a path stands for one file per band,
``{1..224}`` in a band for a row of bands. ``.tif``, ``.tiff`` and ``.TIF`` are
the same; hidden files do not count.

The paths of files are relative to the patch's directory, or to the one in which
its file lies. They may lead to others, as far as 'path' names them::

    path = '(?P<chip>\w+)/images/\w+'
    ...
    path = "../masks/{name}.tif"

An expression that begins with an optional component, as in ``(s2a/)?\d{7}``,
also matches what lies directly below the root. Look-arounds and back references
are left out: they may take for ever.

Three things may be said of files besides: ``with = "mask"``: they are read only
where the user says ``--with mask``; ``optional = true``: a patch may lack them,
all of an entry together; ``dtype = "uint16"`` and ``shape = [120, 120]``: what
they usually hold, for people. What is in a file counts.

In a layout of one's own, ``title``, ``link``, ``option`` and ``family`` (the
heading of the option in ``--help``) may be left out.
"""

import hashlib
import os
import re
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files as resources
from importlib.resources.abc import Traversable

from rs_tensor_encoder.errors import LayoutError, missing
from rs_tensor_encoder.layouts import templates
from rs_tensor_encoder.layouts.files_section import EXTENSIONS, File, read_files, stem
from rs_tensor_encoder.layouts.linear_regex import Expression
from rs_tensor_encoder.layouts.model import Layout
from rs_tensor_encoder.layouts.toml_document import Document

__all__ = [
    "EXTENSIONS", "LONGEST_KEY", "File", "Layout", "builtin", "parse", "read", "similar", "stem",
    "text_of",
]  # fmt: skip

#: Longest key that LMDB takes, in bytes (MDB_MAXKEYSIZE of LMDB 0.9).
LONGEST_KEY = 511

# What must be there, and how it is written.
_REQUIRED = {
    "patch": '"directory" or "file"',
    "path": "a text, the regular expression of a patch's path",
    "key": 'a text, for example "{name}"',
}
_OPTIONAL = {
    "title": "a text, what the dataset is called",
    "link": "a text, where the dataset comes from",
    "option": "a text, for example --my-dataset",
    "family": "a text, the heading of the option in --help",
}

# Bytes of a layout; a TIFF file given by mistake is larger.
_LARGEST = 1 << 20

# Entries of optional files: each doubles the kinds of patches.
_MOST_OPTIONAL = 6


@cache
def builtin() -> tuple[Layout, ...]:
    """All layouts that come with the package, sorted by name."""
    names = sorted(entry.name for entry in _folder().iterdir())
    return tuple(
        parse(name.removesuffix(".toml"), _folder().joinpath(name).read_bytes(), trusted=True)
        for name in names
        if name.endswith(".toml")
    )


def similar(name: str) -> list[Layout]:
    """Layouts that come with the package and are called much like this, the likeliest first."""
    known = {layout.name: layout for layout in builtin()}
    name = os.path.splitext(os.path.basename(name))[0].lower()
    begin = [layout for layout in builtin() if name and layout.name.startswith(name)]
    return begin or [known[one] for one in get_close_matches(name, known)]


def text_of(name: str) -> str:
    """The TOML file of a layout that comes with the package."""
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return resources("rs_tensor_encoder.layouts").joinpath("builtin")


def read(path: str) -> Layout:
    """Read a layout that a user has written.

    Raises
    ------
    LayoutError
        If it cannot be read or is not valid; the text names the file, the line
        and the key at fault.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise LayoutError(f"layout {path}: {missing(path)}") from None
    except OSError as error:
        raise LayoutError(f"layout {path}: cannot be read: {error.strerror or error}") from None
    if len(text) > _LARGEST:
        raise LayoutError(f"layout {path}: not a TOML file: it is too large for one")
    layout = parse(path, text)
    name = os.path.splitext(os.path.basename(path))[0]
    return replace(
        layout,
        name=name,
        title=name if layout.title == path else layout.title,
        # In messages, it is what the user has typed that helps.
        option=f"--layout {path}",
    )


def parse(name: str, text: bytes, *, trusted: bool = False) -> Layout:
    """Read a layout.

    Parameters
    ----------
    name : str
        What the layout is called.
    text : bytes
        The TOML file.
    trusted : bool
        Whether its expression is known not to keep ``re`` busy for ever.

    Raises
    ------
    LayoutError
        If it is not valid; the text names the line and the key at fault, and
        what is expected.
    """
    document = Document(name, text)
    data = document.data
    for key in data:
        if key not in {*_REQUIRED, *_OPTIONAL, "files"}:
            known = ", ".join([*_REQUIRED, *_OPTIONAL, "[[files]]"])
            raise document.error(f"unknown key {key!r}; there are {known}", key)
    for key, expected in {**_REQUIRED, **_OPTIONAL}.items():
        if key in data and (type(data[key]) is not str or not data[key]):
            # Links may be unknown.
            if key == "link" and data[key] == "":
                continue
            raise document.error(f"{key!r} must be {expected}", key)
        if key in _REQUIRED and key not in data:
            raise document.error(f"{key!r} is missing; it must be {expected}")
    if data["patch"] not in ("directory", "file"):
        raise document.error(f"'patch' must be {_REQUIRED['patch']}", "patch")
    pattern = _pattern(document, trusted=trusted)
    title = data.get("title", name)
    layout = Layout(
        name=name,
        title=title,
        link=data.get("link", ""),
        option=data.get("option", f"--{name}"),
        family=data.get("family", title),
        of_files=data["patch"] == "file",
        pattern=pattern,
        key=data["key"],
        every=read_files(document),
        digest=hashlib.sha256(text).hexdigest(),
    )
    _check(layout, document)
    return layout


def _pattern(document: Document, *, trusted: bool) -> re.Pattern[str] | Expression:
    text = document.data["path"]
    try:
        pattern = re.compile(text, re.ASCII) if trusted else Expression(text)
    except LayoutError as error:
        raise document.error(f"'path' is {error}", "path") from None
    for group in ("name", "band"):
        if group in pattern.groupindex:
            raise document.error(
                f"'path' has a group called {group!r}, which means something else already; "
                "choose another name",
                "path",
            )
    # What matches nothing is no mistake that the search could point to.
    if text.startswith("/"):
        raise document.error("'path' is relative to the root: it must not begin with /", "path")
    if document.data["patch"] == "file" and stem(text.replace("\\.", ".")) is not None:
        raise document.error(
            "'path' is matched without the extension: leave .tif away at its end", "path"
        )
    return pattern


def _check(layout: Layout, document: Document) -> None:
    """Refuse templates that cannot be filled, and what there is too much of."""
    known = {"name", *layout.pattern.groupindex}
    above = layout.depth - layout.of_files
    try:
        templates.check(layout.key, known)
    except ValueError as error:
        raise document.error(f"'key' cannot be filled: {error}", "key") from None
    for file in layout.every:
        try:
            templates.check(file.path, known)
            templates.check_path(file.path, above)
        except ValueError as error:
            raise document.error(
                f"'path' of [[files]] cannot be filled: {error}", "files", file.entry, "path"
            ) from None
    optional = layout.asking(layout.requests).optional
    if len(optional) > _MOST_OPTIONAL:
        raise document.error(
            f"at most {_MOST_OPTIONAL} of [[files]] may be optional", "files", optional[-1]
        )
