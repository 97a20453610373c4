"""What a tree is, if it is not what the user took it for."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from rs_tensor_encoder.errors import Kind, PatchError, SourceError
from rs_tensor_encoder.inspection.tiff_summary import look_into
from rs_tensor_encoder.inspection.tree_sample import Survey, listed, look
from rs_tensor_encoder.layouts.parser import Layout, builtin, stem
from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.text import counted


def is_of_another(layout: Layout, root: str, path: str) -> bool:
    """Tell whether a directory only looks like a patch, and is one of another dataset.

    BigEarthNet's reference maps lie in directories that bear the names of
    Sentinel-2 patches; SSL4EO-S12 has the same names for L1C and L2A. What
    another layout does not explain better is a patch all the same, maybe a
    broken one, which encoding will report. A layout of the user's own is always
    taken at its word.

    Parameters
    ----------
    layout : Layout
        Which the directory's name fits.
    root, path : str
        The root of the source, and the path of the directory below it.
    """
    if not any(layout.digest == known.digest for known in builtin()):
        return False
    parts = path.split("/")
    # Most directories have a name that is no other's, and need not be read.
    rivals = [
        other
        for other in builtin()
        if other.name != layout.name and not other.of_files and other.match(tail(other, parts))
    ]
    if layout.depth > 1 and not rivals:
        return False
    try:
        found = stems(
            map(file_names.from_path, os.listdir(os.path.join(root, file_names.to_path(path))))
        )
    except OSError:
        return False
    if not found:
        return False
    lone = [other for other in builtin() if other.of_files and other.depth == 1]
    if all(any(other.match(name) for other in lone) for name in found):
        return True
    own = _explained(layout, parts, found)
    return any(_explained(other, parts, found) > own for other in rivals)


def stems(files: Iterable[str]) -> set[str]:
    """Names of the TIFF files among these, without extension; hidden ones do not count."""
    found = (stem(name) for name in files if not name.startswith("."))
    return {name for name in found if name is not None}


def tail(layout: Layout, parts: Sequence[str]) -> str:
    """The last components of a path: what the layout's expression is matched with."""
    return "/".join(parts[-layout.depth :])


def _explained(layout: Layout, parts: Sequence[str], names: Collection[str]) -> int:
    """Count the files of a patch if all of them are there; 0 if it is no patch, or not whole."""
    groups = layout.match(tail(layout, parts))
    if groups is None:
        return 0
    wanted = [name for name in layout.names(groups) if "/" not in name]
    return len(wanted) if all(name in names for name in wanted) else 0


def describe(survey: Survey) -> str:
    """Say what a tree looks like, and which of the known datasets it may be."""
    tiffs = [path for path in survey.files if stem(path) is not None]
    if not survey.files:
        return "The tree holds no files" if survey.whole else "No files were seen in the tree"
    seen = "The tree holds" if survey.whole else "The part of the tree that was looked at holds"
    if not tiffs:
        return f"{seen} no TIFF files, but {listed(survey.files)}"
    text = f"{seen} {counted(len(tiffs), 'TIFF file')}: {listed(tiffs)}"
    known = datasets(survey)
    if known:
        options = " or ".join(f"{layout.title} ({layout.option})" for layout in known)
        text += f". It looks like {options}"
    return text


def misplaced(layout: Layout, survey: Survey) -> list[str]:
    """Say which directory to name if patches are found from there, but not from this root.

    Returns
    -------
    list of str
        A sentence, or nothing.
    """
    root = os.path.abspath(survey.root)
    for directory, files in survey.by_directory():
        names = stems(files)
        place = os.path.join(root, directory).rstrip("/").split("/")
        for path in [[*place, name] for name in names] if layout.of_files else [place]:
            for count in range(1, layout.depth + 1):
                better = "/".join(path[:-count]) or "/"
                if better != root and _is_patch(layout, path[-count:], names):
                    return [_advice(survey.root, better, "/".join(path) == root)]
    return []


def _is_patch(layout: Layout, parts: Sequence[str], names: Collection[str]) -> bool:
    if layout.of_files:
        return layout.match("/".join(parts)) is not None
    return _explained(layout, parts, names) > 0


def _advice(root: str, better: str, is_patch: bool) -> str:
    shown = better if os.path.isabs(root) else os.path.relpath(better)
    if is_patch:
        return f"The root is a single patch of it: name a directory above, such as {shown}"
    if os.path.abspath(root).startswith(better.rstrip("/") + "/"):
        return f"The root lies too deep in it: name a directory above, such as {shown}"
    return f"The root lies too high above it: name {shown}"


def datasets(survey: Survey) -> list[Layout]:
    """Find the layouts that come with the package and explain the most of a tree's patches."""
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for directory, files in survey.by_directory():
        parts = [part for part in directory.split("/") if part]
        names = stems(files)
        for layout in builtin():
            count = (
                sum(layout.match(tail(layout, [*parts, name])) is not None for name in names)
                if layout.of_files
                else _explained(layout, parts, names)
            )
            found[layout.name] += count
            if count and layout.name not in first:
                tiff = min(name for name in files if stem(name) is not None)
                first[layout.name] = os.path.join(directory, tiff)
    most = max(found.values(), default=0)
    best = [layout for layout in builtin() if most and found[layout.name] == most]
    if len(best) < 2:
        return best
    return [x for x in best if _fits(x, survey.root, first[x.name])] or best


def _fits(layout: Layout, root: str, path: str) -> bool:
    """Tell whether a file has as many bands as the first one of a layout."""
    try:
        return look_into(root, path).bands == len(layout.files[0].bands)
    except ValueError:
        return False


def refuse_other_bands(layout: Layout, root: str, problems: Sequence[PatchError]) -> None:
    """Refuse a source none of whose patches has the bands of its layout.

    Parameters
    ----------
    layout, root
        The source.
    problems : sequence of PatchError
        What was wrong with each of the patches that were tried.

    Raises
    ------
    SourceError
        If it was the number of bands, each time.
    """
    if problems and all(problem.kind == Kind.OTHER_BANDS for problem in problems):
        raise SourceError(
            f"{root}: no patches of {layout.title} found (given as {layout.option}): there are "
            f"files with such names, but {problems[0]}. {describe(look(root))}"
        )
