"""The search for patches: directories are walked in parallel, the plan is in the order of keys."""

import gc
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from operator import itemgetter
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

from rs_tensor_encoder.errors import NotUtf8Error, SourceError
from rs_tensor_encoder.inspection.file_kind import no_directory
from rs_tensor_encoder.inspection.identify import describe, is_of_another, misplaced
from rs_tensor_encoder.inspection.tree_sample import SYSTEM_DIRECTORIES, look
from rs_tensor_encoder.layouts.parser import LONGEST_KEY, stem
from rs_tensor_encoder.sources.left_aside import LeftAside, Reason
from rs_tensor_encoder.sources.plan import Patch, Place, Plan, Source
from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.prefetch import Helpers
from rs_tensor_encoder.util.text import counted

# Directories read at once: many, because on cold or remote storage each waits.
_WALKERS = 16

_MIXED_CASE = re.compile(rb"\.tiff?$", re.IGNORECASE)


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
    directories: list[bytes]
    left_aside: LeftAside


def _walk(plan: Plan, index: int, helpers: Helpers) -> Iterator[Patch]:
    source = plan.sources[index]
    if not os.path.isdir(source.root):
        raise SourceError(
            f"{source.root}: {no_directory(source.root)} (given as {source.layout.option})"
        )
    level = [os.fsencode(source.root)]
    while level:
        scans = list(helpers.map(lambda path: _scan(source, index, path), level))
        level = [path for scan in scans for path in scan.directories]
        strangers = helpers.map(lambda scan: _is_foreign(source, scan), scans)
        for scan, is_foreign in zip(scans, strangers, strict=True):
            plan.left_aside.merge(scan.left_aside)
            if is_foreign:
                for patch in scan.patches:
                    plan.left_aside.add(Reason.OTHER_DATASET, plan.locate(patch))
            else:
                yield from scan.patches


def _scan(source: Source, index: int, path: bytes) -> _Scan:
    layout = source.layout
    # Not the names that Python would decode by the locale.
    below = path[len(os.fsencode(source.root).rstrip(b"/")) :].rstrip(b"/")
    scan = _Scan(Place(index, below), [], [], LeftAside())
    prefix = layout.prefix(file_names.decode(below))
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                kind = _classify(entry)
                reason = (
                    _take(scan, source, prefix, entry, kind) if isinstance(kind, _Kind) else kind
                )
                if reason is not None:
                    scan.left_aside.add(reason, file_names.decode(entry.path))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(
            f"{file_names.decode(path)}: {error.strerror or error} (while looking for patches "
            f"under {layout.option} {source.root})"
        ) from None
    # Directories come in the file system's order; the plan must not depend on it.
    scan.directories.sort()
    scan.patches.sort(key=itemgetter(0))
    return scan


class _Kind(Enum):
    FILE = 1
    DIRECTORY = 2
    BROKEN_LINK = 3
    SPECIAL = 4


def _classify(entry: os.DirEntry[bytes]) -> _Kind | Reason:
    """Tell what an entry is, or why nobody looks at it, whatever the layout."""
    if entry.name.startswith(b"."):
        return Reason.HIDDEN
    if entry.is_symlink():
        try:
            mode = entry.stat().st_mode
        except OSError:
            # Whatever the reason: its target may be missing, locked, or a link in a loop.
            return _Kind.BROKEN_LINK
        if S_ISDIR(mode):
            return Reason.LINK_TO_DIRECTORY
        return _Kind.FILE if S_ISREG(mode) else _Kind.SPECIAL
    if entry.is_dir():
        return Reason.SYSTEM if entry.name in SYSTEM_DIRECTORIES else _Kind.DIRECTORY
    return _Kind.FILE if entry.is_file() else _Kind.SPECIAL


def _take(
    scan: _Scan, source: Source, prefix: str, entry: os.DirEntry[bytes], kind: _Kind
) -> Reason | None:
    """Take an entry for a patch, or for a directory to look into; else tell why it is not."""
    of_files = source.layout.of_files
    raw = entry.name
    if kind is _Kind.DIRECTORY:
        if of_files or not _add(scan, source, prefix, raw):
            scan.directories.append(entry.path)
        return None
    is_tiff = stem(file_names.decode(raw)) is not None
    # A patch that cannot be read is one that fails, by name: a pipe that is called like a file,
    # a link that cannot be followed and is called like a file or a directory.
    if of_files:
        if is_tiff and _add(scan, source, prefix, raw.rpartition(b".")[0]):
            return None
    elif kind is _Kind.BROKEN_LINK and _add(scan, source, prefix, raw):
        return None
    if kind is not _Kind.FILE:
        return Reason.BROKEN_LINK if kind is _Kind.BROKEN_LINK else Reason.SPECIAL
    if is_tiff:
        return Reason.NO_PATCH if source.layout.has_companions else Reason.UNMATCHED
    return Reason.MIXED_CASE if _MIXED_CASE.search(raw) else Reason.OTHER_FILE


def _add(scan: _Scan, source: Source, prefix: str, raw: bytes) -> bool:
    """Add a patch of a name, if that is one of a patch."""
    try:
        text = source.layout.key_of(prefix + file_names.decode(raw))
        if text is None:
            return False
        key = text.encode()
    except (NotUtf8Error, UnicodeEncodeError):
        raise NotUtf8Error(_path(scan, source, raw)) from None
    if not 0 < len(key) <= LONGEST_KEY:
        raise SourceError(f"{_path(scan, source, raw)}: {_key_problem(key)}")
    scan.patches.append(Patch(key, scan.place, len(key) - len(raw) if key.endswith(raw) else raw))
    return True


def _path(scan: _Scan, source: Source, name: bytes) -> str:
    return file_names.decode(os.fsencode(source.root).rstrip(b"/") + scan.place.path + b"/" + name)


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
            file_names.decode(scan.place.path + b"/" + patch.name).lstrip("/"),
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
    phrases = "; ".join(plan.left_aside.phrases(all_reasons=False))
    aside = [f"Left aside: {phrases}"] if phrases else []
    survey = look(source.root)
    return ". ".join([text, describe(survey), *aside, *misplaced(source.layout, survey)])
