"""The proof: decodes the sources again, by other means, and compares every bit."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from itertools import chain
from multiprocessing import get_context
from typing import Any, NamedTuple

import lmdb

from rs_tensor_encoder import database, decoders
from rs_tensor_encoder.comparison import Difference, Tensors, compare
from rs_tensor_encoder.errors import EncoderError, TargetError
from rs_tensor_encoder.layout import EXTENSIONS
from rs_tensor_encoder.manifest import Manifest
from rs_tensor_encoder.sources import Patch, Plan

# Patches that a process is given at once.
_CHUNK = 32

Progress = Callable[[int, int], None]


class CheckError(EncoderError):
    """The check could not be finished."""

    exit_code = 3


@dataclass
class CheckReport:
    """What the check found; the database is proven if there are no differences."""

    target: str
    decoder: str
    patches: int = 0
    checked: int = 0
    tensors: int = 0
    bytes: int = 0
    verified: bool = False
    left_out: int = 0
    differences: list[Difference] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self)


class _Job(NamedTuple):
    """A patch to compare: its key, its files with their bands, and whether it has a record."""

    key: bytes
    files: list[tuple[str, tuple[str, ...]]]
    present: bool


class _Result(NamedTuple):
    tensors: int
    size: int
    differences: list[Difference]


def check(
    plan: Plan,
    target: str,
    *,
    decoder: str = "tifffile",
    workers: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CheckReport:
    """Compare a database with the sources it was made from.

    Every record must be there, must be what ``safetensors.numpy.save`` writes,
    and must hold exactly the bands of its patch, bit for bit as an independent
    decoder reads them from the TIFF files. No other record may be there. The
    structure of the database must be sound.

    Parameters
    ----------
    plan : Plan
        The same sources that were encoded.
    target : str
        The database.
    decoder : str
        Which decoder reads the TIFF files; see `decoders.NAMES`.
    workers : int, optional
        Processes to work with; by default one per processor.
    sample : int, optional
        Compare the pixels of only so many patches, chosen at random.
    seed : int
        Chooses other patches for ``sample``.
    progress : callable, optional
        Called with patches and bytes compared since the last call.

    Raises
    ------
    TargetError
        If there is no database to check.
    decoders.DecoderError
        If the decoder is not installed.
    """
    decoders.decoder(decoder)
    manifest = _find(target)
    report = CheckReport(target, decoder, patches=len(plan.patches))
    problems = database.verify(target)
    report.verified = database.can_verify() and not problems
    if problems:
        report.differences += [
            Difference("", f"the database is damaged: {text}") for text in problems
        ]
        return report
    left_out = _check_manifest(manifest, report)
    present = _check_keys(plan, target, left_out, report)
    if sample is not None and sample < len(present):
        chosen = sorted(random.Random(seed).sample(range(len(present)), sample))  # noqa: S311
        present = [present[i] for i in chosen]
    absent = [patch for patch in plan.patches if patch.key in left_out] if left_out else []
    report.left_out = len(absent)
    jobs = chain(
        (_job(plan, patch, present=True) for patch in present),
        (_job(plan, patch, present=False) for patch in absent),
    )
    try:
        for count, results in _run(jobs, target, decoder, workers or _processors()):
            report.checked += count
            for result in results:
                report.tensors += result.tensors
                report.bytes += result.size
                report.differences += result.differences
            if progress is not None:
                progress(count, sum(result.size for result in results))
    except BrokenProcessPool:
        raise CheckError(
            f"{target}: the check could not be finished: one of its processes died, perhaps for "
            "want of memory; try fewer --workers"
        ) from None
    report.checked -= report.left_out
    return report


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def _find(target: str) -> Manifest | None:
    if not os.path.lexists(target) and os.path.isdir(target + ".partial"):
        raise TargetError(
            f"{target}: is not complete (what there is lies in {target}.partial); encode it to "
            "the end first"
        )
    if not os.path.isfile(os.path.join(target, database.DATA)):
        raise TargetError(f"{target}: no database here (a directory with data.mdb is expected)")
    return Manifest.load(target)


def _check_manifest(manifest: Manifest | None, report: CheckReport) -> set[bytes]:
    """Hold the database to what its manifest says; return the patches left out on request."""
    if manifest is None:
        return set()
    if not manifest.complete:
        report.differences.append(
            Difference("", "the database is partial: encoding it has not come to its end")
        )
    return {entry["patch"].encode() for entry in manifest.left_out}


def _check_keys(plan: Plan, target: str, left_out: set[bytes], report: CheckReport) -> list[Patch]:
    """Compare the keys; both the patches and the records are sorted. Return what both have."""
    present = []
    patches = iter(plan.patches)
    patch = next(patches, None)

    def missing(absent: Patch) -> None:
        if absent.key not in left_out:
            report.differences.append(
                Difference(absent.key.decode(), f"no such record ({plan.locate(absent)})")
            )

    with (
        database.open_reading(target) as env,
        env.begin() as txn,
        txn.cursor() as cursor,
    ):
        for key in cursor.iternext(keys=True, values=False):
            while patch is not None and patch.key < key:
                missing(patch)
                patch = next(patches, None)
            if patch is not None and patch.key == key:
                present.append(patch)
                patch = next(patches, None)
            else:
                name = key.decode("utf-8", "backslashreplace")
                report.differences.append(Difference(name, "a record that no source explains"))
    while patch is not None:
        missing(patch)
        patch = next(patches, None)
    return present


def _job(plan: Plan, patch: Patch, *, present: bool) -> _Job:
    source, directory, names = plan.files(patch)
    paths = [
        os.path.join(os.fsdecode(directory), name) for name in os.fsdecode(names).split("\0")[:-1]
    ]
    bands = [file.bands for file in plan.sources[source].layout.files]
    return _Job(patch.key, list(zip(paths, bands, strict=True)), present)


# ---- in the processes -------------------------------------------------------


class _Unreadable(Exception):  # noqa: N818
    """A source cannot be read; the text says which file and why."""


@dataclass
class _Process:
    """What a process compares with: one database, one decoder."""

    env: lmdb.Environment
    decode: decoders.Decoder


# Set once per process, by its initializer.
_here: list[_Process] = []


def _run(
    jobs: Iterator[_Job], target: str, decoder: str, workers: int
) -> Iterator[tuple[int, list[_Result]]]:
    """Compare chunks of patches in processes; in this one if there is one worker."""
    chunks = _chunks(jobs)
    if workers == 1:
        _begin(target, decoder)
        try:
            for chunk in chunks:
                yield len(chunk), _compare_all(chunk)
        finally:
            _end()
        return
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(target, decoder)
    ) as pool:
        under_way: list[tuple[int, Any]] = []
        for chunk in chunks:
            under_way.append((len(chunk), pool.submit(_compare_all, chunk)))
            if len(under_way) >= 4 * workers:
                count, future = under_way.pop(0)
                yield count, future.result()
        for count, future in under_way:
            yield count, future.result()


def _chunks(jobs: Iterator[_Job]) -> Iterator[list[_Job]]:
    chunk: list[_Job] = []
    for job in jobs:
        chunk.append(job)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _begin(target: str, decoder: str) -> None:
    _here.append(_Process(database.open_reading(target), decoders.decoder(decoder)))


def _end() -> None:
    _here.pop().env.close()


def _compare_all(jobs: Sequence[_Job]) -> list[_Result]:
    here = _here[-1]
    results = []
    with here.env.begin() as txn:
        for job in jobs:
            value = bytes(txn.get(job.key) or b"")
            results.append(_compare(job, value, here.decode))
    return results


def _compare(job: _Job, value: bytes, decode: decoders.Decoder) -> _Result:
    patch = job.key.decode()
    try:
        expected = _read(job, decode)
    except _Unreadable as error:
        return _Result(0, len(value), [Difference(patch, str(error))] if job.present else [])
    if not job.present:
        # What was left out on request must not be readable by another decoder.
        reason = "left out by --skip-failed, but its files can be read"
        return _Result(0, 0, [Difference(patch, reason)])
    return _Result(len(expected), len(value), compare(patch, value, expected))


def _read(job: _Job, decode: decoders.Decoder) -> Tensors:
    """Read all bands of a patch by an independent decoder."""
    expected: Tensors = {}
    for base, names in job.files:
        paths = [base + extension for extension in EXTENSIONS]
        path = next((path for path in paths if os.path.exists(path)), paths[0])
        if os.path.exists(path) and not os.path.isfile(path):
            raise _Unreadable(f"{path}: not a regular file")
        try:
            bands = decode(path)
        except FileNotFoundError:
            raise _Unreadable(f"{path}: there is no such file") from None
        except Exception as error:  # noqa: BLE001  decoders raise what they like
            raise _Unreadable(f"{path}: cannot be read for the comparison: {error}") from None
        if len(bands) != len(names):
            raise _Unreadable(f"{path}: the file has {len(bands)} bands, not {len(names)}")
        expected |= zip(names, bands, strict=True)
    return expected
