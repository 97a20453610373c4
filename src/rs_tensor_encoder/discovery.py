"""The search for patches: directories are walked in parallel, the plan is in the order of keys."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import NamedTuple

from rs_tensor_encoder.errors import SourceError, no_directory
from rs_tensor_encoder.helpers import Helpers
from rs_tensor_encoder.layout import LONGEST_KEY, stem
from rs_tensor_encoder.plain import counted
from rs_tensor_encoder.recognise import describe, is_of_another, misplaced
from rs_tensor_encoder.sources import Patch, Place, Plan, Source
from rs_tensor_encoder.survey import look

# Directories read at once: many, because on cold or remote storage each waits.
_WALKERS = 16


def discover(sources: Sequence[Source]) -> Plan:
    """Find all patches of all sources.

    Raises
    ------
    SourceError
        If a root does not exist, a directory cannot be read, a source has no
        patches, a key is too long, or two patches have the same key.
    """
    plan = Plan(sources, [])
    with _no_collector(), Helpers(_WALKERS) as helpers:
        for index in range(len(sources)):
            found = list(_walk(plan, index, helpers))
            if not found:
                raise SourceError(_nothing(plan, index))
            plan.patches += found
    plan.patches.sort(key=itemgetter(0))
    _check_keys(plan)
    return plan


@contextmanager
def _no_collector() -> Iterator[None]:
    """Leave garbage collection for later.

    Millions of tuples are made here, and all of them stay: the collector would walk them again
    and again (measured: a fifth of the time of a search), instead of once.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Scan(NamedTuple):
    place: Place
    patches: list[Patch]
    directories: list[str]
    links: list[str]


def _walk(plan: Plan, index: int, helpers: Helpers) -> Iterator[Patch]:
    source = plan.sources[index]
    if not os.path.isdir(source.root):
        raise SourceError(
            f"{source.root}: {no_directory(source.root)} (given as {source.layout.option})"
        )
    links: list[str] = []
    foreign: list[str] = []
    level = [source.root]
    while level:
        scans = list(helpers.map(lambda path: _scan(source, index, path), level))
        level = [path for scan in scans for path in scan.directories]
        strangers = helpers.map(lambda scan: _is_foreign(source, scan), scans)
        for scan, is_foreign in zip(scans, strangers, strict=True):
            links += scan.links
            if is_foreign:
                foreign += [plan.locate(patch) for patch in scan.patches]
            else:
                yield from scan.patches
    if links:
        plan.notes.append(
            f"symbolic links to directories are not followed ({len(links):,} here, for example "
            f"{links[0]})"
        )
    if foreign:
        plan.notes.append(
            f"the search left out {counted(len(foreign), 'directory')} with names like patches of "
            f"{source.layout.title} but files of another dataset, for example {foreign[0]}"
        )


def _scan(source: Source, index: int, path: str) -> _Scan:
    layout = source.layout
    below = path[len(source.root.rstrip("/")) :].rstrip("/")
    scan = _Scan(Place(index, os.fsencode(below)), [], [], [])
    prefix = layout.prefix(below)
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                if entry.is_symlink() and _is_directory(entry):
                    scan.links.append(entry.path)
                elif entry.is_dir():
                    if layout.of_files or not _add(scan, source, prefix, name):
                        scan.directories.append(entry.path)
                elif layout.of_files:
                    base = stem(name)
                    if base is not None:
                        _add(scan, source, prefix, base)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error} (while looking for patches under "
            f"{layout.option} {source.root})"
        ) from None
    # Directories come in the file system's order; the plan must not depend on it.
    scan.directories.sort()
    scan.patches.sort(key=itemgetter(0))
    return scan


def _is_directory(link: os.DirEntry[str]) -> bool:
    """Tell whether a link leads to a directory, or nowhere that we can see."""
    try:
        return link.is_dir()
    except OSError:
        return True


def _add(scan: _Scan, source: Source, prefix: str, name: str) -> bool:
    text = source.layout.key_of(prefix + name)
    if text is None:
        return False
    raw = os.fsencode(name)
    try:
        key = text.encode()
        problem = None if 0 < len(key) <= LONGEST_KEY else _key_problem(key)
    except UnicodeEncodeError:
        problem = "the name is not valid UTF-8, so it cannot be a key"
    if problem:
        path = os.path.join(source.root, os.fsdecode(scan.place.path).lstrip("/"), name)
        # Unprintable names are quoted.
        raise SourceError(f"{path if path.isprintable() else repr(path)}: {problem}")
    scan.patches.append(Patch(key, scan.place, len(key) - len(raw) if key.endswith(raw) else raw))
    return True


def _key_problem(key: bytes) -> str:
    if not key:
        return "its key would be empty; use a layout whose key has {name}"
    return (
        f"its key would take {len(key)} bytes, and LMDB takes {LONGEST_KEY} at most; use a layout "
        "with a shorter key"
    )


def _is_foreign(source: Source, scan: _Scan) -> bool:
    """Tell whether directories only look like patches: all of those in a directory."""
    if source.layout.of_files or not scan.patches:
        return False
    return all(
        is_of_another(
            source.layout,
            source.root,
            os.fsdecode(scan.place.path + b"/" + patch.name).lstrip("/"),
        )
        for patch in scan.patches
    )


def _check_keys(plan: Plan) -> None:
    twice = [
        (one, other)
        for one, other in zip(plan.patches, plan.patches[1:], strict=False)
        if one.key == other.key
    ]
    if twice:
        one, other = twice[0]
        raise SourceError(
            f"the key {one.key.decode()} stands for two patches: {plan.locate(one)} and "
            f"{plan.locate(other)} ({counted(len(twice), 'such key')} in all); remove one of them "
            "or encode them into different targets"
        )


def _nothing(plan: Plan, index: int) -> str:
    source = plan.sources[index]
    kind = "files" if source.layout.of_files else "directories"
    text = (
        f"{source.root}: no patches of {source.layout.title} found "
        f"(given as {source.layout.option}; looked at any depth for {kind} named like "
        f"{source.layout.pattern.pattern})"
    )
    notes = (note[0].upper() + note[1:] for note in plan.notes)
    survey = look(source.root)
    return ". ".join([text, describe(survey), *misplaced(source.layout, survey), *notes])
