"""What became of an encoding, and the list of what failed."""

import os
from dataclasses import dataclass, field

from rs_tensor_encoder.errors import PatchError
from rs_tensor_encoder.sources.left_aside import LeftAside
from rs_tensor_encoder.storage.manifest import FAILURES, remove, write_json


@dataclass
class Report:
    """What became of an encoding.

    ``complete`` tells whether the target is there; ``kept`` is the number of
    patches that an earlier run had encoded, ``encoded`` those of this one.
    """

    target: str
    patches: int
    complete: bool = False
    kept: int = 0
    encoded: int = 0
    bytes: int = 0
    interrupted: bool = False
    verified: bool = False
    failures: list[tuple[str, PatchError]] = field(default_factory=list)
    left_aside: LeftAside = field(default_factory=LeftAside)
    notes: list[str] = field(default_factory=list)


def save_failures(partial: str, report: Report) -> None:
    """Write down what failed beside a partial database, or remove what was written there."""
    path = os.path.join(partial, FAILURES)
    if report.failures:
        write_json(path, as_dicts(report))
    else:
        remove(path)


def as_dicts(report: Report) -> list[dict[str, str]]:
    """List what failed as the manifest has it: patch, path and reason."""
    return [
        {"patch": key, "path": error.path, "reason": error.reason} for key, error in report.failures
    ]
