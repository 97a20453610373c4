"""A layout proposed for a tree that is not known, to be edited by whoever knows it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.inference.directory_patches import by_directory
from rs_tensor_encoder.inference.file_patches import by_file
from rs_tensor_encoder.inference.grouping import Group, Groups
from rs_tensor_encoder.inference.propose import Proposal, Proposer, UnfitError
from rs_tensor_encoder.inspection.file_kind import no_directory
from rs_tensor_encoder.inspection.identify import datasets, describe
from rs_tensor_encoder.inspection.tree_sample import Survey, kinds, listed, look
from rs_tensor_encoder.layouts.files_section import stem
from rs_tensor_encoder.util.text import counted

# Entries of the tree that are looked at.
_BUDGET = 50_000

# Share of the files that a proposal must read, of those that another one does, to be preferred:
# patches of several files to other such, and these to single files.
_NEARLY = 0.9
_MOST = 0.75

# Directories, and kinds of names, whose files alone are tried as patches.
_PARTS = 4

# Share of the patches that lack a file, up to which these may be broken.
_FEW = 0.1


def guess(root: str) -> tuple[str, list[str]]:
    """Look at a tree and write a layout for it.

    The layout is right for all that was looked at: it is valid, what it takes
    for a patch has its files, and keys are unique.

    Returns
    -------
    text : str
        The TOML file.
    remarks : list of str
        What the user should know besides.

    Raises
    ------
    SourceError
        If there are no TIFF files, or no layout would be right for them.
    """
    if not os.path.isdir(root):
        raise SourceError(f"{root}: {no_directory(root)}")
    survey = look(root, _BUDGET)
    links = set(survey.links)
    # Names that are no text could not be written down.
    tiffs = [x for x in survey.files if stem(x) is not None and x not in links and x.isprintable()]
    if not tiffs:
        raise SourceError(f"{root}: nothing to guess from. {describe(survey)}")
    proposal = _best(survey, tiffs)
    return proposal.text, [
        *_known(survey),
        *_left_over(tiffs, proposal),
        *_warnings(proposal, survey),
    ]


def _best(survey: Survey, tiffs: list[str]) -> Proposal:
    """Choose among the proposals that are right.

    Raises
    ------
    SourceError
        If there are none.
    """
    proposer = Proposer(survey, tiffs)
    faults: list[str] = []

    def right(candidates: Iterable[Groups], *, several: bool) -> Iterator[Proposal]:
        for found in candidates:
            try:
                proposal = proposer.propose(found, companions=several)
            except UnfitError as error:
                faults.append(str(error))
                continue
            yield proposal
            if proposal.files >= _NEARLY * len(tiffs):
                return

    found = list(right(_several(survey.root, tiffs), several=True))
    several = [x for x in found if x.groups.directories or len(x.groups.groups) > 1]
    singles = [x for x in found if x not in several]
    most = max((proposal.files for proposal in several), default=0)
    # The earlier a candidate comes, the more it says about the files.
    best = next((x for x in several if x.files >= _NEARLY * most), None)
    if most < _MOST * len(tiffs):
        singles += right(_single(tiffs), several=False)
    largest = max(singles, key=lambda proposal: proposal.files, default=None)
    if largest and (best is None or best.files < _MOST * largest.files):
        best = largest
    if best is None:
        raise SourceError(
            f"{survey.root}: no layout can be proposed that is right for all of its patches: "
            f"{faults[0] if faults else _twins(tiffs)}; rename or move such files, or name a "
            "directory that holds one kind of patches"
        )
    return best


def _several(root: str, tiffs: list[str]) -> Iterator[Groups]:
    """Patches that may have several files, the likeliest first."""
    found = by_directory(root, tiffs)
    if found:
        yield found
    apart = _apart(tiffs)
    if apart:
        yield by_file(root, apart)
        yield by_file(root, apart, alone=True)


def _single(tiffs: list[str]) -> Iterator[Groups]:
    """Patches of one file each: all, or those of a directory, or with names of a kind."""
    apart = _apart(tiffs)
    parts: list[list[str]] = [apart]
    places: Counter[str] = Counter(map(os.path.dirname, apart))
    for place, _ in places.most_common(_PARTS):
        parts.append([path for path in apart if os.path.dirname(path) == place])
    for part in parts:
        if part:
            yield Groups(
                directories=False,
                patches=[stem(path) or path for path in part],
                groups=[Group("{name}.tif", "", {stem(path) or path: path for path in part})],
            )


def _apart(tiffs: list[str]) -> list[str]:
    """Files without those that differ in their extension only: no expression tells these apart."""
    count = Counter(map(stem, tiffs))
    return [path for path in tiffs if count[stem(path)] == 1]


def _twins(tiffs: list[str]) -> str:
    apart = set(_apart(tiffs))
    twins = [path for path in tiffs if path not in apart]
    return f"{listed(twins)} differ in their extension only"


def _known(survey: Survey) -> Iterator[str]:
    for layout in datasets(survey):
        yield (
            f"this looks like {layout.title}, which {layout.option} reads without a layout of "
            "your own"
        )


def _left_over(tiffs: list[str], proposal: Proposal) -> Iterator[str]:
    """Say what will not be read: its user should know before it is missed."""
    left = [path for path in tiffs if path not in proposal.validity.covered]
    if left:
        yield f"no place was found for {counted(len(left), 'TIFF file')}: {listed(left)}"


def _warnings(proposal: Proposal, survey: Survey) -> Iterator[str]:
    found = proposal.groups
    for group in found.groups:
        lacking = [patch for patch in found.patches if patch not in group.files]
        if 0 < len(lacking) <= _FEW * len(found.patches):
            yield (
                f"{group.label} is missing in {len(lacking):,} of {len(found.patches):,} patches, "
                f"for example {kinds(lacking)[0][0]}: remove its 'optional = true' if these are "
                "broken"
            )
    broken = proposal.validity.unreadable
    if broken:
        yield f"{counted(len(broken), 'file')} cannot be read: {listed(broken)}"
    if not survey.whole:
        yield f"not all was looked at, but {counted(len(survey.files), 'file')}"
