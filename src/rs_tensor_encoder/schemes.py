"""Directories that are parts of patches: images here, masks there, with the same names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from rs_tensor_encoder.looks import look_into

_Item = TypeVar("_Item")

# Directories that may be parts.
_MOST_FOLDERS = 12


@dataclass(frozen=True)
class Scheme:
    """Which directories are parts of patches: the last ``span``, or the one ``above`` the last."""

    span: int = 0
    above: bool = False

    def split(self, parts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Tell the part that a directory plays from the rest of its path."""
        if self.above:
            return "".join(parts[-2:-1]), (*parts[:-2], *parts[-1:])
        at = len(parts) - self.span
        return "/".join(parts[at:]), tuple(parts[: max(at, 0)])

    def literal(self, part: str) -> dict[int, str]:
        """Components, counted from the end, that are the part itself."""
        if self.above:
            return {2: part} if part else {}
        return {i + 1: text for i, text in enumerate(reversed(part.split("/"))) if text}

    def way(self, part: str) -> str:
        """Template of the path to another part."""
        if self.above:
            return f"../../{escaped(part)}/{{folder1}}/"
        return "../" * self.span + f"{escaped(part)}/"


_SCHEMES = (Scheme(1), Scheme(2, above=True), Scheme(2))


def find_scheme(root: str, tiffs: Sequence[str], bases: dict[str, str]) -> Scheme:
    """Tell whether sibling directories hold parts of the same patches, and which.

    Directories whose files are alike are taken for places: classes, splits.
    """
    most = max(bands(root, path) for path in some(tiffs, 64))
    for scheme in _SCHEMES:
        places: dict[tuple[tuple[str, ...], str], dict[str, str]] = {}
        for path in tiffs:
            part, rest = scheme.split(os.path.dirname(path).split("/"))
            places.setdefault((rest, bases[path]), {})[part] = path
        if len({part for files in places.values() for part in files}) > _MOST_FOLDERS:
            continue
        # Files with the most bands must have others with them; masks with masks are not enough.
        kinds_of = [{kind(root, p) for p in x.values()} for x in some(list(places.values()), 64)]
        main = [found for found in kinds_of if any(number == most for number, _ in found)]
        if 2 * sum(len(found) > 1 for found in main) > len(main):
            return scheme
    return Scheme()


def some(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """At most about so many of the items, from all parts."""
    return items[:: max(1, len(items) // most)]


def bands(root: str, path: str) -> int:
    """Number of bands of a file, 0 if it cannot be read."""
    return kind(root, path)[0]


@lru_cache(maxsize=1024)
def kind(root: str, path: str) -> tuple[int, str]:
    """Number of bands and sample type of a file; none if it cannot be read."""
    try:
        looks = look_into(root, path)
    except ValueError:
        return 0, ""
    return looks.bands, looks.dtype


def escaped(text: str) -> str:
    """Write a text so that a template yields it."""
    return text.replace("{", "{{").replace("}", "}}")
