"""Where patches are: the sources, and the plan of all that was found in them."""

import os
from bisect import bisect_right
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, islice
from typing import NamedTuple

from rs_tensor_encoder.layouts.parser import EXTENSIONS, File, Layout
from rs_tensor_encoder.sources.left_aside import LeftAside
from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.prefetch import Helpers

# Threads that look for optional files, and patches that each looks at in one go: few, so
# that the files of one batch are looked for by many.
_LOOKERS = 16
_CHUNK = 8


@dataclass(frozen=True)
class Source:
    """A layout, and the directory under which its patches are."""

    layout: Layout
    root: str

    def entry(self) -> dict[str, str]:
        """What a manifest says of the source: its layout, root and what ``--with`` asked for."""
        found = {
            "layout": self.layout.name,
            "digest": self.layout.digest,
            "root": file_names.from_path(os.path.realpath(self.root)),
        }
        return found | ({"with": " ".join(self.layout.asked)} if self.layout.asked else {})


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
        return [
            os.fsdecode(os.path.join(self.directory, name)) for name in self.names.split(b"\0")[:-1]
        ]


@dataclass
class Plan:
    """All patches of some sources, sorted bytewise by key, no key twice."""

    sources: Sequence[Source]
    patches: list[Patch]
    #: What the search has met and not taken.
    left_aside: LeftAside = field(default_factory=LeftAside)

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
        groups = layout.match(layout.prefix(file_names.decode(place.path)) + file_names.decode(raw))
        assert groups is not None, key  # noqa: S101  it has matched when it was found
        variant = _variant(layout, directory, groups)
        ended = "".join(f"{name}\0" for name in layout.names(groups, variant))
        return Files(first + variant, directory or b"/", file_names.encode(ended))

    def files_of(self, patches: Iterable[Patch]) -> Generator[Files]:
        """Tell where the files of many patches are, in order.

        Which of its optional files a patch has takes looks, and each may wait for a
        file system far away: they are made ahead, many at once.
        """
        if not any(source.layout.optional for source in self.sources):
            yield from map(self.files, patches)
            return
        rest = iter(patches)
        chunks = iter(lambda: list(islice(rest, _CHUNK)), [])
        with Helpers(_LOOKERS) as helpers:
            for found in helpers.map(lambda chunk: [*map(self.files, chunk)], chunks):
                yield from found

    def source_of(self, format_: int) -> Source:
        """The source whose patches have a format, by its index in `formats`."""
        firsts = [first for _, _, _, first in self._facts]
        return self.sources[bisect_right(firsts, format_) - 1]

    def unmet_requests(self, tensors: set[str]) -> list[str]:
        """Say which files were asked for by ``--with`` that no patch has.

        Parameters
        ----------
        tensors : set of str
            Names of all tensors that were made of the patches.
        """
        return [
            f"no patch of {source.layout.title} in {source.root} has the files that --with "
            f"{request} asks for"
            for source in self.sources
            for request in source.layout.asked
            if not tensors & source.layout.bands_of(request)
        ]

    def locate(self, patch: Patch) -> str:
        """Path of a patch's directory or file, in UTF-8, for messages."""
        root = self._facts[patch.place.source][0]
        return file_names.decode(root + patch.place.path + b"/" + patch.name)


def _variant(layout: Layout, directory: bytes, groups: Mapping[str, str]) -> int:
    """Index of the format that a patch has: which of its optional files are there."""
    variant = 0
    for bit, entry in enumerate(layout.optional):
        paths = [file.path.format_map(groups) for file in layout.files if file.entry == entry]
        if any(
            _is_there(os.path.join(directory, file_names.encode(path + extension)))
            for path in paths
            for extension in EXTENSIONS
        ):
            variant |= 1 << bit
    return variant


def _is_there(path: bytes) -> bool:
    """Tell whether there is a file, a link that leads nowhere, or something that hides it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # Reading it will say why not: it must not be taken for lacking.
        return True
    return True
