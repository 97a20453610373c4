"""A layout in memory: what is known of a dataset, and what follows from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from rs_tensor_encoder.layouts import templates
from rs_tensor_encoder.layouts.files_section import File
from rs_tensor_encoder.layouts.linear_regex import Expression


@dataclass(frozen=True)
class Layout:
    """What one dataset looks like on disk; `parser` has the language.

    ``files`` are those that are read; ``every`` has those, too, that are read
    on request only, and ``asked`` says which were requested.
    """

    name: str
    title: str
    link: str
    option: str
    family: str
    of_files: bool
    pattern: re.Pattern[str] | Expression
    key: str
    every: tuple[File, ...]
    digest: str
    asked: tuple[str, ...] = ()

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The files of a patch: those always read, and those that were asked for."""
        return tuple(file for file in self.every if not file.on or file.on in self.asked)

    @cached_property
    def depth(self) -> int:
        """Number of path components that the pattern is about."""
        return templates.components(self.pattern.pattern)

    @cached_property
    def has_companions(self) -> bool:
        """Whether files of a patch lie where the search meets them: outside of its directory."""
        if self.of_files:
            return len(self.every) > 1
        return any("/" in file.path for file in self.every)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of all tensors of a patch, in the order of the files."""
        return tuple(band for file in self.files for band in file.bands)

    @property
    def requests(self) -> tuple[str, ...]:
        """What the user may ask for by ``--with``, in the order of the files."""
        return tuple(dict.fromkeys(file.on for file in self.every if file.on))

    def bands_of(self, request: str) -> set[str]:
        """Names of the tensors that are read on a request."""
        return {band for file in self.every if file.on == request for band in file.bands}

    def asking(self, requests: Sequence[str]) -> "Layout":
        """The same layout with these files, too; those that it does not have are ignored."""
        return replace(self, asked=tuple(name for name in self.requests if name in requests))

    @cached_property
    def formats(self) -> tuple[tuple[File, ...], ...]:
        """The files that a patch may have: one format for each choice of its optional entries.

        The i-th bit of an index tells whether the i-th of `optional` is there.
        """
        chosen = [
            {entry for entry, there in zip(self.optional, reversed(bits), strict=True) if there}
            for bits in product((False, True), repeat=len(self.optional))
        ]
        return tuple(
            tuple(file for file in self.files if not file.optional or file.entry in entries)
            for entries in chosen
        )

    @cached_property
    def optional(self) -> tuple[int, ...]:
        """Numbers of the entries whose files a patch may lack."""
        return tuple(dict.fromkeys(file.entry for file in self.files if file.optional))

    @cached_property
    def names_by_name(self) -> bytes | None:
        """Names of the files with ``{name}`` to be replaced, each ended by a NUL.

        None if they take more than the patch's name, or have ``{name}`` themselves.
        """
        paths = [file.path for file in self.files]
        if self.optional or any(set(templates.fields(path)) - {"name"} for path in paths):
            return None
        if any("{name}" in path.format(name="\0") for path in paths):
            return None
        return "".join(path.format(name="{name}") + "\0" for path in paths).encode()

    def prefix(self, directory: str) -> str:
        """Return what comes before a patch's name in what `match` takes.

        Parameters
        ----------
        directory : str
            Path of the patch's directory below the root, with a slash in front,
            or "".
        """
        if self.depth == 1 or not directory:
            return ""
        return "/".join(directory[1:].split("/")[1 - self.depth :]) + "/"

    def match(self, path: str) -> dict[str, str] | None:
        """Return what the templates may use if a path is a patch's, else None.

        Parameters
        ----------
        path : str
            The last `depth` components of the path, without extension where
            patches are files.
        """
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        groups = {name: text or "" for name, text in found.groupdict().items()}
        groups["name"] = path.rpartition("/")[2]
        return groups

    def key_of(self, path: str) -> str | None:
        """Return the key of a patch if a path, as for `match`, is a patch's, else None."""
        # Asked for every name in a source; most keys are the name.
        if self.key == "{name}":
            return path.rpartition("/")[2] if self.pattern.fullmatch(path) else None
        groups = self.match(path)
        return None if groups is None else self.key.format_map(groups)

    def names(self, groups: Mapping[str, str], variant: int = 0) -> list[str]:
        """Names of a patch's files, without extension, relative to their directory.

        Parameters
        ----------
        groups : mapping
            What `match` returned.
        variant : int
            Index of the patch's format in `formats`.
        """
        return [file.path.format_map(groups) for file in self.formats[variant]]
