"""A layout proposed for a tree that is not known, to be edited by whoever knows it."""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from rs_tensor_encoder.entries import DTYPES, stem
from rs_tensor_encoder.errors import SourceError, no_directory
from rs_tensor_encoder.groups import Group, by_directory, by_file
from rs_tensor_encoder.looks import Looks, look_into
from rs_tensor_encoder.patterns import generalise, quote
from rs_tensor_encoder.plain import counted
from rs_tensor_encoder.recognise import datasets, describe
from rs_tensor_encoder.schemes import some
from rs_tensor_encoder.survey import listed, look
from rs_tensor_encoder.templates import expand

# Entries of the tree, and files of each group, that are looked at.
_BUDGET = 50_000
_FILES = 8

# Bands of a file that is no picture of land.
_MOST_BANDS = 10_000

# Share of the patches that lack a file before it is taken for an optional one.
_FEW = 0.1

# Names of what people call masks, labels and quality layers.
_ON_REQUEST = re.compile(
    r"mask|label|cloud|quality|annot|instance|semantic|thumb|(^|[^a-z])(gt|seg|qa|ql|scl|msk|lbl)",
    re.IGNORECASE,
)


@dataclass
class _Entry:
    """One of the [[files]]: its path, its bands, what they are, and what is to be said."""

    path: str
    bands: list[str]
    looks: Looks | None
    sizes: set[tuple[int, int]] = field(default_factory=set)
    request: str = ""
    remark: str = ""
    label: str = ""
    optional: bool = False


def guess(root: str) -> tuple[str, list[str]]:
    """Look at a tree and write a layout for it.

    Returns
    -------
    text : str
        The TOML file.
    remarks : list of str
        What the user should know besides.

    Raises
    ------
    SourceError
        If there are no TIFF files.
    """
    if not os.path.isdir(root):
        raise SourceError(f"{root}: {no_directory(root)}")
    survey = look(root, _BUDGET)
    # Names that are no text could not be written down.
    tiffs = [path for path in survey.files if stem(path) is not None and path.isprintable()]
    if not tiffs:
        raise SourceError(f"{root}: nothing to guess from. {describe(survey)}")
    remarks = [
        f"this looks like {layout.title}, which {layout.option} reads without a layout of your own"
        for layout in datasets(survey)
    ]
    found = by_directory(root, tiffs) or by_file(root, tiffs)
    entries = _entries(root, found.groups, len(found.patches))
    # What belongs to no group will not be read: its user should know before it is missed.
    rest = len(tiffs) - sum(len(group.files) for group in found.groups)
    if rest:
        known = {path for group in found.groups for path in group.files}
        left = [path for path in tiffs if path not in known]
        remarks.append(f"no place was found for {counted(rest, 'TIFF file')}: {listed(left)}")
    if not survey.whole:
        remarks.append(f"not all was looked at, but {counted(len(survey.files), 'file')}")
    path, key = _path_and_key(found.patches, found.literal, found.base, found.folder)
    lines = [
        f"# Proposed after a look at {counted(len(tiffs), 'TIFF file')}. Edit what you know",
        "# better, above all the names of the bands, and try it:",
        "# rs-tensor-encoder layouts --try THIS-FILE ROOT",
        f"title = {_quoted(os.path.basename(os.path.abspath(root)) or 'dataset')}",
        "",
        f'patch = "{"directory" if found.directories else "file"}"',
        f"path = {_literal(path)}",
        f"key = {_quoted(key)}",
    ]
    for entry in entries:
        lines += ["", *_written(entry)]
    return "\n".join(lines) + "\n", remarks


def _entries(root: str, groups: Sequence[Group], patches: int) -> list[_Entry]:
    """Turn groups of files into entries; files of one band that are alike share one."""
    entries: dict[object, _Entry] = {}
    described = [(group, *_looks(root, group)) for group in groups]
    # What is read always comes first, and of that what has the most bands.
    described.sort(key=lambda item: (_request(item[0]) != "", -(item[1].bands if item[1] else 0)))
    for index, (group, looks, sizes, warning) in enumerate(described):
        # Something must be read always.
        request = _request(group) if index else ""
        example = min(group.files)
        if looks is None:
            remark = f"{example} cannot be read"
            entries[group.path] = _Entry(group.path, ["B1"], None, set(), request, remark)
            continue
        path, bands = group.path, [group.label or "B1"]
        if looks.bands > 1:
            bands = _names(looks) or [f"B{{1..{looks.bands}}}"]
        elif group.prefix is not None and not request:
            path = f"{group.prefix}{{band}}.tif"
        missing = patches - len(group.files)
        kind = (path, looks.dtype, frozenset(sizes), missing) if "{band}" in path else path
        remark = f"for example {example}{warning}"
        entry = entries.setdefault(kind, _Entry(path, [], looks, sizes, request, remark))
        entry.bands += bands
        entry.label = group.label
        if missing > 0:
            entry.remark += f" ({group.label} is in {len(group.files):,} of {patches:,} patches)"
            # A few that lack it may be broken, which should be noticed.
            entry.optional = bool(request) or missing > _FEW * patches
    return _different(list(entries.values()))


def _names(looks: Looks) -> list[str]:
    """What a file calls its bands, if a layout can say it, too."""
    usable = all(name.isprintable() and not re.search(r"[{}]|^__", name) for name in looks.names)
    return list(looks.names) if usable else []


def _request(group: Group) -> str:
    """What a group is asked for by, if it looks like masks, labels or quality layers."""
    if not _ON_REQUEST.search(group.label):
        return ""
    return re.sub(r"[^A-Za-z0-9]+", "-", group.label).strip("-").lower()


def _different(entries: list[_Entry]) -> list[_Entry]:
    """Give bands names of their own: files that name their bands keep them, others do not."""
    seen: set[str] = set()
    found: list[_Entry] = []
    for entry in sorted(entries, key=lambda entry: "{band}" not in entry.path):
        if "{band}" not in entry.path or not seen & set(entry.bands):
            found.append(entry)
            _rename(entry, seen)
            continue
        # The name of the file must stay, and has its band in it.
        for band in entry.bands:
            found.append(replace(entry, path=entry.path.replace("{band}", band), bands=[band]))
            _rename(found[-1], seen)
    order = {id(entry): index for index, entry in enumerate(entries)}
    return sorted(found, key=lambda entry: order.get(id(entry), len(order)))


def _rename(entry: _Entry, seen: set[str]) -> None:
    """Put something before the bands of an entry if others have the same names."""
    names = {name for band in entry.bands for name in expand(band)}
    before = ""
    number = 1
    while seen & {before + name for name in names}:
        before = f"{entry.label or 'file'}{number if number > 1 else ''}_"
        number += 1
    entry.bands = [before + band for band in entry.bands]
    seen |= {before + name for name in names}


def _looks(root: str, group: Group) -> tuple[Looks | None, set[tuple[int, int]], str]:
    """What the first readable file of a group looks like, the sizes of some, and a warning."""
    found = []
    for path in some(sorted(group.files), _FILES)[:_FILES]:
        with suppress(ValueError):
            found.append(look_into(root, path))
    found = [looks for looks in found if looks.bands < _MOST_BANDS]
    if not found:
        return None, set(), ""
    sizes = {(looks.rows, looks.columns) for looks in found}
    numbers = sorted({looks.bands for looks in found})
    warning = f"; not all have as many bands: {', '.join(map(str, numbers))}"
    return found[0], sizes, warning if len(numbers) > 1 else ""


def _path_and_key(
    patches: Sequence[str], literal: dict[int, str], base: str | None, folder: int
) -> tuple[str, str]:
    """Write the expression of the patches' paths, and a key that is unique.

    Parameters
    ----------
    patches : sequence of str
        Their paths, without extension.
    literal : dict
        Components, counted from the end, that the expression must name as they are.
    base : str or None
        What comes behind the part of the name that other files share, if there
        is more than the name.
    folder : int
        The component, counted from the end, that other files' paths name, or 0.
    """
    rows = [path.split("/") for path in patches]
    names = [row[-1] for row in rows]
    if base:
        cut = [name.removesuffix(base) for name in names]
        pattern = f"(?P<id>{generalise(cut)}){quote(base)}"
    else:
        cut = names
        pattern = generalise(names)
    deepest = min(len(row) for row in rows)
    needed = [0]
    while len({tuple(row[-1 - i] for i in needed) for row in rows}) < len(rows):
        if len(needed) == deepest:
            break
        needed.append(len(needed))
    # Components that do not tell patches apart stay out of the key.
    telling = [i for i in needed[1:] if len({row[-1 - i] for row in rows}) > 1]
    last = max([*needed, *literal, folder])
    parts = [pattern]
    for i in range(1, last + 1):
        values = [row[-1 - i] for row in rows]
        if i in literal:
            parts.append(quote(literal[i]))
        elif i in telling or i == folder:
            parts.append(f"(?P<folder{i}>{generalise(values)})")
        else:
            parts.append(generalise(values))
    key = "_".join([f"{{folder{i}}}" for i in reversed(telling)] + ["{id}" if base else "{name}"])
    return "/".join(reversed(parts)), key


def _written(entry: _Entry) -> list[str]:
    lines = [
        f"# {entry.remark}",
        "[[files]]",
        f"path = {_quoted(entry.path)}",
        f"bands = {json.dumps(entry.bands, ensure_ascii=False)}",
    ]
    if entry.looks is not None:
        known = entry.looks.dtype in DTYPES
        line = f"dtype = {_quoted(entry.looks.dtype)}"
        lines.append(line if known else f"# {line}: such files cannot be encoded")
        if len(entry.sizes) == 1:
            lines.append(f"shape = [{entry.looks.rows}, {entry.looks.columns}]")
        else:
            lines.append("# sizes vary")
    if entry.request:
        lines.append(f"with = {_quoted(entry.request)}")
    if entry.optional:
        lines.append("optional = true")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _literal(text: str) -> str:
    return _quoted(text) if "'" in text or not text.isprintable() else f"'{text}'"
