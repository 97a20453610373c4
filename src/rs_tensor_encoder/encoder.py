"""The pipeline: sources, batches, threads of `_tiff`, the database, the rename.

Everything is written to ``TARGET.partial``. At the end it is synced, verified,
counted and renamed: a target is complete or absent.
"""

import fcntl
import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import lmdb
import numpy as np

from rs_tensor_encoder import _tiff, manifest
from rs_tensor_encoder.database import DATA, LOCK, Record, Writer, can_verify, space_for, verify
from rs_tensor_encoder.errors import EncoderError, OutOfSpaceError, PatchError, TargetError
from rs_tensor_encoder.layout import EXTENSIONS
from rs_tensor_encoder.manifest import FAILURES, Manifest
from rs_tensor_encoder.sources import Patch, Plan

# Bytes of values in a batch, which is also a commit: small enough for LMDB's
# dirty pages to stay in the processor's cache, large enough to make Python's
# cost per batch small.
_BATCH = 3 << 20

# Patches of each source that are encoded to learn how large its values are.
_PROBES = 16

Progress = Callable[[int, int], None]


def workers_by_default() -> int:
    """Two threads per processor: one waits for its files while the other decodes."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4


@dataclass
class Estimate:
    """What encoding a plan will take.

    ``lengths`` are the bytes of a typical value of each source, ``size`` those
    of the database, ``failures`` what was found wrong with the patches tried.
    """

    lengths: list[float]
    size: int
    failures: list[PatchError]


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
    notes: list[str] = field(default_factory=list)


def estimate(plan: Plan) -> Estimate:
    """Encode a few patches of each source to learn how much space all will take."""
    encoder = _encoder(plan)
    buffer = np.empty(_BATCH, np.uint8)
    lengths: list[float] = []
    failures: list[PatchError] = []
    size = 0
    for index in range(len(plan.sources)):
        patches = [patch for patch in plan.patches if patch.place.source == index]
        probes = patches[:: max(1, len(patches) // _PROBES)][:_PROBES]
        found = []
        for patch in probes:
            results, buffer = encode_batch(encoder, [plan.files(patch)], buffer)
            result = results[0]
            if isinstance(result, PatchError):
                failures.append(result)
            else:
                found.append(result[1] - result[0])
        lengths.append(sum(found) / len(found) if found else 0.0)
        size += space_for(len(patches), lengths[-1])
    return Estimate(lengths, size, failures)


def encode_batch(
    encoder: _tiff.Encoder, files: Sequence[tuple[int, bytes, bytes]], buffer: Any
) -> tuple[list[tuple[int, int, bytes] | PatchError], Any]:
    """Encode patches into a buffer, or into a larger one if they do not fit.

    Returns
    -------
    results : list
        As of `_tiff.Encoder.encode`, for all patches.
    buffer : numpy.ndarray
        The buffer that the results are slices of, uint8, 1-D.
    """
    results, needed = encoder.encode(files, buffer)
    while needed:
        stops = [result[1] for result in results if not isinstance(result, PatchError)]
        used = max(stops, default=0)
        # Room for the one that did not fit, and for as many like it as are left.
        larger = np.empty(used + (needed - used) * (len(files) - len(results)) + 4096, np.uint8)
        larger[:used] = buffer[:used]
        buffer = larger
        more, needed = encoder.encode(files[len(results) :], buffer, used)
        results += more
    return results, buffer


def _encoder(plan: Plan) -> _tiff.Encoder:
    formats = [[file.bands for file in source.layout.files] for source in plan.sources]
    return _tiff.Encoder(formats, EXTENSIONS)


def encode(
    plan: Plan,
    target: str,
    *,
    workers: int | None = None,
    restart: bool = False,
    skip_failed: bool = False,
    expected: Estimate | None = None,
    progress: Progress | None = None,
    kept: Progress | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Encode all patches of a plan into a database.

    Parameters
    ----------
    plan : Plan
        What to encode.
    target : str
        Directory to make. It appears when it is complete.
    workers : int, optional
        Threads that read and decode; see `workers_by_default`.
    restart : bool
        Throw away what an interrupted run has left, instead of going on.
    skip_failed : bool
        Finish without the patches that cannot be encoded.
    expected : Estimate, optional
        What `estimate` said, if it was asked already.
    progress : callable, optional
        Called with patches and bytes of values done since the last call.
    kept : callable, optional
        Called once, with what an earlier run had done, if there was one.
    stop : threading.Event, optional
        Set by others to end after the commit at hand.

    Raises
    ------
    TargetError
        If the target exists or lies in a source, or what an interrupted run
        has left is from other sources.
    OutOfSpaceError
        If the disk is full, or the database would not fit.
    """
    check_target(plan, target)
    expected = expected or estimate(plan)
    partial = target + ".partial"
    report = Report(target, len(plan.patches), notes=list(plan.notes))
    with _locked(partial):
        state = _resume(plan, partial, restart=restart, report=report)
        _check_space(target, expected.size)
        state.save(partial)
        with Writer(partial, expected.size) as writer:
            pipeline = _Pipeline(plan, writer, expected, workers or workers_by_default(), report)
            missing = pipeline.missing()
            if kept is not None and report.kept:
                kept(report.kept, pipeline.bytes)
            pipeline.run(missing, progress or _ignore, stop or threading.Event())
            writer.sync()
            state.boot = None
            count = writer.count()
        report.bytes = pipeline.bytes
        _save_failures(partial, report)
        if report.interrupted or (report.failures and not skip_failed):
            state.save(partial)
            return report
        state.left_out = _as_dicts(report)
        state.tensors = manifest.tensor_table(pipeline.headers)
        state.patches, state.bytes = count, pipeline.bytes
        _finish(partial, target, state, report)
    return report


def _ignore(patches: int, size: int) -> None:
    pass


class _Pipeline:
    """Batches through threads, in order, into the writer."""

    def __init__(
        self, plan: Plan, writer: Writer, expected: Estimate, workers: int, report: Report
    ) -> None:
        self.plan = plan
        self.writer = writer
        self.lengths = expected.lengths
        self.workers = workers
        self.report = report
        self.bytes = 0
        self.headers: Counter[bytes] = Counter()
        self._local = threading.local()
        # As many batches are under way as there are buffers: memory is bounded
        # by that, whatever the dataset.
        self._buffers: SimpleQueue[Any] = SimpleQueue()

    def run(self, patches: Sequence[Patch], progress: Progress, stop: threading.Event) -> None:
        """Encode patches until none is left or ``stop`` is set."""
        batches = self._batches(patches)
        under_way: deque[tuple[list[Patch], Future[Any]]] = deque()
        for _ in range(2 * self.workers):
            self._buffers.put(None)
        with ThreadPoolExecutor(self.workers, "encode") as pool:
            try:
                while not stop.is_set():
                    while len(under_way) < 2 * self.workers:
                        batch = next(batches, None)
                        if batch is None:
                            break
                        under_way.append((batch, pool.submit(self._work, batch)))
                    if not under_way:
                        return
                    batch, future = under_way.popleft()
                    self._write(batch, *future.result(), progress)
                self.report.interrupted = bool(under_way) or next(batches, None) is not None
            finally:
                for _, future in under_way:
                    future.cancel()

    def missing(self) -> list[Patch]:
        """Patches without a record; the records there are, are counted."""
        patches = self.plan.patches
        if self.writer.count() == 0:
            return patches
        kept = set()
        foreign = []
        known = iter(patches)
        patch = next(known, None)
        for key in self.writer.keys():
            while patch is not None and patch.key < key:
                patch = next(known, None)
            if patch is None or patch.key != key:
                foreign.append(key)
            else:
                kept.add(key)
        if foreign:
            raise TargetError(
                f"{self.report.target}.partial: has {len(foreign)} records that the sources do not "
                f"have any more, for example {foreign[0].decode()}; use --restart to begin anew"
            )
        for value in self.writer.values():
            self._count(bytes(value[: 8 + int.from_bytes(value[:8], "little")]), len(value))
        self.report.kept = len(kept)
        return [patch for patch in patches if patch.key not in kept]

    def _batches(self, patches: Sequence[Patch]) -> Iterator[list[Patch]]:
        batch: list[Patch] = []
        size = 0.0
        for patch in patches:
            length = self.lengths[patch.place.source]
            if batch and size + length > _BATCH:
                yield batch
                batch, size = [], 0.0
            batch.append(patch)
            size += length
        if batch:
            yield batch

    def _work(self, batch: list[Patch]) -> tuple[list[Any], Any]:
        """Read and decode a batch, in one of the threads."""
        local = self._local
        if not hasattr(local, "encoder"):
            local.encoder = _encoder(self.plan)
        buffer = self._buffers.get()
        if buffer is None:
            buffer = np.empty(_BATCH + (_BATCH >> 2), np.uint8)
        files = [self.plan.files(patch) for patch in batch]
        return encode_batch(local.encoder, files, buffer)

    def _write(
        self, batch: list[Patch], results: list[Any], buffer: Any, progress: Progress
    ) -> None:
        view = memoryview(buffer)
        records: list[Record] = []
        size = 0
        for patch, result in zip(batch, results, strict=True):
            if isinstance(result, PatchError):
                self.report.failures.append((patch.key.decode(), result))
                continue
            start, stop, header = result
            records.append((patch.key, view[start:stop]))
            size += stop - start
            self._count(header, stop - start)
        self.writer.append(records)
        self.report.encoded += len(records)
        self._buffers.put(buffer)
        progress(len(batch), size)

    def _count(self, header: bytes, size: int) -> None:
        self.headers[header] += 1
        self.bytes += size


# ---- the target -------------------------------------------------------------


def check_target(plan: Plan, target: str) -> None:
    """Refuse a target that exists, cannot be made, or lies in a source.

    Raises
    ------
    TargetError
        With what to do instead.
    """
    if os.path.lexists(target):
        raise TargetError(
            f"{target}: exists already; choose another name, or remove it first (to compare it "
            "with the sources, use the verb check)"
        )
    parent = os.path.dirname(os.path.abspath(target))
    real = os.path.join(os.path.realpath(parent), os.path.basename(target))
    for source in plan.sources:
        root = os.path.realpath(source.root)
        if os.path.commonpath([root, real]) == root:
            raise TargetError(
                f"{target}: lies inside the source {source.root}; choose a place outside"
            )


@contextmanager
def _locked(partial: str) -> Iterator[None]:
    """Make the directory and hold it against other encoders, as long as this process lives."""
    try:
        os.makedirs(partial, exist_ok=True)
        descriptor = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise TargetError(f"{partial}: cannot be made: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetError(f"{partial}: another encoder is writing to it") from None
        except OSError as error:
            raise TargetError(f"{partial}: cannot be locked: {error.strerror}") from None
        if not os.access(partial, os.W_OK | os.X_OK):
            raise TargetError(f"{partial}: no permission to write there")
        yield
    finally:
        os.close(descriptor)
        # Nothing was written: leave nothing behind.
        with suppress(OSError):
            os.rmdir(partial)


def _resume(plan: Plan, partial: str, *, restart: bool, report: Report) -> Manifest:
    """Look at what an earlier run has left: go on with it, clear it away, or refuse it."""
    new = Manifest.of(plan.sources)
    new.versions = library_versions()
    if restart:
        _clear(partial)
        return new
    old = Manifest.load(partial)
    if old is None:
        if os.path.exists(os.path.join(partial, DATA)):
            raise TargetError(
                f"{partial}: holds a database of unknown origin; remove it, or use --restart"
            )
        return new
    if old.sources != new.sources:
        roots = ", ".join(f"{source['layout']} {source['root']}" for source in old.sources)
        raise TargetError(
            f"{partial}: was begun from other sources ({roots}); give the same ones to go on, or "
            "--restart to begin anew"
        )
    if not old.survived():
        report.notes.append(
            "The machine was restarted since the last run, and what that had written may not all "
            "have reached the disk: begun anew"
        )
        _clear(partial)
    elif os.path.exists(os.path.join(partial, DATA)):
        problems = verify(partial)
        if problems:
            raise TargetError(
                f"{partial}: is damaged ({problems[0]}); use --restart to begin anew"
            )
    return new


def _clear(partial: str) -> None:
    for name in (DATA, LOCK, manifest.NAME, FAILURES):
        with suppress(FileNotFoundError):
            os.remove(os.path.join(partial, name))


def free_space(target: str) -> int:
    """Bytes that a database may take: those free, and those of a partial one."""
    data = os.path.join(target + ".partial", DATA)
    used = os.stat(data).st_blocks * 512 if os.path.exists(data) else 0
    parent = os.path.dirname(os.path.abspath(target))
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    return shutil.disk_usage(parent).free + used


def _check_space(target: str, size: int) -> None:
    free = free_space(target)
    if free < size:
        raise OutOfSpaceError(
            f"{target}: the database will take about {size / 1e6:,.1f} MB, but only "
            f"{free / 1e6:,.1f} MB are free; nothing was written"
        )


def _save_failures(partial: str, report: Report) -> None:
    path = os.path.join(partial, FAILURES)
    if report.failures:
        manifest.write_json(path, _as_dicts(report))
    else:
        with suppress(FileNotFoundError):
            os.remove(path)


def _as_dicts(report: Report) -> list[dict[str, str]]:
    return [
        {"patch": key, "path": error.path, "reason": error.reason} for key, error in report.failures
    ]


def _finish(partial: str, target: str, state: Manifest, report: Report) -> None:
    """Prove the database, say that it is complete, and give it its name."""
    wanted = report.patches - len(report.failures)
    if state.patches != wanted:
        raise EncoderError(
            f"{partial}: has {state.patches} records instead of {wanted}; this is a defect of "
            "rs-tensor-encoder, please report it"
        )
    problems = verify(partial)
    if problems:
        raise TargetError(f"{partial}: the database is damaged: {problems[0]}; use --restart")
    report.verified = can_verify()
    state.complete = True
    state.save(partial)
    if os.path.lexists(target):
        raise TargetError(f"{target}: was made meanwhile; the result is in {partial}")
    os.rename(partial, target)
    manifest.sync_directory(os.path.dirname(os.path.abspath(target)))
    report.complete = True


def library_versions() -> dict[str, str]:
    """Versions of what decodes and stores, for the manifest."""
    found = _tiff.versions()
    return {
        "libtiff": found["libtiff"],
        "libdeflate": found["libdeflate"],
        "lmdb": ".".join(map(str, lmdb.version())),
    }
