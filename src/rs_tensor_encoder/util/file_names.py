"""Names of files as text: UTF-8, whatever the locale.

Python decodes the names that the system gives it by the encoding of the user's locale. A key
must not depend on that: the same file would have one key on a machine with UTF-8 and another
on one with Latin-1. So names are taken from the system as bytes and read as UTF-8 here; bytes
that are not UTF-8 become surrogates (PEP 383), so that the way back is exact.
"""

import os


def decode(name: bytes) -> str:
    """Read a name, or a path, as UTF-8."""
    return name.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that `decode` has read."""
    return text.encode("utf-8", "surrogateescape")


def to_path(text: str) -> str:
    """Turn a text of `decode` into what Python's functions take as a path in this locale."""
    return os.fsdecode(encode(text))


def from_path(path: str) -> str:
    """Turn a path as Python's functions return it, or as the user typed it, into such a text."""
    return decode(os.fsencode(path))
