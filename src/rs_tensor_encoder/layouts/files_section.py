"""The ``[[files]]`` of a layout."""

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rs_tensor_encoder.layouts import templates
from rs_tensor_encoder.layouts.toml_document import Document

#: Extensions of TIFF files, the likeliest first.
EXTENSIONS = (".tif", ".TIF", ".tiff", ".TIFF", ".Tif", ".Tiff")

#: Names of sample types, as NumPy calls them.
DTYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64",
)  # fmt: skip

_EXPECTED = {
    "path": 'the name of a TIFF file, for example "{name}_{band}.tif"',
    "bands": 'a list of names, for example ["B1", "B2"] or ["B{1..4}"]',
    "with": "a word, the NAME in --with NAME",
    "optional": "true or false",
    "dtype": f"one of {', '.join(DTYPES)}",
    "shape": "rows and columns, for example [120, 120]",
}


@dataclass(frozen=True)
class File:
    """One file of a patch: the template of its path, without extension, and its bands.

    ``entry`` is the number of the ``[[files]]`` that it is from, ``on`` the
    request on which it is read, "" for always. ``dtype`` and ``shape`` are what
    it usually holds, where that is known.
    """

    path: str
    bands: tuple[str, ...]
    entry: int = 0
    on: str = ""
    optional: bool = False
    dtype: str = ""
    shape: tuple[int, ...] = ()


def stem(name: str) -> str | None:
    """Return the name of a TIFF file without its extension, None for any other file."""
    for extension in EXTENSIONS:
        if name.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)]
    return None


def read_files(document: Document) -> tuple[File, ...]:
    """Read all ``[[files]]`` of a layout.

    Raises
    ------
    LayoutError
        If they are not valid; the text names the line and the key at fault.
    """
    entries = document.data.get("files")
    if not isinstance(entries, list) or not entries:
        raise document.error(
            "there must be at least one [[files]], with 'path' and 'bands'", "files"
        )
    files: list[File] = []
    count = 0
    for index, entry in enumerate(entries):
        found = _read(document, index, entry)
        files += found
        count += sum(len(file.bands) for file in found)
        if count > templates.MOST_BANDS:
            raise document.error(
                f"'bands' must not be more than {templates.MOST_BANDS} in all",
                "files", index, "bands",
            )  # fmt: skip
    seen: set[str] = set()
    for file in files:
        for band in file.bands:
            if band in seen:
                raise document.error(
                    f"'bands' must all differ, but two tensors are called {band!r}: give one of "
                    "them another name",
                    "files", file.entry, "bands",
                )  # fmt: skip
            seen.add(band)
    return tuple(files)


def _check(document: Document, index: int, entry: Any) -> None:
    """Refuse an entry that lacks a key, or has one of another name or type."""
    where = ("files", index)
    if not isinstance(entry, dict):
        raise document.error("[[files]] must have 'path' and 'bands'", *where)
    for key in entry:
        if key not in _EXPECTED:
            raise document.error(
                f"unknown key {key!r} in [[files]]; there are {', '.join(_EXPECTED)}", *where, key
            )
    for key in ("path", "bands"):
        if key not in entry:
            raise document.error(
                f"[[files]] must have 'path' and 'bands': {key!r} is missing; it must be "
                f"{_EXPECTED[key]}",
                *where,
            )
    for key, value in entry.items():
        if not _is_valid(key, value):
            raise document.error(f"{key!r} of [[files]] must be {_EXPECTED[key]}", *where, key)


def _read(document: Document, index: int, entry: Any) -> list[File]:
    _check(document, index, entry)
    where = ("files", index)
    path = stem(entry["path"])
    if path is None or path.endswith("/"):
        raise document.error(
            f"{entry['path']!r} must be the name of a TIFF file: it must end in .tif",
            *where, "path",
        )  # fmt: skip
    try:
        rows = (band for text in entry["bands"] for band in templates.expand(text))
        # One more than there may be: a few words can stand for any number.
        bands = tuple(islice(rows, templates.MOST_BANDS + 1))
    except ValueError as error:
        raise document.error(f"'bands': {error}", *where, "bands") from None
    if "__metadata__" in bands:
        raise document.error("'bands': '__metadata__' is reserved", *where, "bands")
    file = File(
        path,
        bands,
        entry=index,
        on=entry.get("with", ""),
        optional=entry.get("optional", False),
        dtype=entry.get("dtype", ""),
        shape=tuple(entry.get("shape", ())),
    )
    if "{band}" in path:
        return [replace(file, path=path.replace("{band}", band), bands=(band,)) for band in bands]
    return [file]


def _is_valid(key: str, value: Any) -> bool:
    if key == "bands":
        return isinstance(value, list) and bool(value) and all(_is_text(band) for band in value)
    if key == "optional":
        return type(value) is bool
    if key == "dtype":
        return value in DTYPES
    if key == "shape":
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(type(side) is int and side > 0 for side in value)
        )
    if key == "with":
        return _is_text(value) and value.replace("-", "").replace("_", "").isalnum()
    return _is_text(value)


def _is_text(value: Any) -> bool:
    return type(value) is str and bool(value)
