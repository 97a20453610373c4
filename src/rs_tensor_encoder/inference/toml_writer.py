"""The text of a proposed layout, from groups of files."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rs_tensor_encoder.inference.grouping import Group, Groups
from rs_tensor_encoder.inference.path_expression import ROOT, Address
from rs_tensor_encoder.inference.siblings import on_request, seen, some
from rs_tensor_encoder.inspection.tiff_summary import Looks
from rs_tensor_encoder.layouts.files_section import DTYPES
from rs_tensor_encoder.layouts.templates import expand
from rs_tensor_encoder.util.text import plain

# Files of each group that are looked at for their size and type.
_FILES = 8

# Entries that may be optional: as many as a layout may have.
_MOST_OPTIONAL = 6


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
    files: int = 0


def write(root: str, found: Groups, address: Address, title: str, tiffs: str) -> str:
    """Write a layout.

    Parameters
    ----------
    root : str
        The tree that it is for.
    found : Groups
        The patches and their files.
    address : Address
        The expression of their paths, and their key.
    title : str
        What to call it.
    tiffs : str
        What was looked at, for people.
    """
    lines = [
        f"# Proposed after a look at {tiffs}. Edit what you know",
        "# better, above all the names of the bands, and try it:",
        "# rs-tensor-encoder layouts --try THIS-FILE ROOT",
        f"title = {_quoted(plain(title))}",
        "",
        f'patch = "{"directory" if found.directories else "file"}"',
    ]
    if address.path.startswith(ROOT):
        lines.append(f"# {ROOT} matches no directory: the rest must begin at the root")
    lines += [f"path = {_literal(address.path)}", f"key = {_quoted(address.key)}"]
    for entry in _few_optional(_entries(root, found.groups, len(found.patches))):
        lines += ["", *_written(entry)]
    return "\n".join(lines) + "\n"


def _entries(root: str, groups: Sequence[Group], patches: int) -> list[_Entry]:
    """Turn groups of files into entries; files of one band that are alike share one."""
    entries: dict[object, _Entry] = {}
    described = [(group, *_looks(root, group)) for group in groups]
    # What is read always comes first, and of that what has the most bands.
    described.sort(key=lambda item: (on_request(item[0].label), -(item[1].bands if item[1] else 0)))
    requests: set[str] = set()
    for index, (group, looks, sizes) in enumerate(described):
        # Something must be read always.
        request = _request(group) if index else ""
        example = min(group.files.values())
        if looks is None:
            remark = f"{example} cannot be read"
            path, bands = group.path, [group.label or "B1"]
            kind: object = path
        else:
            remark = f"for example {example}"
            path, bands = group.path, [group.label or "B1"]
            if looks.bands > 1:
                bands = _names(looks) or [f"B{{1..{looks.bands}}}"]
            elif not request:
                path = group.with_band or path
            # Those of an entry that is optional are there together, or not at all.
            there = frozenset(group.files) if len(group.files) < patches else None
            kind = (path, looks.dtype, frozenset(sizes), there) if "{band}" in path else path
        if len(group.numbers) > 1:
            numbers = ", ".join(map(str, group.numbers))
            remark += f"; not all have as many bands: {numbers}, and the others are left out"
        entry = entries.setdefault(kind, _Entry(path, [], looks, sizes, request, remark))
        entry.bands += bands
        entry.label = group.label
        entry.files += len(group.files)
        requests.add(request)
        if len(group.files) < patches:
            entry.remark += f" ({group.label} is in {len(group.files):,} of {patches:,} patches)"
            entry.optional = True
    return _different(list(entries.values()))


def _few_optional(entries: list[_Entry]) -> list[_Entry]:
    """Leave out the optional entries that are more than a layout may have, the rarest first."""
    optional = sorted((entry for entry in entries if entry.optional), key=lambda x: -x.files)
    left_out = {id(entry) for entry in optional[_MOST_OPTIONAL:]}
    return [entry for entry in entries if id(entry) not in left_out]


def _names(looks: Looks) -> list[str]:
    """What a file calls its bands, if a layout can say it, too."""
    usable = all(name.isprintable() and not re.search(r"[{}]|^__", name) for name in looks.names)
    return list(looks.names) if usable else []


def _request(group: Group) -> str:
    """What a group is asked for by, if it looks like masks, labels or quality layers."""
    if not on_request(group.label):
        return ""
    return re.sub(r"[^A-Za-z0-9]+", "-", group.label).strip("-").lower()


def _different(entries: list[_Entry]) -> list[_Entry]:
    """Give bands names of their own: files that name their bands keep them, others do not."""
    seen_names: set[str] = set()
    found: list[_Entry] = []
    for entry in sorted(entries, key=lambda entry: "{band}" not in entry.path):
        if "{band}" not in entry.path or not seen_names & set(entry.bands):
            found.append(entry)
            _rename(entry, seen_names)
            continue
        # The name of the file must stay, and has its band in it.
        for band in entry.bands:
            found.append(replace(entry, path=entry.path.replace("{band}", band), bands=[band]))
            _rename(found[-1], seen_names)
    order = {id(entry): index for index, entry in enumerate(entries)}
    return sorted(found, key=lambda entry: order.get(id(entry), len(order)))


def _rename(entry: _Entry, seen_names: set[str]) -> None:
    """Put something before the bands of an entry if others have the same names."""
    names = {name for band in entry.bands for name in expand(band)}
    before = ""
    number = 1
    while seen_names & {before + name for name in names}:
        before = f"{entry.label or 'file'}{number if number > 1 else ''}_"
        number += 1
    entry.bands = [before + band for band in entry.bands]
    seen_names |= {before + name for name in names}


def _looks(root: str, group: Group) -> tuple[Looks | None, set[tuple[int, int]]]:
    """What the first readable file of a group looks like, and the sizes of some."""
    files = sorted(group.files.values())
    found = [looks for path in some(files, _FILES)[:_FILES] if (looks := seen(root, path))]
    return (found[0] if found else None), {(looks.rows, looks.columns) for looks in found}


def _written(entry: _Entry) -> list[str]:
    # A single band needs no field.
    path = entry.path.replace("{band}", entry.bands[0]) if len(entry.bands) == 1 else entry.path
    lines = [
        f"# {entry.remark}",
        "[[files]]",
        f"path = {_quoted(path)}",
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
