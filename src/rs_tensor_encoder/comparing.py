"""Patches compared with their records, many at a time, in worker processes."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import lmdb

from rs_tensor_encoder import decoders, opening
from rs_tensor_encoder.comparison import Difference, Tensors, compare
from rs_tensor_encoder.layout import EXTENSIONS
from rs_tensor_encoder.looks import inside
from rs_tensor_encoder.plain import counted
from rs_tensor_encoder.pool import Pool

# Patches that a process is given at once: few, so that progress is prompt.
_CHUNK = 4


class Job(NamedTuple):
    """A patch to compare: its key, the root of its source, its files with their bands.

    ``present`` tells whether it has a record.
    """

    key: bytes
    root: str
    files: list[tuple[str, tuple[str, ...]]]
    present: bool


class Result(NamedTuple):
    """What came of a patch: tensors and bytes compared, and what differs."""

    tensors: int
    size: int
    differences: list[Difference]


class Unreadable(Exception):  # noqa: N818
    """A source cannot be read; the text says which file and why."""


@dataclass
class _Process:
    """What a process compares with: one database, one decoder."""

    env: lmdb.Environment
    decode: decoders.Decoder


# Set once per process, by its initializer.
_here: list[_Process] = []


def compare_patches(
    jobs: Iterator[Job],
    target: str,
    decoder: tuple[str, int],
    workers: int,
    stop: threading.Event | None = None,
) -> Iterator[tuple[int, list[Result]]]:
    """Compare chunks of patches in worker processes; in this one if there is one worker.

    Parameters
    ----------
    jobs : iterator of Job
        What to compare.
    target : str
        The database.
    decoder : tuple of str and int
        Name of the decoder, and its limit in bytes.
    workers : int
        Processes.
    stop : threading.Event, optional
        Set by others to end: at once with worker processes, otherwise after the
        patch at hand.

    Yields
    ------
    count : int
        Patches of the chunk that have a record, and were compared with it.
    results : list of Result
        One for each patch of the chunk.
    """
    if workers == 1:
        _begin(target, decoder)
        try:
            for job in jobs:
                if stop is not None and stop.is_set():
                    return
                yield _present([job]), _compare_all([job])
        finally:
            _end()
        return
    with Pool(workers, _begin, (target, decoder), _compare_all) as pool:
        for chunk, results in pool.map(_chunks(jobs), stop):
            yield _present(chunk), results


def _present(chunk: Sequence[Job]) -> int:
    return sum(job.present for job in chunk)


def _chunks(jobs: Iterator[Job]) -> Iterator[list[Job]]:
    chunk: list[Job] = []
    for job in jobs:
        chunk.append(job)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _begin(target: str, decoder: tuple[str, int]) -> None:
    _here.append(_Process(opening.open_reading(target), decoders.decoder(*decoder)))


def _end() -> None:
    _here.pop().env.close()


def _compare_all(jobs: Sequence[Job]) -> list[Result]:
    here = _here[-1]
    results = []
    with here.env.begin() as txn:
        for job in jobs:
            value = bytes(txn.get(job.key) or b"")
            results.append(_compare(job, value, here.decode))
    return results


def _compare(job: Job, value: bytes, decode: decoders.Decoder) -> Result:
    patch = job.key.decode()
    try:
        expected = _read(job, decode)
    except Unreadable as error:
        return Result(0, len(value), [Difference(patch, str(error))] if job.present else [])
    if not job.present:
        # What was left out on request must not be readable by another decoder.
        reason = "left out by --skip-failed, but its files can be read"
        return Result(0, 0, [Difference(patch, reason)])
    return Result(len(expected), len(value), compare(patch, value, expected))


def _read(job: Job, decode: decoders.Decoder) -> Tensors:
    """Read all bands of a patch by an independent decoder."""
    expected: Tensors = {}
    for base, names in job.files:
        paths = [base + extension for extension in EXTENSIONS]
        path = next((path for path in paths if os.path.exists(path)), paths[0])
        if os.path.exists(path) and not os.path.isfile(path):
            raise Unreadable(f"{path}: not a regular file")
        if not inside(path, job.root):
            raise Unreadable(f"{path}: leads out of the source by a symbolic link")
        try:
            bands = decode(path)
        except FileNotFoundError:
            raise Unreadable(f"{path}: there is no such file") from None
        except Exception as error:  # noqa: BLE001  decoders raise what they like
            raise Unreadable(f"{path}: cannot be read for the comparison: {error}") from None
        if len(bands) != len(names):
            there = counted(len(bands), "band")
            raise Unreadable(f"{path}: the file has {there}, not {len(names)}")
        expected |= zip(names, bands, strict=True)
    return expected
