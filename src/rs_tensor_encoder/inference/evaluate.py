"""What a layout would find in a tree, patch by patch, and what nothing matched."""

import os
from dataclasses import dataclass, field

from rs_tensor_encoder.inspection.tiff_summary import Looks, look_into
from rs_tensor_encoder.inspection.tree_sample import kinds, look
from rs_tensor_encoder.layouts.files_section import EXTENSIONS
from rs_tensor_encoder.layouts.parser import File, Layout
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.left_aside import LeftAside
from rs_tensor_encoder.sources.plan import Patch, Plan, Source
from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.text import counted

# Patches that are looked into for what is wrong with them, from all parts of the plan.
_PROBES = 64

# Entries of the tree that are looked at for files that nothing matched.
_BUDGET = 200_000


@dataclass(frozen=True)
class Found:
    """A file of a patch: its path below the root, its bands, what it looks like, or why not.

    ``request`` is what must be asked for to have it read, or "".
    """

    path: str
    bands: tuple[str, ...]
    request: str
    looks: Looks | None
    problem: str | None = None


@dataclass(frozen=True)
class Shown:
    """A patch: its key, its path below the root, its files."""

    key: str
    path: str
    files: list[Found]


@dataclass
class Trial:
    """What a layout finds in a tree.

    ``problems`` is about patches from all parts of the tree, ``looked_into`` of
    them, ``lacking`` about their files that are read on request only;
    ``unmatched`` lists a file of each kind that no patch has, and how many are
    like it, among those seen: all of them if ``whole``.
    """

    layout: Layout
    root: str
    patches: int
    shown: list[Shown]
    looked_into: int
    problems: list[str]
    lacking: list[str]
    unmatched: list[tuple[str, int]]
    whole: bool
    left_aside: LeftAside = field(default_factory=LeftAside)


def attempt(layout: Layout, root: str, most: int = 3) -> Trial:
    """Find what a layout finds.

    Parameters
    ----------
    layout : Layout
        All of its files are looked for, also those that are read on request.
    root : str
        Where to look.
    most : int
        Patches to show.

    Raises
    ------
    SourceError
        If there is nothing, or the patches cannot all be encoded into one database.
    """
    layout = layout.asking(layout.requests)
    plan = discover([Source(layout, root)])
    probes = plan.patches[:: max(1, len(plan.patches) // _PROBES)][:_PROBES]
    wrong = [x for patch in probes for x in _show(plan, patch, root).files if x.problem]
    survey = look(root, _BUDGET)
    return Trial(
        layout=layout,
        root=root,
        patches=len(plan.patches),
        shown=[_show(plan, patch, root) for patch in plan.patches[:most]],
        looked_into=len(probes),
        problems=[f"{found.path}: {found.problem}" for found in wrong if not found.request],
        lacking=[
            f"{found.path}: {found.problem} (--with {found.request})"
            for found in wrong
            if found.request
        ],
        unmatched=kinds(_unmatched(plan, survey.files, root)),
        whole=survey.whole,
        left_aside=plan.left_aside,
    )


def _show(plan: Plan, patch: Patch, root: str) -> Shown:
    found = plan.files(patch)
    files = [
        _look_at(os.path.normpath(path), file, root)
        for path, file in zip(found.paths, plan.formats[found.format], strict=True)
    ]
    path = os.path.relpath(file_names.to_path(plan.locate(patch)), root)
    return Shown(patch.key.decode(), file_names.from_path(path), files)


def _look_at(base: str, file: File, root: str) -> Found:
    path = next((x for x in (base + y for y in EXTENSIONS) if os.path.exists(x)), None)
    if path is None:
        path = file_names.from_path(os.path.relpath(base + EXTENSIONS[0], root))
        return Found(path, file.bands, file.on, None, "there is no such file")
    below = file_names.from_path(os.path.relpath(path, root))
    try:
        looks = look_into(root, below)
    except ValueError as error:
        return Found(below, file.bands, file.on, None, str(error))
    if looks.bands != len(file.bands):
        reason = f"the file has {counted(looks.bands, 'band')}, not {len(file.bands)}"
        return Found(below, file.bands, file.on, looks, reason)
    return Found(below, file.bands, file.on, looks)


def _unmatched(plan: Plan, files: list[str], root: str) -> list[str]:
    """Those of a tree's files that no patch has, in order."""
    seen = {os.path.normpath(os.path.join(root, file_names.to_path(path))): path for path in files}
    here = {os.path.dirname(path) for path in seen}
    layout = plan.sources[0].layout
    elsewhere = any("/" in file.path for file in layout.files)
    for patch in plan.patches:
        found = plan.files(patch)
        # Of large trees only a part was seen.
        if elsewhere or os.path.normpath(os.fsdecode(found.directory)) in here:
            for base in map(os.path.normpath, found.paths):
                for extension in EXTENSIONS:
                    seen.pop(base + extension, None)
    return list(seen.values())
