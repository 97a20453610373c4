"""A look at a tree: what kinds of files it has, without walking all of it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from rs_tensor_encoder.plain import plain

# Entries that are looked at. A directory is looked into as far as its share goes, but
# at least so far that the files of a patch are seen together.
_BUDGET = 20_000
_SHARE = 512


@dataclass
class Survey:
    """Files of a tree, as paths relative to its root, sorted; hidden ones do not count.

    ``whole`` is False if there are more than were looked at.
    """

    root: str
    files: list[str] = field(default_factory=list)
    whole: bool = True

    def by_directory(self) -> Iterator[tuple[str, list[str]]]:
        """Directories, and the names of the files in each."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            directory, _, name = path.rpartition("/")
            found.setdefault(directory, []).append(name)
        yield from found.items()


def look(root: str, budget: int = _BUDGET) -> Survey:
    """Look at files in all parts of a tree, at no more than a budget of entries."""
    survey = Survey(root)
    _look(survey, "", budget)
    survey.files.sort()
    return survey


def _look(survey: Survey, directory: str, budget: int) -> int:
    """Look into a directory; return how many entries were looked at."""
    entries = []
    try:
        with os.scandir(os.path.join(survey.root, directory)) as found:
            entries = list(islice((x for x in found if not x.name.startswith(".")), budget))
            survey.whole &= next(found, None) is None
    except OSError:
        survey.whole = False
    used = len(entries)
    inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    survey.files += [
        os.path.join(directory, entry.name)
        for entry in entries
        if not entry.is_dir(follow_symlinks=False)
    ]
    for index, name in enumerate(inside):
        if used >= budget:
            survey.whole = False
            break
        share = max(_SHARE, (budget - used) // (len(inside) - index))
        used += _look(survey, os.path.join(directory, name), min(share, budget - used))
    return used


def kinds(paths: Iterable[str]) -> list[tuple[str, int]]:
    """Count files whose paths differ in numbers only; the first of each kind stands for it.

    Returns
    -------
    list of (str, int)
        A path and how many are like it, the most frequent first.
    """
    found: dict[str, tuple[str, int]] = {}
    for path in paths:
        kind = re.sub(r"\d+", "0", path)
        first, count = found.get(kind, (path, 0))
        found[kind] = (first, count + 1)
    ranked = sorted(found.values(), key=lambda item: -item[1])
    return [(plain(path), count) for path, count in ranked]


def listed(paths: Iterable[str], most: int = 3) -> str:
    """Write down the kinds of files for people: ``a_1.tif and 24 like it, b.txt``."""
    found = kinds(paths)
    shown = [
        path if count == 1 else f"{path} and {count - 1:,} like it" for path, count in found[:most]
    ]
    rest = sum(count for _, count in found[most:])
    return ", ".join(shown) + (f", and {rest:,} more" if rest else "")
