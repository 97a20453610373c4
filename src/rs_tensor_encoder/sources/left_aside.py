"""What a search meets and does not take: counted by reason, each reason with an example."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Reason(Enum):
    """Why an entry of a directory is left aside; the value names one such entry, and several."""

    HIDDEN = ("hidden file or directory", "hidden files or directories")
    SYSTEM = ("directory of an operating system", "directories of an operating system")
    OTHER_FILE = ("file that is not named .tif", "files that are not named .tif")
    MIXED_CASE = (
        "file with an extension that is not read, such as .tIF: rename it",
        "files with an extension that is not read, such as .tIF: rename them",
    )
    UNMATCHED = (
        "TIFF file that does not match the layout",
        "TIFF files that do not match the layout",
    )
    NO_PATCH = (
        "TIFF file that is no patch itself, as masks and other files of patches are",
        "TIFF files that are no patches themselves, as masks and other files of patches are",
    )
    LINK_TO_DIRECTORY = (
        "symbolic link to a directory, which is not followed",
        "symbolic links to directories, which are not followed",
    )
    BROKEN_LINK = (
        "symbolic link that cannot be followed",
        "symbolic links that cannot be followed",
    )
    SPECIAL = ("device, pipe or socket", "devices, pipes or sockets")
    OTHER_DATASET = (
        "directory with a name like a patch, but files of another dataset",
        "directories with names like patches, but files of another dataset",
    )


# Reasons that stand in nearly every tree.
_USUAL = {Reason.HIDDEN, Reason.SYSTEM, Reason.OTHER_FILE, Reason.UNMATCHED, Reason.NO_PATCH}


@dataclass(frozen=True, slots=True)
class Tally:
    """How many entries were left aside for a reason, and the path of one, in UTF-8."""

    count: int
    example: str


@dataclass
class LeftAside:
    """Entries that were left aside, by reason."""

    tallies: dict[Reason, Tally] = field(default_factory=dict)

    def add(self, reason: Reason, path: str, count: int = 1) -> None:
        """Count entries; of all paths, the first in alphabetical order is the example."""
        known = self.tallies.get(reason)
        if known is None:
            self.tallies[reason] = Tally(count, path)
        else:
            self.tallies[reason] = Tally(known.count + count, min(known.example, path))

    def merge(self, other: "LeftAside") -> None:
        """Count what another search has left aside, too."""
        for reason, tally in other.tallies.items():
            self.add(reason, tally.example, tally.count)

    @property
    def count(self) -> int:
        """Number of entries, for all reasons."""
        return sum(tally.count for tally in self.tallies.values())

    def phrases(self, *, all_reasons: bool = True) -> Iterator[str]:
        """Yield a phrase for each reason: what, how many, and an example.

        Without ``all_reasons``, files that belong to no patch of any dataset are not said.
        """
        for reason in Reason:
            if reason in self.tallies and (all_reasons or reason not in _USUAL):
                count, example = self.tallies[reason].count, self.tallies[reason].example
                one, several = reason.value
                if count == 1:
                    yield f"1 {one} ({example})"
                else:
                    yield f"{count:,} {several} (for example {example})"

    def as_json(self) -> list[dict[str, Any]]:
        """The same for JSON: ``reason``, ``count`` and ``example`` of each."""
        return [
            {"reason": reason.name.lower().replace("_", "-"), **asdict(self.tallies[reason])}
            for reason in Reason
            if reason in self.tallies
        ]
