"""Files that are patches, with others beside them or in sibling directories."""

import os
import re
from collections import Counter
from collections.abc import Sequence

from rs_tensor_encoder.inference.grouping import BAND, SHARE, Group, Groups, label_of, numberless
from rs_tensor_encoder.inference.siblings import Scheme, bands, escaped, find_scheme, on_request
from rs_tensor_encoder.layouts.files_section import stem

# Parts that files may play.
_MOST_PARTS = 40

# What comes behind the common part of files of which it says which, not what they are: a date.
_WHICH = re.compile(r"(\D*\d){6}")


def by_file(root: str, tiffs: Sequence[str], *, alone: bool = False) -> Groups:
    """Group files as patches that are files, with others beside them or in sibling directories.

    Parameters
    ----------
    root : str
        The tree.
    tiffs : sequence of str
        Its TIFF files.
    alone : bool
        Whether directories hold whole patches, so that siblings are not parts of them.
    """
    bases = _bases(root, tiffs)
    scheme = Scheme() if alone else find_scheme(root, tiffs, bases)
    members: dict[tuple[str, str], dict[str, str]] = {}
    for path in tiffs:
        directory, name = os.path.split(path)
        part, rest = scheme.split(directory.split("/"))
        ending = (stem(name) or name)[len(bases[path]) :]
        members.setdefault((part, ending), {})["/".join([*rest, bases[path]])] = path
    sharing = Counter(base for files in members.values() for base in files)

    def weight(key: tuple[str, str]) -> tuple[bool, int, int, int, bool]:
        companions = sum(sharing[base] > 1 for base in members[key])
        number = bands(root, min(members[key].values()))
        # Masks with colours may have as many bands as images.
        label = on_request(f"{key[0]}{key[1]}")
        return not label, number, companions, len(members[key]), bool(key[0])

    main = max(sorted(members), key=weight)
    patches = {base: stem(path) or path for base, path in members[main].items()}
    groups = []
    for part, ending in [main, *sorted(members.keys() - {main})]:
        files = members[part, ending]
        shared_bases = sorted(patches.keys() & files.keys())
        if len(shared_bases) < SHARE * len(patches):
            continue
        way = scheme.way(part, main[0]) if part != main[0] else ""
        own = f"{way}{'{id}' if main[1] else '{name}'}"
        core = ending.lstrip("_-. ")
        groups.append(
            Group(
                f"{own}{escaped(ending)}.tif",
                label_of(ending or part.rpartition("/")[2]) or "parent",
                {patches[base]: files[base] for base in shared_bases},
                # What is to stand for {band} in the path must be in the name as it is.
                f"{own}{ending[: -len(core)]}{{band}}.tif" if core == label_of(core) != "" else "",
            )
        )
    if not main[1] or len(groups) == 1 or bands(root, min(members[main].values())) != 1:
        # What the images are called tells nothing of their bands.
        groups[0].path, groups[0].label, groups[0].with_band = "{name}.tif", "", ""
    labels = [group.label for group in groups]
    for group in groups[1:]:
        # The same name in several directories: the way to it tells more.
        if labels.count(group.label) > 1:
            way = re.sub(r"\.\./|\{folder\d+\}", "", group.path).rpartition("/")[0]
            group.label = label_of(way) or group.label
    return Groups(False, sorted(patches.values()), groups, main[1] if len(groups) > 1 else "")


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
            endings.setdefault((directory, numberless(ending)), set()).add(ending)
    numbered = {key for key, found in endings.items() if len(found) > 1}
    # One file of each kind is looked into: there may be many.
    known: dict[str, int] = {}
    common: Counter[str] = Counter()

    def number(path: str) -> int:
        kind = numberless(path)
        if kind not in known:
            known[kind] = bands(root, path)
        return known[kind]

    for path, bases in possible.items():
        directory, name = os.path.split(path)
        text = stem(name) or name
        bases[1:] = [
            base
            for base in bases[1:]
            if (
                not _WHICH.match(text[len(base) :])
                and (directory, numberless(text[len(base) :])) not in numbered
            )
            or (BAND.fullmatch(text[len(base) :]) and number(path) == 1)
        ]
        common.update(bases)
    # The longest of those that the most files have.
    chosen = {
        path: max(bases, key=lambda base: (common[base], len(base)))
        for path, bases in possible.items()
    }
    parts = Counter(_ending(path, base) for path, base in chosen.items())
    patches = len(set(chosen.values()))
    together = [base for base, number in Counter(chosen.values()).items() if number > 1]
    # Files that have the beginning of their names in common are patches if they are the only
    # ones, unless their endings say that they are bands or masks.
    tell = sum(BAND.fullmatch(ending) is not None for ending in parts) > 1 or any(
        on_request(ending) for ending in parts
    )
    if len(parts) > _MOST_PARTS or (len(together) == 1 and not tell):
        return {path: bases[0] for path, bases in possible.items()}
    return {
        path: base if parts[_ending(path, base)] >= SHARE * patches else possible[path][0]
        for path, base in chosen.items()
    }


def _ending(path: str, base: str) -> str:
    name = os.path.basename(path)
    return (stem(name) or name)[len(base) :]
