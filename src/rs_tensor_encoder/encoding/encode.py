"""The pipeline: sources, batches, threads of `_tiff`, the database, the rename."""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import lmdb

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import (
    Batch,
    Estimate,
    cut,
    estimate,
    larger,
    new_buffer,
    new_encoder,
    refuse_trouble,
)
from rs_tensor_encoder.encoding.concurrency import Crew
from rs_tensor_encoder.encoding.report import Report, as_dicts, save_failures
from rs_tensor_encoder.encoding.reuse import keep
from rs_tensor_encoder.encoding.workers import Threads
from rs_tensor_encoder.errors import EncoderError
from rs_tensor_encoder.inspection.diagnose import diagnose
from rs_tensor_encoder.sources.plan import Patch, Plan
from rs_tensor_encoder.storage.environment import DATA
from rs_tensor_encoder.storage.hosts import Heartbeat, require_ours, take_over
from rs_tensor_encoder.storage.journal import Journal
from rs_tensor_encoder.storage.manifest import Manifest, tensor_table
from rs_tensor_encoder.storage.preflight import check_space, check_target
from rs_tensor_encoder.storage.safetensors_header import tensor_names
from rs_tensor_encoder.storage.target import clear, finish, locked, resume
from rs_tensor_encoder.storage.writeback import WriteBack
from rs_tensor_encoder.storage.writer import Writer

Progress = Callable[[int, int], None]

# Seconds to wait for a batch, at most, before looking whether to stop.
_TICK = 0.05


def encode(
    plan: Plan,
    target: str,
    *,
    workers: int | None = None,
    restart: bool = False,
    skip_failed: bool = False,
    limit: int = _tiff.LIMIT,
    expected: Estimate | None = None,
    progress: Progress | None = None,
    kept: Progress | None = None,
    stop: threading.Event | None = None,
    tell: Callable[[str], object] = str,
) -> Report:
    """Encode all patches of a plan into a database.

    Parameters
    ----------
    plan : Plan
        What to encode.
    target : str
        Directory to make. It appears when it is complete.
    workers : int, optional
        Threads that read and decode; by default as many as `concurrency.Crew` finds useful.
    restart : bool
        Throw away what an interrupted run has left, instead of going on.
    skip_failed : bool
        Finish without the patches that cannot be encoded.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is refused.
    expected : Estimate, optional
        What `estimate` said, if it was asked already.
    progress : callable, optional
        Called with patches and bytes of values done since the last call.
    kept : callable, optional
        Called with patches and bytes of values that an earlier run had done,
        as they are found to hold.
    stop : threading.Event, optional
        Set by others to end after the commit at hand.
    tell : callable, optional
        Called with a sentence that the user should read before there is a wait.

    Raises
    ------
    TargetError
        If the target exists or lies in a source, or what an interrupted run
        has left is from other sources.
    OutOfSpaceError
        If the disk is full, or the database would not fit.
    """
    roots = [source.root for source in plan.sources]
    check_target(roots, target)
    _tiff.keep_memory()
    expected = expected or estimate(plan, limit)
    partial = target + ".partial"
    report = Report(target, len(plan.patches), left_aside=plan.left_aside)
    state = Manifest.begin([source.entry() for source in plan.sources])
    state.versions = _versions()
    with locked(partial):
        # Another encoder may have finished between the two looks.
        check_target(roots, target)
        stop = stop or threading.Event()
        here = replace(state)
        take_over(partial, here, stop, tell, copy=not restart)
        if stop.is_set():
            report.interrupted = True
            return report
        with Heartbeat(partial):
            if restart:
                clear(partial)
            note = resume(state, partial)
            if note is not None:
                report.notes.append(note)
            check_space(target, expected.size)
            state.save(partial)
            with Writer(partial, expected.size) as writer, Journal(partial) as journal:
                pipeline = _Pipeline(plan, writer, journal, expected, workers, limit, report)
                missing = pipeline.keep(kept or _ignore, stop)
                pipeline.run(missing, progress or _ignore, stop)
                _sync(state, writer, journal)
                state.patches = writer.count()
            require_ours(partial, here)
            # From here on a power loss does no harm.
            state.boot = state.host = None
            save_failures(partial, report)
            if not report.interrupted:
                report.notes += plan.unmet_requests(tensor_names(pipeline.headers))
            # Without a single patch there is no target, either.
            failed = report.failures and (not skip_failed or state.patches == 0)
            if report.interrupted or failed:
                state.save(partial)
                return report
            state.left_out = as_dicts(report)
            state.tensors = tensor_table(pipeline.headers)
            state.bytes = report.bytes
            lacking = {key.encode() for key, _ in report.failures}
            keys = [patch.key for patch in plan.patches if patch.key not in lacking]
            report.verified = finish(state, partial, target, keys, report.notes)
            report.complete = True
    return report


def _sync(state: Manifest, writer: Writer, journal: Journal) -> None:
    """Force all records, and what is known of them, to the disk."""
    try:
        journal.sync()
        writer.sync()
    except EncoderError:
        # The system says so once, and takes the pages for written: never trust them.
        state.boot = "unknown"
        with suppress(EncoderError):
            state.save(writer.directory)
        raise


def _versions() -> dict[str, str]:
    """Versions of what decodes and stores, for the manifest."""
    found = _tiff.versions()
    return {
        "libtiff": found["libtiff"],
        "libdeflate": found["libdeflate"],
        "lmdb": ".".join(map(str, lmdb.version())),
    }


def _ignore(patches: int, size: int) -> None:
    pass


class _Pipeline:
    """Batches through threads, in order, into the writer."""

    def __init__(
        self,
        plan: Plan,
        writer: Writer,
        journal: Journal,
        expected: Estimate,
        workers: int | None,
        limit: int,
        report: Report,
    ) -> None:
        self.plan = plan
        self.writer = writer
        self.journal = journal
        self.lengths = expected.lengths
        self.crew = Crew(workers)
        self.limit = limit
        self.report = report
        self.headers: Counter[bytes] = Counter()
        # The last one given back is taken first: it is still in a processor's cache.
        self._buffers: list[Any] = []

    def run(self, patches: Sequence[Patch], progress: Progress, stop: threading.Event) -> None:
        """Encode patches until none is left or ``stop`` is set."""
        under_way: deque[tuple[Batch, _tiff.Task]] = deque()
        begun = 0
        with (
            closing(cut(self.plan, patches, self.lengths)) as batches,
            WriteBack(os.path.join(self.writer.directory, DATA)) as disk,
            Threads(lambda: new_encoder(self.plan, self.limit), larger) as threads,
        ):
            batch = next(batches, None)
            while not stop.is_set() and (batch is not None or under_way):
                while batch is not None and self.crew.has_room(
                    begun,
                    len(under_way) - begun,
                    batch,
                    first_ended=bool(under_way) and under_way[0][1].ended,
                ):
                    under_way.append((batch, self._task(batch)))
                    threads.put(under_way[-1][1], self.crew.size)
                    begun += 1
                    batch = next(batches, None)
                    if stop.is_set():
                        break
                threads.keep(self.crew.size)
                begun -= self._hear(threads, wait=not under_way[0][1].ended)
                if under_way[0][1].ended:
                    disk.grown(self._write(*under_way.popleft(), progress))
        self.report.interrupted = batch is not None or bool(under_way)

    def keep(self, progress: Progress, stop: threading.Event) -> list[Patch]:
        """Count the records that hold; return the patches without one."""
        if self.writer.count() == 0:
            return self.plan.patches
        kept = keep(self.plan, self.writer, self.journal, progress, stop)
        self.headers += kept.headers
        self.report.kept += kept.patches
        self.report.bytes += kept.bytes
        self.report.notes += kept.notes
        return kept.missing

    def _task(self, batch: Batch) -> _tiff.Task:
        return _tiff.Task(batch.files, self._buffers.pop() if self._buffers else new_buffer())

    def _hear(self, threads: Threads, *, wait: bool) -> int:
        """Count the tasks that have ended since the last call; wait for one if there is none."""
        if wait:
            with self.crew.waiting():
                ended = threads.ended(_TICK)
        else:
            ended = threads.ended(0.0)
        for task in ended:
            self.crew.note(task.patches, task.waits)
        return len(ended)

    def _write(self, batch: Batch, task: _tiff.Task, progress: Progress) -> int:
        """Write a batch in a commit of its own, and keep its buffer for others; count its bytes."""
        if task.error is not None:
            raise task.error
        stored = batch.keys
        if task.failures:
            refuse_trouble(task.failures.values())
            for index, error in sorted(task.failures.items()):
                source = self.plan.source_of(batch.files[index].format)
                self.report.failures.append(
                    (batch.keys[index].decode(), diagnose(error, source.root))
                )
            stored = [key for index, key in enumerate(stored) if index not in task.failures]
        if stored:
            # First, so that every record has its entry whatever happens.
            self.journal.append(stored, task.facts())
            self.writer.append(list(zip(stored, task.values(), strict=True)))
        for header, count in task.headers():
            self.headers[header] += count
        self.report.encoded += len(stored)
        size = task.size
        self.report.bytes += size
        self._buffers.append(task.out)
        progress(len(batch.keys), size)
        return size
