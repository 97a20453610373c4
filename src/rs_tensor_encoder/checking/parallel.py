"""Patches compared with their records, many at a time, in worker processes."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import lmdb

from rs_tensor_encoder.checking.decoder_order import DecoderOrder
from rs_tensor_encoder.checking.read_patch import Job, Result, compare_patch
from rs_tensor_encoder.storage import environment
from rs_tensor_encoder.util.process_pool import Pool

# Patches that a process is given at once: few, so that progress is prompt.
_CHUNK = 4


@dataclass
class _Process:
    """What a process compares with: one database, and who reads the files."""

    env: lmdb.Environment
    order: DecoderOrder


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
        Name of the decoder that is asked first, and its limit in bytes.
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
    _here.append(_Process(environment.open_reading(target), DecoderOrder(*decoder)))


def _end() -> None:
    _here.pop().env.close()


def _compare_all(jobs: Sequence[Job]) -> list[Result]:
    here = _here[-1]
    results = []
    with here.env.begin() as txn:
        for job in jobs:
            value = bytes(txn.get(job.key) or b"")
            results.append(compare_patch(job, value, here.order))
    return results
