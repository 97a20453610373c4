"""What an earlier run has left: which of its records still hold."""

import errno
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from rs_tensor_encoder.encoding.batching import new_encoder
from rs_tensor_encoder.errors import PatchError, SourceError, TargetError
from rs_tensor_encoder.sources.plan import Patch, Plan
from rs_tensor_encoder.storage.digest_file import digest_of
from rs_tensor_encoder.storage.journal import UNKNOWN, Journal
from rs_tensor_encoder.storage.safetensors_header import header_of
from rs_tensor_encoder.storage.writer import Writer
from rs_tensor_encoder.util.prefetch import Helpers
from rs_tensor_encoder.util.text import counted

# Threads that look at files, and patches that one looks at in one call: on cold or
# remote storage each look is waited for.
_LOOKERS = 16
_CHUNK = 256

# What the system says of a file that is not there any more.
_GONE = {errno.ENOENT, errno.ENOTDIR}


class _Record(NamedTuple):
    patch: Patch
    header: bytes
    length: int
    mark: int


@dataclass
class Kept:
    """Records that are whole, and made of files that are as they were.

    ``headers`` counts them by the headers of their values, ``missing`` are the
    patches without such a record, in order.
    """

    headers: Counter[bytes] = field(default_factory=Counter)
    patches: int = 0
    bytes: int = 0
    missing: list[Patch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def keep(
    plan: Plan,
    writer: Writer,
    journal: Journal,
    progress: Callable[[int, int], None],
    stop: threading.Event,
) -> Kept:
    """Keep the records that hold, and remove the others: they are made again.

    Every value is held to the digest that was noted before it was written, and
    the sizes and times of its files to those noted when they were read.

    Parameters
    ----------
    plan : Plan
        What is to be encoded.
    writer, journal : Writer, Journal
        What there is.
    progress : callable
        Called with patches and bytes of values kept since the last call.
    stop : threading.Event
        Set by others to end early; all that was not looked at is missing then.

    Raises
    ------
    TargetError
        If there are records that the plan does not explain.
    SourceError
        If a file cannot be looked at.
    """
    kept = Kept()
    _refuse_foreign(plan, writer)
    held: set[bytes] = set()
    damaged: list[bytes] = []
    changed: list[Patch] = []
    for records, marks in _looked_at(plan, _whole(plan, writer, journal, damaged)):
        size = 0
        before = len(held)
        for record, mark in zip(records, marks, strict=True):
            if record.mark not in (UNKNOWN, mark):
                changed.append(record.patch)
                continue
            held.add(record.patch.key)
            kept.headers[record.header] += 1
            size += record.length
        kept.bytes += size
        progress(len(held) - before, size)
        if stop.is_set():
            break
    else:
        writer.remove(sorted([*damaged, *(patch.key for patch in changed)]))
        if changed:
            kept.notes.append(
                f"the files of {counted(len(changed), 'patch')} were changed since they had been "
                f"encoded, for example {plan.locate(changed[0])}: encoded again"
            )
        if damaged:
            kept.notes.append(
                f"the last run had meant to write {counted(len(damaged), 'record')} otherwise, for "
                f"example {damaged[0].decode()}: encoded again"
            )
    kept.patches = len(held)
    kept.missing = [patch for patch in plan.patches if patch.key not in held]
    return kept


def _refuse_foreign(plan: Plan, writer: Writer) -> None:
    foreign = []
    patches = iter(plan.patches)
    patch = next(patches, None)
    for key in writer.keys():  # noqa: SIM118  not a dict
        while patch is not None and patch.key < key:
            patch = next(patches, None)
        if patch is None or patch.key != key:
            foreign.append(key)
    if foreign:
        raise TargetError(
            f"{writer.directory}: has {counted(len(foreign), 'record')} that the sources do "
            f"not have any more, for example {foreign[0]!r}; use --restart to begin anew"
        )


def _whole(plan: Plan, writer: Writer, journal: Journal, damaged: list[bytes]) -> Iterator[_Record]:
    """Yield the records that are what they were meant to be; the others go to ``damaged``."""
    patches = iter(plan.patches)
    entries = journal.entries()
    entry = next(entries, None)
    for key, value in writer.records():
        patch = next(patch for patch in patches if patch.key == key)
        while entry is not None and entry[0] < key:
            entry = next(entries, None)
        header = header_of(value)
        if (
            entry is None
            or header is None
            or entry[:2] != (key, len(value))
            or entry[2] != digest_of(value)
        ):
            damaged.append(key)
            continue
        yield _Record(patch, header, len(value), entry[3])


def _looked_at(
    plan: Plan, records: Iterator[_Record]
) -> Iterator[tuple[list[_Record], list[int | None]]]:
    """Look at the files of records, many at a time; None stands for files that are gone."""

    def look(chunk: list[_Record]) -> tuple[list[_Record], list[int | None]]:
        files = [plan.files(record.patch) for record in chunk]
        return chunk, [_mark(found) for found in new_encoder(plan).marks(files)]

    with Helpers(_LOOKERS) as helpers:
        yield from helpers.map(look, iter(lambda: list(islice(records, _CHUNK)), []))


def _mark(found: int | PatchError) -> int | None:
    if isinstance(found, int):
        return found
    if found.errno in _GONE:
        return None
    # Not to be told from a change: the record stays, and the user mends it.
    raise SourceError(f"{found}; nothing is lost, run the same command again")
