"""The pipeline: sources, batches, threads of `_tiff`, the database, the rename."""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import lmdb

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.batches import (
    Batch,
    Estimate,
    Result,
    cut,
    encode_batch,
    estimate,
    new_buffer,
    new_encoder,
)
from rs_tensor_encoder.crew import Crew
from rs_tensor_encoder.database import Record, Writer
from rs_tensor_encoder.errors import EncoderError, PatchError, TargetError
from rs_tensor_encoder.manifest import FAILURES, Manifest, header_of, tensor_table, write_json
from rs_tensor_encoder.sources import Patch, Plan
from rs_tensor_encoder.target import check_space, check_target, clear, finish, locked, resume

Progress = Callable[[int, int], None]


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
        Threads that read and decode; by default as many as `crew.Crew` finds useful.
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
    _tiff.keep_memory()
    expected = expected or estimate(plan)
    partial = target + ".partial"
    report = Report(target, len(plan.patches), notes=list(plan.notes))
    state = Manifest.of(plan.sources)
    state.versions = _versions()
    with locked(partial):
        if restart:
            clear(partial)
        note = resume(state, partial)
        if note is not None:
            report.notes.append(note)
        check_space(target, expected.size)
        state.save(partial)
        with Writer(partial, expected.size) as writer:
            pipeline = _Pipeline(plan, writer, expected, workers, report)
            missing = pipeline.missing()
            if kept is not None and report.kept:
                kept(report.kept, report.bytes)
            pipeline.run(missing, progress or _ignore, stop or threading.Event())
            try:
                writer.sync()
            except EncoderError:
                # The system says so once, and takes the pages for written: never trust them.
                state.boot = "unknown"
                with suppress(EncoderError):
                    state.save(partial)
                raise
            state.patches = writer.count()
        # From here on a power loss does no harm.
        state.boot = None
        _save_failures(partial, report)
        if report.interrupted or (report.failures and not skip_failed):
            state.save(partial)
            return report
        state.left_out = _as_dicts(report)
        state.tensors = tensor_table(pipeline.headers)
        state.bytes = report.bytes
        wanted = len(plan.patches) - len(report.failures)
        report.verified = finish(state, partial, target, wanted)
        report.complete = True
    return report


def _save_failures(partial: str, report: Report) -> None:
    path = os.path.join(partial, FAILURES)
    if report.failures:
        write_json(path, _as_dicts(report))
    else:
        with suppress(FileNotFoundError):
            os.remove(path)


def _as_dicts(report: Report) -> list[dict[str, str]]:
    return [
        {"patch": key, "path": error.path, "reason": error.reason} for key, error in report.failures
    ]


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
        self, plan: Plan, writer: Writer, expected: Estimate, workers: int | None, report: Report
    ) -> None:
        self.plan = plan
        self.writer = writer
        self.lengths = expected.lengths
        self.crew = Crew(workers)
        self.report = report
        self.headers: Counter[bytes] = Counter()
        self._local = threading.local()
        self._buffers: SimpleQueue[Any] = SimpleQueue()
        # A word per batch that is done: what the writer waits for. Batches are
        # written in order, so some may be written before their word is heard.
        self._done: SimpleQueue[None] = SimpleQueue()

    def run(self, patches: Sequence[Patch], progress: Progress, stop: threading.Event) -> None:
        """Encode patches until none is left or ``stop`` is set."""
        batches = cut(patches, self.lengths)
        batch = next(batches, None)
        under_way: deque[tuple[Batch, Future[tuple[list[Result], Any]]]] = deque()
        commit: list[tuple[Batch, list[Result], Any]] = []
        working = 0
        with ThreadPoolExecutor(self.crew.most, "encode") as pool:
            try:
                while not stop.is_set():
                    while batch is not None and self.crew.has_room(working, len(under_way), batch):
                        future = pool.submit(self._work, batch)
                        future.add_done_callback(lambda _: self._done.put(None))
                        under_way.append((batch, future))
                        working += 1
                        batch = next(batches, None)
                    if batch is None and not under_way:
                        return
                    with self.crew.waiting():
                        self._done.get()
                    working -= 1
                    while under_way and under_way[0][1].done() and not stop.is_set():
                        ended, future = under_way.popleft()
                        commit.append((ended, *future.result()))
                        if ended.commits:
                            self._write(commit, progress)
                            commit.clear()
                self.report.interrupted = batch is not None or bool(under_way) or bool(commit)
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
        for key in self.writer.keys():  # noqa: SIM118  not a dict
            while patch is not None and patch.key < key:
                patch = next(known, None)
            if patch is None or patch.key != key:
                foreign.append(key)
            else:
                kept.add(key)
        if foreign:
            raise TargetError(
                f"{self.report.target}.partial: has {len(foreign)} records that the sources do not "
                f"have any more, for example {foreign[0]!r}; use --restart to begin anew"
            )
        for value in self.writer.values():
            header = header_of(value)
            if header is None:
                raise TargetError(
                    f"{self.report.target}.partial: has a record that is no safetensors value; "
                    "use --restart to begin anew"
                )
            self._count(header, len(value))
        self.report.kept = len(kept)
        return [patch for patch in patches if patch.key not in kept]

    def _work(self, batch: Batch) -> tuple[list[Result], Any]:
        """Read and decode a batch, in one of the threads."""
        local = self._local
        if not hasattr(local, "encoder"):
            local.encoder = new_encoder(self.plan)
        try:
            buffer = self._buffers.get_nowait()
        except Empty:
            buffer = new_buffer()
        files = [self.plan.files(patch) for patch in batch.patches]
        return encode_batch(local.encoder, files, buffer)

    def _write(self, commit: list[tuple[Batch, list[Result], Any]], progress: Progress) -> None:
        """Write the batches of a commit, and give their buffers back."""
        records: list[Record] = []
        count = size = 0
        for batch, results, buffer in commit:
            view = memoryview(buffer)
            for patch, result in zip(batch.patches, results, strict=True):
                if isinstance(result, PatchError):
                    self.report.failures.append((patch.key.decode(), result))
                    continue
                start, stop, header = result
                records.append((patch.key, view[start:stop]))
                size += stop - start
                self._count(header, stop - start)
            count += len(batch.patches)
        self.writer.append(records)
        self.report.encoded += len(records)
        for _, _, buffer in commit:
            self._buffers.put(buffer)
        progress(count, size)

    def _count(self, header: bytes, size: int) -> None:
        self.headers[header] += 1
        self.report.bytes += size
