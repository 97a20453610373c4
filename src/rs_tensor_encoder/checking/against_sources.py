"""The proof: decodes the sources again, by other means, and compares every bit."""

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rs_tensor_encoder.checking import decoders
from rs_tensor_encoder.checking.compare import Difference
from rs_tensor_encoder.checking.parallel import compare_patches
from rs_tensor_encoder.checking.read_patch import Job, NotCompared, Result
from rs_tensor_encoder.errors import EncoderError, StoppedError, TargetError
from rs_tensor_encoder.sources.plan import Patch, Plan
from rs_tensor_encoder.storage import digest_file, environment
from rs_tensor_encoder.storage.manifest import Manifest
from rs_tensor_encoder.storage.unfinished import being_written, partial_of
from rs_tensor_encoder.util.system import processors
from rs_tensor_encoder.util.worker_process import StartError, WorkerError

Progress = Callable[[int, int], None]


class CheckError(EncoderError):
    """The check could not be finished."""

    exit_code = 3


@dataclass
class CheckReport:
    """What the check found.

    The database is proven if there are no differences, and nothing that was
    not compared. ``decoder`` is the one that was asked first, ``decoders``
    has the number of tensors that each has read. ``checked`` patches were
    compared in full.
    """

    target: str
    decoder: str
    patches: int = 0
    checked: int = 0
    tensors: int = 0
    bytes: int = 0
    verified: bool = False
    left_out: int = 0
    interrupted: bool = False
    differences: list[Difference] = field(default_factory=list)
    decoders: dict[str, int] = field(default_factory=dict)
    not_compared: list[NotCompared] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Add what came of a patch, which ``checked`` counts already."""
        self.tensors += result.tensors
        self.bytes += result.size
        self.differences += result.differences
        self.not_compared += result.not_compared
        self.checked -= bool(result.not_compared)
        for name, tensors in result.decoders.items():
            self.decoders[name] = self.decoders.get(name, 0) + tensors

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self)


def check(
    plan: Plan,
    target: str,
    *,
    decoder: str = "tifffile",
    workers: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    limit: int = decoders.LIMIT,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
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
        Which decoder is asked first to read the TIFF files; see `decoders.NAMES`.
        A file that it cannot read, or is known to read differently from GDAL, is
        read by the next of them that is installed.
    workers : int, optional
        Processes to work with; by default one per processor.
    sample : int, optional
        Compare the pixels of only so many patches, chosen at random.
    seed : int
        Chooses other patches for ``sample``.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is not read.
    progress : callable, optional
        Called with patches and bytes compared since the last call.
    stop : threading.Event, optional
        Set by others to end early, with what was found by then.

    Raises
    ------
    TargetError
        If there is no database to check, or it was encoded with other requests.
    decoders.DecoderError
        If the decoder is not installed.
    """
    decoders.decoder(decoder, limit)
    manifest = find(target)
    report = CheckReport(target, decoder, patches=len(plan.patches))
    if not check_structure(target, manifest, report, stop):
        return report
    _check_requests(plan, manifest, target)
    left_out = {entry["patch"].encode() for entry in manifest.left_out} if manifest else set()
    if manifest is not None and manifest.complete and digest_file.beside(target):
        manifest.open_digests(target)
    present = _check_keys(plan, target, left_out, report, stop)
    if report.interrupted:
        return report
    if sample is not None and sample < len(present):
        chosen = sorted(random.Random(seed).sample(range(len(present)), sample))  # noqa: S311
        present = [present[i] for i in chosen]
    absent = [patch for patch in plan.patches if patch.key in left_out] if left_out else []
    report.left_out = len(absent)
    jobs = _jobs(plan, present, absent)
    left = len(present) + len(absent)
    try:
        workers = workers or processors()
        for count, results in compare_patches(jobs, target, (decoder, limit), workers, stop):
            left -= len(results)
            report.checked += count
            for result in results:
                report.add(result)
            if progress is not None:
                progress(count, sum(result.size for result in results))
    except (StartError, WorkerError) as error:
        raise CheckError(f"{target}: the check could not be finished: {error}") from None
    # Only a stop leaves some.
    report.interrupted = left > 0
    return report


def find(target: str) -> Manifest | None:
    """Find a database to check, and its manifest if it has one.

    Raises
    ------
    TargetError
        If there is none, if it is being written, or its manifest is torn or edited.
    """
    partial = partial_of(target)
    if partial is not None:
        _refuse_growing(target, partial)
        raise TargetError(
            f"{target}: is not complete (what there is lies in {partial}); encode it to the end "
            "first"
        )
    environment.require(target)
    manifest = Manifest.load(target)
    if manifest is None or not manifest.complete:
        _refuse_growing(target, target)
    return manifest


def _refuse_growing(target: str, directory: str) -> None:
    """Refuse what an encoder is writing: it differs from one moment to the next."""
    if being_written(directory):
        raise TargetError(
            f"{target}: an encoder is writing to it (in {directory}); check it when that has "
            "ended, and see with the verb info what there is so far"
        )


def _check_requests(plan: Plan, manifest: Manifest | None, target: str) -> None:
    """Refuse to compare with other files than were encoded: all patches would differ."""
    if manifest is None:
        return
    encoded = {source["digest"]: source.get("with", "") for source in manifest.sources}
    for source in plan.sources:
        asked = encoded.get(source.layout.digest)
        if asked is not None and asked.split() != list(source.layout.asked):
            how = "with " + " ".join(f"--with {name}" for name in asked.split())
            raise TargetError(
                f"{target}: {source.layout.title} was encoded "
                f"{how if asked else 'without --with'}; give the same to check it"
            )


def check_structure(
    target: str,
    manifest: Manifest | None,
    report: CheckReport,
    stop: threading.Event | None = None,
) -> bool:
    """Check what comes before the records; return whether these can be looked at."""
    try:
        problems = environment.verify(target, stop=stop)
    except StoppedError:
        report.interrupted = True
        return False
    if problems and (manifest is None or not manifest.complete):
        # Perhaps of an encoder that has begun in between.
        _refuse_growing(target, target)
    report.verified = environment.can_verify() and not problems
    report.differences += [Difference("", f"the database is damaged: {text}") for text in problems]
    if not problems and manifest is not None and not manifest.complete:
        report.differences.append(
            Difference("", "the database is partial: encoding it has not come to its end")
        )
    return not problems


def _check_keys(
    plan: Plan,
    target: str,
    left_out: set[bytes],
    report: CheckReport,
    stop: threading.Event | None,
) -> list[Patch]:
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
        environment.open_reading(target) as env,
        env.begin() as txn,
        txn.cursor() as cursor,
    ):
        for key in cursor.iternext(keys=True, values=False):
            if stop is not None and stop.is_set():
                report.interrupted = True
                return []
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


def _jobs(plan: Plan, present: list[Patch], absent: list[Patch]) -> Iterator[Job]:
    patches = [*present, *absent]
    for index, (patch, files) in enumerate(zip(patches, plan.files_of(patches), strict=True)):
        bands = [file.bands for file in plan.formats[files.format]]
        root = plan.sources[patch.place.source].root
        paths = list(zip(files.paths, bands, strict=True))
        yield Job(patch.key, root, paths, present=index < len(present))
