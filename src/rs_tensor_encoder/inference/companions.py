"""Files that belong to patches but lie elsewhere: labels beside a directory of images."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rs_tensor_encoder.inference.grouping import SHARE, Group, Groups, label_of, shared
from rs_tensor_encoder.inference.siblings import escaped
from rs_tensor_encoder.layouts.files_section import stem

# Kinds of companions, and patches of one name that are compared with a file.
_MOST = 8
_MOST_NAMESAKES = 64


@dataclass(frozen=True)
class _Place:
    """Where a file lies, seen from its patch: a template, and what to call it."""

    path: str
    label: str


def attach(found: Groups, left: Iterable[str]) -> list[Group]:
    """Find files that are named after patches, and lie in the same place seen from each.

    Parameters
    ----------
    found : Groups
        The patches.
    left : iterable of str
        TIFF files that have no patch yet.
    """
    namesakes: dict[str, list[str]] = {}
    for patch in found.patches:
        own = found.own(patch)
        namesakes.setdefault(own, []).append(patch)
    places: dict[_Place, dict[str, str]] = {}
    for path in left:
        for own in _beginnings(stem(os.path.basename(path)) or ""):
            if own in namesakes:
                patch = _nearest(namesakes[own], path)
                place = _place(found, patch, own, path)
                if place:
                    places.setdefault(place, {})[patch] = path
                break
    ranked = sorted(places.items(), key=lambda item: (-len(item[1]), item[0].path))
    known = {group.path for group in found.groups}
    return [
        Group(place.path, place.label, files)
        for place, files in ranked[:_MOST]
        if len(files) >= SHARE * len(found.patches) and place.path not in known
    ]


def _beginnings(text: str) -> list[str]:
    """What a file may be named after: its name, or what stands before a separator in it."""
    cuts = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", text)]
    return [text, *(text[:cut] for cut in reversed(cuts) if cut)]


def _nearest(patches: list[str], path: str) -> str:
    """The patch that is the closest to a file in the tree."""
    parts = path.split("/")
    return max(patches[:_MOST_NAMESAKES], key=lambda patch: shared(patch.split("/"), parts))


def _place(found: Groups, patch: str, own: str, path: str) -> _Place | None:
    """Write down where a file lies as a template; None if it lies in its patch."""
    parts = patch.split("/")
    start = parts if found.directories else parts[:-1]
    *folders, name = path.split("/")
    same = shared(start, folders)
    up, down = len(start) - same, folders[same:]
    if found.directories and not up:
        return None
    ending = escaped((stem(name) or name)[len(own) :])
    field = found.field
    # A directory that is called like one on the way to the patch is that of the patch.
    names = {text: f"{{folder{i}}}" for i, text in enumerate(reversed(parts)) if i}
    names = {text: names[text] for text in parts[same:-1] if text in names}
    way = [field if text == own else names.get(text, escaped(text)) for text in down]
    label = label_of(ending) or label_of(next((x for x in reversed(way) if "{" not in x), ""))
    return _Place("/".join([*[".."] * up, *way, f"{field}{ending}.tif"]), label or "parent")
