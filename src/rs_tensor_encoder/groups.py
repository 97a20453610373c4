"""Files of a tree put into groups: those that play the same part in their patches."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rs_tensor_encoder.entries import stem
from rs_tensor_encoder.schemes import Scheme, bands, escaped, find_scheme, some
from rs_tensor_encoder.survey import kinds

# Files of a directory that may be the bands of one patch.
_MOST_BANDS = 300

# Parts that files may play.
_MOST_PARTS = 40

# What comes behind the common part of files that are bands with a number.
_BAND = re.compile(r"[^A-Za-z0-9]*(B|C|band|)_?\d{1,3}[A-Za-z]?", re.IGNORECASE)

# Names that are shorter say what a file is, longer ones also which.
_SHORT = 16

# Share of the patches that a part must occur in.
_SHARE = 0.3


@dataclass
class Group:
    """Files that play the same part: one per patch.

    ``path`` is the template of their paths, ``label`` what tells them from
    others, ``prefix`` what comes before the label where nothing comes behind.
    """

    path: str
    label: str
    files: list[str]
    prefix: str | None = None


@dataclass
class Groups:
    """What patches are made of, and what their paths must say; see `guess`."""

    directories: bool
    patches: list[str]
    groups: list[Group]
    literal: dict[int, str] = field(default_factory=dict)
    base: str | None = None
    folder: int = 0


def by_directory(root: str, tiffs: Sequence[str]) -> Groups | None:
    """Group files as those of directories that are patches; None if they do not look so.

    Directories are patches if most of them hold files of the same names, or of
    the directory's name with the same endings.
    """
    found: dict[str, dict[str, str]] = {}
    for path in tiffs:
        directory, _, name = path.rpartition("/")
        if directory:
            found.setdefault(directory, {})[_template(name, directory)] = path
    if not found:
        return None
    sets = Counter(frozenset(files) for files in found.values())
    names, _ = max(sets.items(), key=lambda item: (item[1], len(item[0]), sorted(item[0])))
    alike = {
        directory: files
        for directory, files in found.items()
        if 2 * len(names & files.keys()) >= len(names)
    }
    if sum(map(len, alike.values())) < 0.6 * len(tiffs) or not _are_bands(root, names, alike):
        return None
    groups = []
    for name in sorted(names, key=_natural):
        label = name.removeprefix("{name}").lstrip("_-. ")
        prefix = name[: len(name) - len(label)]
        files = [files[name] for files in alike.values() if name in files]
        # What is to stand for {band} in the path must be in the name as it is.
        whole = label if label == _plain(label) else ""
        groups.append(Group(f"{name}.tif", _plain(label), files, prefix if whole else None))
    return Groups(True, sorted(alike), groups)


def _template(name: str, directory: str) -> str:
    """A file's name without extension, as a template over its directory's name."""
    text = stem(name) or name
    own = directory.rpartition("/")[2]
    return "{name}" + escaped(text[len(own) :]) if text.startswith(own) else escaped(text)


def _are_bands(root: str, names: Iterable[str], alike: dict[str, dict[str, str]]) -> bool:
    """Tell whether files that recur in directories are parts of a patch, not patches."""
    names = sorted(names)
    if len(names) > _MOST_BANDS:
        return False
    if len(alike) == 1 and not all(x.startswith("{name}") or len(x) < _SHORT for x in names):
        # One directory alone does not show that its files recur: their names must.
        return False
    for name, count in kinds(names):
        # Files that differ in a number only are bands if they look so, else patches.
        if count > 1:
            same = [x for x in names if _numberless(x) == _numberless(name)]
            paths = [files[x] for files in alike.values() for x in same if x in files]
            if not all(_BAND.fullmatch(x.removeprefix("{name}")) for x in same) or any(
                bands(root, path) != 1 for path in some(paths, 8)
            ):
                return False
    return True


def _numberless(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def by_file(root: str, tiffs: Sequence[str]) -> Groups:
    """Group files as patches that are files, with others beside them or in sibling directories."""
    bases = _bases(root, tiffs)
    scheme = find_scheme(root, tiffs, bases)
    members: dict[tuple[str, str], dict[str, str]] = {}
    for path in tiffs:
        directory, name = os.path.split(path)
        part, rest = scheme.split(directory.split("/"))
        ending = (stem(name) or name)[len(bases[path]) :]
        members.setdefault((part, ending), {})["/".join([*rest, bases[path]])] = path

    def weight(key: tuple[str, str]) -> tuple[int, int]:
        return bands(root, min(members[key].values())), len(members[key])

    main = max(sorted(members), key=weight)
    patches = members[main]
    groups = [_group(main, main, scheme, patches)]
    for key, files in sorted(members.items()):
        shared = patches.keys() & files.keys()
        if key != main and len(shared) >= _SHARE * len(patches):
            groups.append(_group(key, main, scheme, {base: files[base] for base in shared}))
    found = Groups(False, sorted(stem(path) or path for path in patches.values()), groups)
    labels = [group.label for group in groups]
    for group in groups[1:]:
        # The same name in several directories: the way to it tells more.
        if labels.count(group.label) > 1:
            group.label = _plain(group.path.replace("../", "").rpartition("/")[0]) or group.label
    if len(groups) > 1:
        found.base = main[1] or None
        found.literal = scheme.literal(main[0])
        found.folder = int(scheme.above and bool(found.literal))
    return found


def _group(
    key: tuple[str, str], main: tuple[str, str], scheme: Scheme, files: dict[str, str]
) -> Group:
    part, ending = key
    if key == main:
        return Group("{name}.tif", "", list(files.values()))
    own = "{id}" if main[1] else "{name}"
    way = scheme.way(part) if part != main[0] else ""
    label = ending or part.rpartition("/")[2]
    return Group(f"{way}{own}{escaped(ending)}.tif", _plain(label), list(files.values()))


def _bases(root: str, tiffs: Sequence[str]) -> dict[str, str]:
    """The part of each file's name that it shares with the other files of its patch.

    That is what most files begin with up to a separator, if what follows is a
    word: ``a_1`` of a_1.mask and a_1.image. Words with a number that counts the
    files of a directory are no parts of a patch but patches.
    """
    possible: dict[str, list[str]] = {}
    endings: dict[tuple[str, str], set[str]] = {}
    for path in tiffs:
        directory, name = os.path.split(path)
        text = stem(name) or name
        cuts = [match.start() for match in re.finditer(r"[^A-Za-z0-9](?=[A-Za-z])", text)][-3:]
        possible[path] = [text, *(text[:cut] for cut in reversed(cuts) if cut)]
        for base in possible[path][1:]:
            ending = text[len(base) :]
            endings.setdefault((directory, _numberless(ending)), set()).add(ending)
    numbered = {key for key, found in endings.items() if len(found) > 1}
    # One file of each kind is looked into: there may be many.
    known: dict[str, int] = {}
    common: Counter[str] = Counter()

    def number(path: str) -> int:
        kind = _numberless(path)
        if kind not in known:
            known[kind] = bands(root, path)
        return known[kind]

    for path, bases in possible.items():
        directory, name = os.path.split(path)
        text = stem(name) or name
        bases[1:] = [
            base
            for base in bases[1:]
            if (directory, _numberless(text[len(base) :])) not in numbered
            or (_BAND.fullmatch(text[len(base) :]) and number(path) == 1)
        ]
        common.update(bases)
    # The longest of those that the most files have.
    chosen = {
        path: max(bases, key=lambda base: (common[base], len(base)))
        for path, bases in possible.items()
    }
    parts = Counter(_ending(path, base) for path, base in chosen.items())
    patches = len(set(chosen.values()))
    if len(parts) > _MOST_PARTS or patches == 1 < len(tiffs):
        return {path: bases[0] for path, bases in possible.items()}
    return {
        path: base if parts[_ending(path, base)] >= _SHARE * patches else possible[path][0]
        for path, base in chosen.items()
    }


def _ending(path: str, base: str) -> str:
    name = os.path.basename(path)
    return (stem(name) or name)[len(base) :]


def _plain(label: str) -> str:
    """What to call a band or a file by its part of the name."""
    return re.sub(r"\W+", "_", label.replace("{name}", "")).strip("_")


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(run) if run.isdigit() else -1, run) for run in re.findall(r"\d+|\D+", name)]
