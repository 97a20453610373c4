r"""What a dataset looks like on disk: layouts, which are TOML files, and paths.

A layout says what a patch is (a directory or a file), how its path looks (a
regular expression over the last components of the path below the root), what
its key is, and which bands its files hold, in file order::

    title = "BigEarthNet Sentinel-1 (v2.0 and v1.0)"
    link = "https://doi.org/10.5281/zenodo.10891137"
    option = "--bigearthnet-s1-root"
    patch = "directory"
    path = 'S1[A-D]_IW_GRDH_1SDV_\d{8}T\d{6}_\d{2}[A-Z]{3}_\d{1,2}_\d{1,2}'
    key = "{name}"
    [[files]]
    path = "{name}_{band}.tif"
    bands = ["VV", "VH"]

Keys and paths of files are templates over the named groups of the expression
and over ``{name}``, the last component of the patch's path (without extension
where the patch is a file). ``{band}`` in a path stands for one file per band,
``{1..224}`` in a band for a row of bands. ``.tif``, ``.tiff`` and ``.TIF`` are
the same; hidden files do not count.
"""

import hashlib
import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files as resources
from typing import Any

from rs_tensor_encoder.errors import LayoutError

#: Extensions of TIFF files, the likeliest first.
EXTENSIONS = (".tif", ".TIF", ".tiff", ".TIFF")

#: Longest key that LMDB takes, in bytes (MDB_MAXKEYSIZE of LMDB 0.9).
LONGEST_KEY = 511

_KEYS = {"title": str, "link": str, "option": str, "patch": str, "path": str, "key": str}
_RANGE = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", re.DOTALL)


def stem(name: str) -> str | None:
    """Return the name of a TIFF file without its extension, None for any other file."""
    for extension in EXTENSIONS:
        if name.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)]
    return None


@dataclass(frozen=True)
class File:
    """One file of a patch: the template of its path, without extension, and its bands."""

    path: str
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """What one dataset looks like on disk; see the module for the language."""

    name: str
    title: str
    link: str
    option: str
    of_files: bool
    pattern: re.Pattern[str]
    key: str
    files: tuple[File, ...]
    digest: str

    @property
    def depth(self) -> int:
        """Number of path components that the pattern is about."""
        return self.pattern.pattern.count("/") + 1

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of all tensors of a patch, in the order of the files."""
        return tuple(band for file in self.files for band in file.bands)

    @cached_property
    def names_by_name(self) -> bytes | None:
        """Names of the files with ``{name}`` to be replaced, each ended by a NUL.

        None if they take more than the patch's name.
        """
        templates = [file.path for file in self.files]
        if any(set(_fields(template)) - {"name"} for template in templates):
            return None
        return "".join(template.format(name="{name}") + "\0" for template in templates).encode()

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

    def names(self, groups: Mapping[str, str]) -> list[str]:
        """Names of a patch's files, without extension, relative to their directory."""
        return [file.path.format_map(groups) for file in self.files]


@cache
def builtin() -> tuple[Layout, ...]:
    """All layouts that come with the package, sorted by name."""
    found = sorted(
        (entry for entry in resources("rs_tensor_encoder").joinpath("layouts").iterdir()),
        key=lambda entry: entry.name,
    )
    return tuple(
        parse(entry.name.removesuffix(".toml"), entry.read_bytes())
        for entry in found
        if entry.name.endswith(".toml")
    )


def parse(name: str, text: bytes) -> Layout:
    """Read a layout.

    Parameters
    ----------
    name : str
        What the layout is called.
    text : bytes
        The TOML file.

    Raises
    ------
    LayoutError
        If it is not valid; the text names the key at fault.
    """
    try:
        data = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LayoutError(f"layout {name}: not a TOML file: {error}") from None
    unknown = data.keys() - _KEYS.keys() - {"files"}
    if unknown:
        raise LayoutError(f"layout {name}: unknown key {min(unknown)!r}")
    for key, kind in _KEYS.items():
        if not isinstance(data.get(key), kind):
            raise LayoutError(f"layout {name}: {key!r} must be a text")
    if data["patch"] not in ("directory", "file"):
        raise LayoutError(f'layout {name}: \'patch\' must be "directory" or "file"')
    try:
        pattern = re.compile(data["path"], re.ASCII)
    except re.error as error:
        raise LayoutError(f"layout {name}: 'path' is not a regular expression: {error}") from None
    layout = Layout(
        name=name,
        title=data["title"],
        link=data["link"],
        option=data["option"],
        of_files=data["patch"] == "file",
        pattern=pattern,
        key=data["key"],
        files=_files(name, data.get("files")),
        digest=hashlib.sha256(text).hexdigest(),
    )
    _check_templates(layout)
    return layout


def _files(name: str, entries: Any) -> tuple[File, ...]:
    if not isinstance(entries, list) or not entries:
        raise LayoutError(f"layout {name}: there must be at least one [[files]]")
    files: list[File] = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"path", "bands"}:
            raise LayoutError(f"layout {name}: [[files]] must have 'path' and 'bands', no more")
        path = stem(entry["path"])
        if path is None or "/" in path:
            raise LayoutError(f"layout {name}: {entry['path']!r} must be the name of a TIFF file")
        bands = tuple(band for text in entry["bands"] for band in _expand(text))
        if "{band}" in path:
            files += [File(path.replace("{band}", band), (band,)) for band in bands]
        else:
            files.append(File(path, bands))
    every = [band for file in files for band in file.bands]
    if len(set(every)) != len(every) or "__metadata__" in every:
        raise LayoutError(f"layout {name}: 'bands' must all differ; '__metadata__' is reserved")
    return tuple(files)


def _expand(band: str) -> list[str]:
    found = _RANGE.fullmatch(band)
    if found is None:
        return [band]
    before, first, last, after = found.groups()
    return [f"{before}{i}{after}" for i in range(int(first), int(last) + 1)]


def _fields(template: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]


def _check_templates(layout: Layout) -> None:
    known = {"name", *layout.pattern.groupindex}
    for template in (layout.key, *(file.path for file in layout.files)):
        for field in _fields(template):
            if field not in known:
                raise LayoutError(
                    f"layout {layout.name}: {{{field}}} in {template!r} is neither {{name}} "
                    "nor a named group of 'path'"
                )
