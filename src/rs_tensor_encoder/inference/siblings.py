"""Directories that are parts of patches: images here, masks there, with the same names."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from rs_tensor_encoder.inspection.tiff_summary import Looks, look_into

_Item = TypeVar("_Item")

# Directories that may be parts.
_MOST_FOLDERS = 12

# Names of what people call masks, labels and quality layers.
_ON_REQUEST = re.compile(
    r"mask|label|cloud|quality|annot|instance|semantic|thumb|(^|[^a-z])(gt|seg|qa|ql|scl|msk|lbl)",
    re.IGNORECASE,
)

# Names of directories that say what is in their files, not which.
_WHAT = re.compile(r"(images?|imgs?|inputs?|sources?|targets?|rgb|dem|dsm)", re.IGNORECASE)


def on_request(label: str) -> bool:
    """Tell whether something is called like masks, labels or quality layers."""
    return _ON_REQUEST.search(label) is not None


def says_what(folder: str) -> bool:
    """Tell whether a directory is called like a part of patches: images, masks."""
    return on_request(folder) or _WHAT.fullmatch(folder) is not None


@dataclass(frozen=True)
class Scheme:
    """Which directories are parts of patches.

    The last ``span``, or the one ``above`` the last; of these only those called
    by one of the ``names`` where there are any, the others hold parts, too.
    """

    span: int = 0
    above: bool = False
    names: frozenset[str] = frozenset()

    def split(self, parts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Tell the part that a directory plays from the rest of its path."""
        if self.names and parts[-1] not in self.names:
            return "", tuple(parts)
        if self.above:
            return "".join(parts[-2:-1]), (*parts[:-2], *parts[-1:])
        at = len(parts) - self.span
        rest = tuple(parts[: max(at, 0)])
        # The root is a directory without a name.
        return "/".join(parts[at:]), rest or ("",) if self.names else rest

    def way(self, part: str, main: str) -> str:
        """Template of the path from a part to another one."""
        up = "../" * (main.count("/") + 1) if main else ""
        down = f"{escaped(part)}/" if part else ""
        return f"{up}../{down}{{folder1}}/" if self.above else f"{up}{down}"


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
        kinds_of = [
            {_kind(root, path, part) for part, path in files.items()}
            for files in some(list(places.values()), 64)
        ]
        main = [found for found in kinds_of if any(number == most for number, _, _ in found)]
        if 2 * sum(len(found) > 1 for found in main) > len(main):
            return scheme
    names = _beside_their_parent(tiffs, bases)
    return Scheme(1, names=names) if names else Scheme()


def _kind(root: str, path: str, part: str) -> tuple[int, str, bool]:
    """What is in a file, and whether its directory is called like masks."""
    return *kind(root, path), on_request(part)


def _beside_their_parent(tiffs: Sequence[str], bases: dict[str, str]) -> frozenset[str]:
    """Names of directories most of whose files are there once more in the directory above."""
    places = {(os.path.dirname(path), bases[path]) for path in tiffs}
    every: Counter[str] = Counter()
    twice: Counter[str] = Counter()
    for directory, base in places:
        above, _, name = directory.rpartition("/")
        if name:
            every[name] += 1
            twice[name] += (above, base) in places
    return frozenset(name for name, count in twice.items() if 2 * count > every[name])


def some(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """At most about so many of the items, from all parts."""
    return items[:: max(1, len(items) // most)]


def bands(root: str, path: str) -> int:
    """Number of bands of a file, 0 if it cannot be read."""
    return kind(root, path)[0]


def kind(root: str, path: str) -> tuple[int, str]:
    """Number of bands and sample type of a file; none if it cannot be read."""
    looks = seen(root, path)
    return (looks.bands, looks.dtype) if looks else (0, "")


@lru_cache(maxsize=8192)
def seen(root: str, path: str) -> Looks | None:
    """Look into a file, once; None if it cannot be read."""
    try:
        return look_into(root, path)
    except ValueError:
        return None


def escaped(text: str) -> str:
    """Write a text so that a template yields it."""
    return text.replace("{", "{{").replace("}", "}}")
