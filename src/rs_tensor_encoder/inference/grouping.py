"""Files of a tree put into groups: those that play the same part in their patches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rs_tensor_encoder.layouts.templates import fields

#: What comes behind the common part of files that are bands with a number.
BAND = re.compile(
    r"[^A-Za-z0-9]*([A-Z]{1,4}[_-])?(B|C|band|)_?\d{1,3}[A-Za-z]?(_\d{1,3}m)?", re.IGNORECASE
)

#: Share of the patches that a part must occur in.
SHARE = 0.3

#: A field of a template; braces of names are doubled.
FIELD = r"(?<!\{)\{[a-z0-9]+\}(?!\})"


@dataclass
class Group:
    """Files that play the same part: one per patch.

    ``path`` is the template of their paths, ``label`` what tells them from
    others, ``files`` maps patches to files. ``with_band`` is the path with
    ``{band}`` for the label, where that can be written. ``numbers`` are the
    numbers of bands that were seen in them.
    """

    path: str
    label: str
    files: dict[str, str]
    with_band: str = ""
    numbers: list[int] = field(default_factory=list)


@dataclass
class Groups:
    """What patches are made of, the groups of files, of which the first is the main one.

    ``patches`` are the paths of patches, without extension where they are
    files; ``base`` is what comes behind the part of a patch's name that other
    files share, "" if that is all of it.
    """

    directories: bool
    patches: list[str]
    groups: list[Group]
    base: str = ""

    @property
    def field(self) -> str:
        """What stands in templates for the part of a name that the files of a patch share."""
        return "{id}" if self.base else "{name}"

    @property
    def files(self) -> set[str]:
        """All files of all patches."""
        return {path for group in self.groups for path in group.files.values()}

    def own(self, patch: str) -> str:
        """The part of a patch's name that its files share."""
        return patch.rpartition("/")[2].removesuffix(self.base)

    @property
    def named(self) -> set[int]:
        """Components of the patches' paths, counted from the end, that templates name."""
        names = {name for group in self.groups for name in fields(group.path)}
        return {int(name.removeprefix("folder")) for name in names if name.startswith("folder")}

    @property
    def least(self) -> int:
        """Components that the expression of the paths must be about."""
        return max(group.path.count("../") for group in self.groups) + (not self.directories)


def numberless(text: str) -> str:
    """Write a name so that names that differ in numbers only are the same."""
    return re.sub(r"\d+", "0", text)


def shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of items, or letters, that two sequences begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def label_of(label: str) -> str:
    """What to call a band or a file by its part of the name."""
    return re.sub(r"\W+", "_", re.sub(FIELD, "", label)).strip("_")
