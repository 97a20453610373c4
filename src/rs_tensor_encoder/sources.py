"""Where patches come from: directories, walked in parallel, in the order of the keys."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.helpers import Helpers
from rs_tensor_encoder.layout import EXTENSIONS, LONGEST_KEY, File, Layout, stem
from rs_tensor_encoder.recognise import describe, is_of_another

# Directories read at once: many, because on cold or remote storage each waits.
_WALKERS = 16


@dataclass(frozen=True)
class Source:
    """A layout, and the directory under which its patches are."""

    layout: Layout
    root: str


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """A directory in which patches lie; all of them share this object.

    ``path`` is what comes behind the root, with a slash in front, or nothing.
    """

    source: int
    path: bytes


class Patch(NamedTuple):
    """A key and where it lies; millions of them are held at once.

    ``rest`` is the directory's or file's name, without extension, or where it
    begins in the key: most keys end with it.
    """

    key: bytes
    place: Place
    rest: bytes | int

    @property
    def name(self) -> bytes:
        """Name of the directory or file, without extension."""
        rest = self.rest
        return self.key[rest:] if isinstance(rest, int) else rest


class Files(NamedTuple):
    """The files of a patch: index of the plan's format, directory, NUL-ended names."""

    format: int
    directory: bytes
    names: bytes

    @property
    def paths(self) -> list[str]:
        """Paths of the files, without extension."""
        directory = os.fsdecode(self.directory)
        return [os.path.join(directory, name) for name in os.fsdecode(self.names).split("\0")[:-1]]


@dataclass
class Plan:
    """All patches of some sources, sorted bytewise by key, no key twice."""

    sources: Sequence[Source]
    patches: list[Patch]
    #: What was met and left aside, in sentences for the user.
    notes: list[str] = field(default_factory=list)

    @cached_property
    def formats(self) -> list[tuple[File, ...]]:
        """What patches may be made of: the formats of all layouts, one behind the other."""
        return [files for source in self.sources for files in source.layout.formats]

    @cached_property
    def _facts(self) -> list[tuple[bytes, bool, bytes | None, int]]:
        """Of each source: the root, whether patches are files, their names, the first format."""
        lengths = [len(source.layout.formats) for source in self.sources]
        return [
            (
                os.fsencode(source.root.rstrip("/")),
                source.layout.of_files,
                source.layout.names_by_name,
                first,
            )
            for source, first in zip(self.sources, accumulate([0, *lengths]), strict=False)
        ]

    def files(self, patch: Patch) -> Files:
        """Tell where the files of a patch are."""
        key, place, rest = patch
        raw = key[rest:] if isinstance(rest, int) else rest
        root, of_files, template, first = self._facts[place.source]
        directory = root + place.path
        if not of_files:
            directory += b"/" + raw
        # Asked for every patch: most layouts need no more than its name.
        if template is not None:
            return Files(first, directory or b"/", template.replace(b"{name}", raw))
        layout = self.sources[place.source].layout
        groups = layout.match(_prefix(layout, os.fsdecode(place.path)) + os.fsdecode(raw))
        assert groups is not None, key  # noqa: S101  it has matched when it was found
        variant = _variant(layout, os.fsdecode(directory), groups)
        names = "".join(f"{name}\0" for name in layout.names(groups, variant))
        return Files(first + variant, directory or b"/", os.fsencode(names))

    def locate(self, patch: Patch) -> str:
        """Path of a patch's directory or file, for messages."""
        root = self._facts[patch.place.source][0]
        return os.fsdecode(root + patch.place.path + b"/" + patch.name)


def discover(sources: Sequence[Source]) -> Plan:
    """Find all patches of all sources.

    Raises
    ------
    SourceError
        If a root does not exist, a directory cannot be read, a source has no
        patches, a key is too long, or two patches have the same key.
    """
    plan = Plan(sources, [])
    with Helpers(_WALKERS) as helpers:
        for index in range(len(sources)):
            found = list(_walk(plan, index, helpers))
            if not found:
                raise SourceError(_nothing(plan, index))
            plan.patches += found
    plan.patches.sort(key=itemgetter(0))
    _check_keys(plan)
    return plan


class _Scan(NamedTuple):
    place: Place
    patches: list[Patch]
    directories: list[str]
    links: list[str]


def _walk(plan: Plan, index: int, helpers: Helpers) -> Iterator[Patch]:
    source = plan.sources[index]
    if not os.path.isdir(source.root):
        problem = "is not a directory" if os.path.exists(source.root) else "does not exist"
        raise SourceError(f"{source.root}: {problem} (given as {source.layout.option})")
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
            f"{len(links)} symbolic links to directories were not followed, for example {links[0]}"
        )
    if foreign:
        plan.notes.append(
            f"{len(foreign)} directories have names like patches of {source.layout.title} but "
            f"hold files of another dataset, for example {foreign[0]}; they were left out"
        )


def _scan(source: Source, index: int, path: str) -> _Scan:
    layout = source.layout
    below = path[len(source.root.rstrip("/")) :].rstrip("/")
    scan = _Scan(Place(index, os.fsencode(below)), [], [], [])
    prefix = _prefix(layout, below)
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
    groups = source.layout.match(prefix + name)
    if groups is None:
        return False
    raw = os.fsencode(name)
    try:
        key = source.layout.key.format_map(groups).encode()
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


def _prefix(layout: Layout, path: str) -> str:
    """Return what comes before the name in what the layout's expression is matched with."""
    if layout.depth == 1 or not path:
        return ""
    return "/".join(path[1:].split("/")[1 - layout.depth :]) + "/"


def _variant(layout: Layout, directory: str, groups: Mapping[str, str]) -> int:
    """Index of the format that a patch has: which of its optional files are there."""
    variant = 0
    for bit, entry in enumerate(layout.optional):
        paths = [file.path.format_map(groups) for file in layout.files if file.entry == entry]
        if any(
            _is_there(os.path.join(directory, path + extension))
            for path in paths
            for extension in EXTENSIONS
        ):
            variant |= 1 << bit
    return variant


def _is_there(path: str) -> bool:
    """Tell whether there is a file, a link that leads nowhere, or something that hides it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # Reading it will say why not: it must not be taken for lacking.
        return True
    return True


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
            f"{plan.locate(other)} ({len(twice)} such keys in all); remove one of them or encode "
            "them into different targets"
        )


def _nothing(plan: Plan, index: int) -> str:
    source = plan.sources[index]
    kind = "files" if source.layout.of_files else "directories"
    text = (
        f"{source.root}: no patches of {source.layout.title} found "
        f"(given as {source.layout.option}; looked at any depth for {kind} named like "
        f"{source.layout.pattern.pattern})"
    )
    return ". ".join([text, describe(source.root), *plan.notes])
