"""Proposals of layouts: groups of files made alike, written down, and held against the tree."""

import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace

from rs_tensor_encoder.errors import LayoutError
from rs_tensor_encoder.inference.companions import attach
from rs_tensor_encoder.inference.grouping import Group, Groups
from rs_tensor_encoder.inference.path_expression import narrow
from rs_tensor_encoder.inference.siblings import on_request, seen
from rs_tensor_encoder.inference.toml_writer import write
from rs_tensor_encoder.inference.validate import Validity, validate
from rs_tensor_encoder.inspection.tree_sample import Survey, listed
from rs_tensor_encoder.layouts.files_section import DTYPES, stem
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.text import counted

# Files that are looked into: all, or one of those whose paths differ in numbers only.
_FILES = 1_000

# Share of the patches that may be left out because one of their files is not like the others.
_FEW = 0.1


@dataclass
class Proposal:
    """A layout for a tree that is right for it."""

    text: str
    groups: Groups
    validity: Validity

    @property
    def files(self) -> int:
        """Number of files that it reads."""
        return len(self.validity.covered)


class UnfitError(Exception):
    """No right layout has such patches; the text says why."""


class Proposer:
    """Makes proposals for one tree.

    Parameters
    ----------
    survey : Survey
        The tree, or the part of it that was looked at.
    tiffs : list of str
        Those of its files that may be read.
    """

    def __init__(self, survey: Survey, tiffs: list[str]) -> None:
        self._survey = survey
        self._tiffs = tiffs
        self._kinds: dict[str, tuple[int, bool] | None] = {}

    def propose(self, found: Groups, *, companions: bool) -> Proposal:
        """Write a layout for these patches, or for those of them that are alike.

        Parameters
        ----------
        found : Groups
            The patches.
        companions : bool
            Whether files elsewhere may belong to them.

        Raises
        ------
        UnfitError
            If none would be right.
        """
        # What is left out of one proposal may be in the next.
        found = replace(found)
        unlike = self._make_alike(found)
        if companions:
            taken = found.files
            more = attach(found, [path for path in self._tiffs if path not in taken])
            if more:
                # What lies elsewhere may make paths of which no expression is right.
                with suppress(UnfitError):
                    whole = replace(found, groups=[*found.groups, *more])
                    return self._write(whole, [*unlike, *self._make_alike(whole)])
        return self._write(found, unlike)

    def _write(self, found: Groups, unlike: list[str]) -> Proposal:
        address = narrow(
            found.patches,
            self._others(found),
            base=found.base,
            named=found.named,
            least=found.least,
        )
        if address is None:
            raise UnfitError(
                f"{listed(unlike)} {'differs' if len(unlike) == 1 else 'differ'} in bands or "
                "sample type from files that are named alike"
                if unlike
                else f"neither names nor directories tell {listed(found.patches)} from other files"
            )
        path = file_names.from_path(os.path.abspath(self._survey.root))
        title = os.path.basename(path) or "dataset"
        looked_at = counted(len(self._tiffs), "TIFF file")
        text = write(self._survey.root, found, address, title, looked_at)
        try:
            layout = parse("proposed", text.encode())
        except LayoutError as error:
            raise UnfitError(str(error)) from None
        validity = validate(layout, self._survey)
        if validity.fault:
            raise UnfitError(validity.fault)
        return Proposal(text, found, validity)

    def kind(self, path: str) -> tuple[int, bool] | None:
        """Number of bands of a file, and whether it can be encoded; None if it cannot be read."""
        key = path if len(self._tiffs) <= _FILES else re.sub(r"\d+", "0", path)
        if key not in self._kinds:
            looks = seen(self._survey.root, path)
            self._kinds[key] = (looks.bands, looks.dtype in DTYPES) if looks else None
        return self._kinds[key]

    def _make_alike(self, found: Groups) -> list[str]:
        """Leave out what has another number of bands than the others of its group.

        Returns
        -------
        list of str
            Files for which patches were left out.
        """
        unlike: dict[str, str] = {}
        kept = []
        for index, group in enumerate(found.groups):
            kinds = Counter(
                kind for path in sorted(group.files.values()) if (kind := self.kind(path))
            )
            group.numbers = sorted({bands for bands, _ in kinds})
            # What can be encoded, and of those that are as many, the first.
            usual = max(kinds, key=lambda kind: (kind[1], kinds[kind]), default=None)
            other = {x: y for x, y in group.files.items() if self.kind(y) not in (None, usual)}
            essential = found.directories and not on_request(group.label)
            few = len(other) <= _FEW * len(found.patches) and not on_request(group.label)
            main = index == 0 and not found.directories
            if usual and not usual[1] and not main and len(found.groups) > 1:
                continue
            if other and not (main or essential or few):
                continue
            unlike.update(other)
            kept.append(group)
        self._keep(found, kept, unlike)
        return sorted(unlike.values())

    def _keep(self, found: Groups, groups: list[Group], without: dict[str, str]) -> None:
        """Reduce patches to these groups, and to patches that these files leave whole."""
        always = [group for group in groups if not on_request(group.label)] or groups[:1]
        patches = {patch for group in always for patch in group.files} - without.keys()
        found.patches = [patch for patch in found.patches if patch in patches]
        reduced = [
            replace(group, files={x: y for x, y in group.files.items() if x in patches})
            for group in groups
        ]
        found.groups = [group for group in reduced if group.files]
        if not found.patches or not found.groups:
            raise UnfitError("no directory holds files like those of the others")

    def _others(self, found: Groups) -> list[str]:
        """Paths that are no patches, but that a layout would find if they matched."""
        patches = set(found.patches)
        if not found.directories:
            links = set(self._survey.links)
            paths = (path for path in self._survey.files if path not in links)
            return [base for path in paths if (base := stem(path)) and base not in patches]
        return [path for path in self._survey.directories if not patches & _ways(path)]


def _ways(path: str) -> set[str]:
    """A path and the directories above it."""
    parts = path.split("/")
    return {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
