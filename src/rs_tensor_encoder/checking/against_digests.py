"""The proof without the sources: every record against the digest that was kept of it."""

import threading
from collections.abc import Iterator

from rs_tensor_encoder.checking.against_sources import CheckReport, Progress, check_structure, find
from rs_tensor_encoder.checking.compare import Difference
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import environment
from rs_tensor_encoder.storage.digest_file import Digests, Entry, digest_of
from rs_tensor_encoder.storage.manifest import NAME
from rs_tensor_encoder.util.text import counted


def known_digests(target: str, against: str | None = None) -> Digests:
    """Open what a database is to be compared with.

    Parameters
    ----------
    target : str
        The database.
    against : str, optional
        File of digests; by default the one beside the database, which must be
        the one that its manifest knows.

    Raises
    ------
    TargetError
        If there is no database, or no digests, or they are torn or edited.
    """
    manifest = find(target)
    if against is not None:
        return Digests(against)
    if manifest is None:
        raise TargetError(f"{target}: has no {NAME}; name a file of digests by --against")
    return manifest.open_digests(target)


def check_digests(
    target: str,
    known: Digests,
    *,
    subset: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> CheckReport:
    """Compare a database with digests of its records.

    Every record must be there, and its value must have the length and the
    digest that are known of it; no other record may be there. The structure of
    the database must be sound.

    Parameters
    ----------
    target : str
        The database.
    known : Digests
        What is known of it.
    subset : bool
        Records may be missing: for a part of the database that the digests are of.
    progress : callable, optional
        Called with records and bytes compared since the last call.
    stop : threading.Event, optional
        Set by others to end early.

    Raises
    ------
    TargetError
        If there is no database.
    """
    report = CheckReport(target, "digests", patches=known.count)
    if not check_structure(target, find(target), report, stop):
        return report
    for key, value, entry in _side_by_side(target, known):
        reason = _difference(value, entry)
        if reason is not None and not (subset and value is None):
            name = key.decode("utf-8", "backslashreplace")
            report.differences.append(Difference(name, reason))
        if value is None or entry is None:
            continue
        report.checked += 1
        report.bytes += len(value)
        if progress is not None:
            progress(1, len(value))
        if stop is not None and stop.is_set():
            report.interrupted = True
            break
    return report


def _side_by_side(
    target: str, known: Digests
) -> Iterator[tuple[bytes, memoryview | None, Entry | None]]:
    """Yield every key with its value and its entry; one of the two may be missing."""
    entries = iter(known)
    entry = next(entries, None)
    with (
        environment.open_reading(target) as env,
        env.begin(buffers=True) as txn,
        txn.cursor() as cursor,
    ):
        for found, value in cursor:
            key = bytes(found)
            while entry is not None and entry.key < key:
                yield entry.key, None, entry
                entry = next(entries, None)
            if entry is not None and entry.key == key:
                yield key, memoryview(value), entry
                entry = next(entries, None)
            else:
                yield key, memoryview(value), None
        while entry is not None:
            yield entry.key, None, entry
            entry = next(entries, None)


def _difference(value: memoryview | None, entry: Entry | None) -> str | None:
    if value is None:
        return "no such record"
    if entry is None:
        return "a record that the digests do not know"
    if len(value) != entry.length:
        return f"the value has {counted(len(value), 'byte')}, not the {entry.length:,} that it had"
    if digest_of(value) != entry.digest:
        return "the value is not the one that was written: its digest differs"
    return None
