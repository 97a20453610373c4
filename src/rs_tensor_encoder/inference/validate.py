"""What a proposed layout finds among the files that were seen: it must be right for all of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.inference.siblings import seen
from rs_tensor_encoder.inspection.tree_sample import Survey
from rs_tensor_encoder.layouts.files_section import stem
from rs_tensor_encoder.layouts.parser import LONGEST_KEY, Layout
from rs_tensor_encoder.util.text import counted

# Patches whose files are looked into, from all parts of the tree: as many as `evaluate` looks into.
_PROBES = 64


@dataclass
class Validity:
    """Whether a layout is right for a tree.

    ``fault`` says what is wrong, or is ""; ``covered`` are the files that its
    patches have, ``unreadable`` those of them that could not be looked into.
    """

    fault: str = ""
    patches: int = 0
    covered: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)


def validate(layout: Layout, survey: Survey) -> Validity:
    """Hold a layout against the files of a tree, as `discover` and `encode` would.

    Parameters
    ----------
    layout : Layout
        All of its files are held against the tree, also those read on request.
    survey : Survey
        The tree, or the part of it that was looked at.
    """
    layout = layout.asking(layout.requests)
    validity = Validity()
    try:
        found = dict(_found(layout, survey, validity))
    except (SourceError, UnicodeEncodeError):
        validity.fault = "a name that is not valid UTF-8 would be a key"
        return validity
    validity.patches = len(found)
    if not found and not validity.fault:
        validity.fault = "it would find no patches"
    probes = [found[key] for key in sorted(found)]
    for there in probes[:: max(1, len(found) // _PROBES)][:_PROBES]:
        for path, bands in there:
            looks = seen(survey.root, path)
            if looks is None:
                validity.unreadable.append(path)
            elif looks.bands != bands:
                validity.fault = f"{path} has {counted(looks.bands, 'band')}, not {bands}"
    return validity


def _found(
    layout: Layout, survey: Survey, validity: Validity
) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield keys, with the files of the patch and their bands, up to the first fault."""
    files = _files(survey)
    keys: dict[str, str] = {}
    for path, directory, groups in _patches(layout, survey):
        key = layout.key.format_map(groups)
        there, validity.fault = _files_of(layout, directory, groups, files)
        if validity.fault:
            validity.fault = f"{path}: {validity.fault}"
        elif key in keys:
            validity.fault = f"{keys[key]} and {path} would have the same key"
        elif not 0 < len(key.encode()) <= LONGEST_KEY:
            validity.fault = f"the key of {path} would be longer than {LONGEST_KEY} bytes"
        if validity.fault:
            return
        keys[key] = path
        validity.covered.update(path for path, _ in there)
        yield key, there


def _files(survey: Survey) -> dict[str, str]:
    """The TIFF files that were seen, by their paths without extension."""
    links = set(survey.links)
    found: dict[str, str] = {}
    for path in survey.files:
        base = stem(path)
        if base is not None and path not in links:
            found.setdefault(base, path)
    return found


def _patches(layout: Layout, survey: Survey) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Patches: their paths, the directories of their files, and what templates may use."""
    if layout.of_files:
        links = set(survey.links)
        for path in survey.files:
            base = stem(os.path.basename(path))
            if base is not None and path not in links:
                directory = os.path.dirname(path)
                groups = _match(layout, os.path.join(directory, base))
                if groups is not None:
                    yield path, directory, groups
        return
    taken: set[str] = set()
    # What lies in a patch is not searched for others.
    for path in sorted(survey.directories, key=lambda path: path.split("/")):
        if os.path.dirname(path) in taken:
            taken.add(path)
            continue
        groups = _match(layout, path)
        if groups is not None:
            taken.add(path)
            yield path, path, groups


def _match(layout: Layout, path: str) -> dict[str, str] | None:
    return layout.match("/".join(path.split("/")[-layout.depth :]))


def _files_of(
    layout: Layout, directory: str, groups: dict[str, str], files: dict[str, str]
) -> tuple[list[tuple[str, int]], str]:
    """The files of a patch with the bands that they should have, and what is wrong with them."""
    there: list[tuple[str, int]] = []
    missing: dict[int, str] = {}
    present: set[int] = set()
    for file in layout.files:
        path = os.path.normpath(os.path.join(directory, file.path.format_map(groups)))
        if path in files:
            there.append((files[path], len(file.bands)))
            present.add(file.entry)
        elif not file.optional:
            return there, f"there is no file {path}.tif"
        else:
            missing[file.entry] = path
    for entry, path in missing.items():
        if entry in present:
            return there, f"there is no file {path}.tif, but there are others of its kind"
    if len({path for path, _ in there}) < len(there):
        return there, "one of its files would be read twice"
    if all(file.on for file in layout.files if file.entry in present):
        return there, "it would have no files that are always read"
    return there, ""
