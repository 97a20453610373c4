"""A look at a tree: what kinds of files it has, without walking all of it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.text import plain

# Entries that are looked at. A directory is looked into as far as its share goes, but
# at least so far that the files of a patch are seen together.
_BUDGET = 20_000
_SHARE = 512

#: Directories that operating systems and file servers put into trees. ``__MACOSX`` and ``@eaDir``
#: repeat the names of the files beside them.
SYSTEM_DIRECTORIES = frozenset(
    {b"__MACOSX", b"@eaDir", b"lost+found", b"$RECYCLE.BIN", b"System Volume Information"}
)


@dataclass
class Survey:
    """Files of a tree, as paths relative to its root, in UTF-8, sorted.

    Hidden files and those of operating systems do not count.

    ``directories`` are those that are not links, ``links`` the links to
    directories, which are among the files, too. ``whole`` is False if there are
    more than were looked at.
    """

    root: str
    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
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
    entries: list[os.DirEntry[bytes]] = []
    try:
        with os.scandir(
            os.path.join(os.fsencode(survey.root), file_names.encode(directory))
        ) as found:
            entries = list(islice((entry for entry in found if _counts(entry)), budget))
            survey.whole &= next(found, None) is None
    except OSError:
        survey.whole = False
    used = len(entries)
    inside = []
    for entry in entries:
        name = file_names.decode(entry.name)
        if entry.is_dir(follow_symlinks=False):
            inside.append(name)
            continue
        path = os.path.join(directory, name)
        survey.files.append(path)
        if entry.is_symlink() and os.path.isdir(entry.path):
            survey.links.append(path)
    inside.sort()
    survey.directories += [os.path.join(directory, name) for name in inside]
    for index, name in enumerate(inside):
        if used >= budget:
            survey.whole = False
            break
        share = max(_SHARE, (budget - used) // (len(inside) - index))
        used += _look(survey, os.path.join(directory, name), min(share, budget - used))
    return used


def _counts(entry: os.DirEntry[bytes]) -> bool:
    return not entry.name.startswith(b".") and entry.name not in SYSTEM_DIRECTORIES


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
