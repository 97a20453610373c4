"""Directories that are patches: most of them hold files of the same names."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rs_tensor_encoder.inference.grouping import (
    BAND,
    FIELD,
    SHARE,
    Group,
    Groups,
    label_of,
    numberless,
    shared,
)
from rs_tensor_encoder.inference.siblings import bands, escaped, says_what, some
from rs_tensor_encoder.layouts.files_section import stem
from rs_tensor_encoder.layouts.templates import fields

# Files of a directory that may be the bands of one patch.
_MOST_BANDS = 300

# Names that are shorter say what a file is, longer ones also which.
_SHORT = 16

# Share of the files that directories hold if these are the patches.
_MOST = 0.6

# What tells files of one patch that are of several resolutions.
_RESOLUTION = re.compile(r"[^A-Za-z0-9]*\d{1,3}m", re.IGNORECASE)

# Names of directories that are longer are looked for inside of their files' names.
_TELLING = 3


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
    # Those that the most files have: a patch of bands counts for more than one of a single file.
    names, _ = max(sets.items(), key=lambda item: (item[1] * len(item[0]), sorted(item[0])))
    alike = {
        directory: files
        for directory, files in found.items()
        if 2 * len(names & files.keys()) >= len(names)
        or (names & files.keys() and all(map(_is_named, files)))
    }
    if sum(map(len, alike.values())) < _MOST * len(tiffs):
        # Which files there are may differ, if all are called after their directories.
        alike = {x: files for x, files in found.items() if all(map(_is_named, files))}
    if sum(map(len, alike.values())) < _MOST * len(tiffs):
        return None
    # Images here and masks there are no patches, although the same names recur.
    if all(says_what(directory.rpartition("/")[2]) for directory in alike):
        return None
    often = Counter(name for files in alike.values() for name in files)
    every = names | {x for x, n in often.items() if _is_named(x) and n >= SHARE * len(alike)}
    alike = {directory: files for directory, files in alike.items() if every & files.keys()}
    if not alike or not _are_bands(root, every, alike):
        return None
    groups = []
    cores = _cores(every)
    for name in sorted(every, key=_natural):
        before, core, after = cores[name]
        # What is to stand for {band} in the path must be in the name as it is.
        whole = core and core == label_of(core)
        files = {directory: files[name] for directory, files in alike.items() if name in files}
        with_band = f"{before}{{band}}{after}.tif" if whole else ""
        groups.append(Group(f"{name}.tif", label_of(core), files, with_band))
    return Groups(True, sorted(alike), groups)


def _template(name: str, directory: str) -> str:
    """A file's name without extension, as a template over its directory's name and the one above.

    The name of the directory above counts only beside that of the directory.
    """
    text = stem(name) or name
    above, _, own = directory.rpartition("/")
    above = above.rpartition("/")[2]
    at = 0 if text.startswith(own) else -1
    if at and len(own) > _TELLING:
        found = re.search(rf"(?<![A-Za-z0-9]){re.escape(own)}(?![A-Za-z0-9])", text)
        at = found.start() if found else -1
    if at < 0:
        return escaped(text)
    before, after = text[:at], text[at + len(own) :]
    if above and re.match(rf"{re.escape(above)}[^A-Za-z0-9]", before):
        return f"{{folder1}}{escaped(before[len(above) :])}{{name}}{escaped(after)}"
    return f"{escaped(before)}{{name}}{escaped(after)}"


def _is_named(template: str) -> bool:
    """Tell whether a file is called after its directory."""
    return "name" in fields(template)


def _cores(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """What tells templates of names from each other, with what stands before and behind it."""
    found = {}
    for name in names:
        parts = re.fullmatch(rf"((?:{FIELD}[_\-. ]*)*)(.*?)((?:[_\-. ]*{FIELD})*)", name)
        found[name] = parts.groups() if parts else ("", name, "")
    # Endings that all have in common, such as a resolution, are no part of it.
    cores = [core for _, core, _ in found.values() if core]
    backwards = [core[::-1] for core in cores] if len(cores) > 1 else [""]
    ending = min(backwards)[: shared(min(backwards), max(backwards))][::-1]
    cut = re.search(r"[^A-Za-z0-9{}].*", ending)
    ending = cut.group() if cut and all(len(core) > len(cut.group()) for core in cores) else ""
    return {
        name: (
            before,
            core[: len(core) - len(ending)] if core else "",
            (ending if core else "") + after,
        )
        for name, (before, core, after) in found.items()
    }


def _are_bands(root: str, names: Iterable[str], alike: dict[str, dict[str, str]]) -> bool:
    """Tell whether files that recur in directories are parts of a patch, not patches."""
    names = sorted(names)
    cores = {name: core for name, (_, core, _) in _cores(names).items()}
    if len(names) > _MOST_BANDS or (len(names) == 1 and cores[names[0]].isdigit()):
        return False
    if len(alike) == 1 and not all(
        _is_named(x) or (len(x) < _SHORT and len(names) > 1) for x in names
    ):
        # One directory alone does not show that its files recur: their names must.
        return False
    kinds_of: dict[str, list[str]] = {}
    for name in names:
        kinds_of.setdefault(numberless(name), []).append(name)
    for same in kinds_of.values():
        # Files that differ in a number only are bands if they look so, else patches.
        if len(same) > 1 and not all(_RESOLUTION.fullmatch(cores[name]) for name in same):
            paths = [files[x] for files in alike.values() for x in same if x in files]
            if not all(BAND.fullmatch(cores[name]) for name in same) or any(
                bands(root, path) != 1 for path in some(paths, 8)
            ):
                return False
    return True


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(run) if run.isdigit() else -1, run) for run in re.findall(r"\d+|\D+", name)]
