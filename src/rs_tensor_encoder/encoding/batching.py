"""Batches of patches: how many go into one, what a batch becomes, what all will take."""

import errno
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.errors import PatchError, SourceError
from rs_tensor_encoder.inspection.diagnose import diagnose
from rs_tensor_encoder.inspection.identify import refuse_other_bands
from rs_tensor_encoder.layouts.parser import EXTENSIONS
from rs_tensor_encoder.sources.plan import Files, Patch, Plan
from rs_tensor_encoder.storage.writer import space_for

# Bytes of values in a batch, which one thread does in one call and which are written in
# one commit: large enough to make Python's cost per batch small, small enough to stay in
# the processor's cache, with LMDB's pages, and to have many under way. Measured: with
# twice as many, patches of Sentinel-2 take 5 % longer, those of Sentinel-1 1 % less.
BATCH = 1 << 20

# Patches of each source that are looked at to learn how large its values are.
_PROBES = 16

#: Environment variable: ``libtiff`` has libtiff open and decode every file.
DECODE = "RS_TENSOR_DECODE"

# What the system says when it, not the file, is the reason.
_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}

#: What becomes of a patch: its slice of the buffer, its header, the mark of its files
#: and the digest of its value, or why it failed.
Result = tuple[int, int, bytes, int, bytes] | PatchError


@dataclass
class Estimate:
    """What encoding a plan will take.

    ``lengths`` are the bytes of a typical value of each source, ``size`` those
    of the database, ``failures`` what was found wrong with the patches tried,
    ``headers`` those of the values of the others, if they were decoded.
    """

    lengths: list[float]
    size: int
    failures: list[PatchError]
    headers: set[bytes]


def estimate(plan: Plan, limit: int = _tiff.LIMIT, *, decode: bool = False) -> Estimate:
    """Look at a few patches of each source to learn how much space all will take.

    Parameters
    ----------
    plan : Plan
        What is to be encoded.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is refused.
    decode : bool
        Also decode their pixels, to learn what is wrong with them.

    Raises
    ------
    SourceError
        If a source is another dataset: no patch tried has the bands of its layout.
    """
    encoder = new_encoder(plan, limit)
    buffer = new_buffer() if decode else np.empty(0, np.uint8)
    lengths: list[float] = []
    failures: list[PatchError] = []
    headers: set[bytes] = set()
    size = 0
    for index in range(len(plan.sources)):
        patches = [patch for patch in plan.patches if patch.place.source == index]
        found: list[int] = []
        wrong: list[PatchError] = []
        for patch in patches[:: max(1, len(patches) // _PROBES)][:_PROBES]:
            files = [plan.files(patch)]
            results, needed = encoder.encode(files, buffer)
            if decode and needed:
                results, buffer = encode_batch(encoder, files, buffer)
            if not results:
                # Without room it is only said how much it would take.
                found.append(needed)
            elif isinstance(results[0], PatchError):
                wrong.append(diagnose(results[0], plan.sources[index].root))
            else:
                start, stop, header, *_ = results[0]
                found.append(stop - start)
                headers.add(header)
        if not found:
            source = plan.sources[index]
            refuse_other_bands(source.layout, source.root, wrong)
        failures += wrong
        lengths.append(sum(found) / len(found) if found else 0.0)
        size += space_for(len(patches), lengths[-1])
    return Estimate(lengths, size, failures, headers)


def encode_batch(
    encoder: _tiff.Encoder, files: Sequence[tuple[int, bytes, bytes]], buffer: Any
) -> tuple[list[Result], Any]:
    """Encode patches into a buffer, or into a larger one if they do not fit.

    Returns
    -------
    results : list
        As of `_tiff.Encoder.encode`, for all patches.
    buffer : numpy.ndarray
        The buffer that the results are slices of, uint8, 1-D.

    Raises
    ------
    SourceError
        If the system, not a file, is the reason that a patch cannot be read.
    """
    results, needed = encoder.encode(files, buffer)
    while needed:
        stops = [result[1] for result in results if not isinstance(result, PatchError)]
        used = max(stops, default=0)
        buffer = larger(buffer, used, needed)
        more, needed = encoder.encode(files[len(results) :], buffer, used)
        results += more
    refuse_trouble(result for result in results if isinstance(result, PatchError))
    return results, buffer


def larger(buffer: Any, used: int, needed: int) -> Any:
    """Make a larger buffer with the first ``used`` bytes of one that is too small.

    Raises
    ------
    SourceError
        If there is no memory for it.
    """
    try:
        new = np.empty(max(needed, 2 * len(buffer)), np.uint8)
    except MemoryError:
        raise SourceError(
            f"out of memory: the value of a patch would take {needed - used} bytes"
        ) from None
    new[:used] = buffer[:used]
    return new


def refuse_trouble(failures: Iterable[PatchError]) -> None:
    """Refuse failures that say more about the machine than about the files.

    Raises
    ------
    SourceError
        If the system, not a file, is the reason that a patch cannot be read.
    """
    for failure in failures:
        # The machine's trouble, not the patch's: it must not count as a bad patch.
        if failure.errno in _TROUBLE:
            raise SourceError(f"{failure}; nothing is lost, run the same command again") from None


def new_encoder(plan: Plan, limit: int = _tiff.LIMIT) -> _tiff.Encoder:
    """Make an encoder for the patches of a plan; a thread needs one of its own."""
    formats = [[file.bands for file in files] for files in plan.formats]
    roots = [
        os.fsencode(os.path.realpath(source.root))
        for source in plan.sources
        for _ in source.layout.formats
    ]
    way = os.environ.get(DECODE, "")
    if way not in ("", "libtiff"):
        raise SourceError(f"{DECODE} is {way!r}; it can be libtiff, or must not be set")
    return _tiff.Encoder(formats, EXTENSIONS, limit, roots, ordinary=way == "libtiff")


def new_buffer() -> Any:
    """Make a buffer that most batches fit into, uint8, 1-D."""
    return np.empty(BATCH + (BATCH >> 2), np.uint8)


class Batch(NamedTuple):
    """Patches for one call and one commit: keys, files, about how many bytes their values take."""

    keys: list[bytes]
    files: list[Files]
    size: float


def cut(plan: Plan, patches: Sequence[Patch], lengths: Sequence[float]) -> Generator[Batch]:
    """Cut patches into batches, the same ones whatever the speed of this or that.

    Parameters
    ----------
    plan : Plan
        Of the patches.
    patches : sequence of Patch
        In the order of their keys.
    lengths : sequence of float
        Bytes of a typical value of each source, 0 where that is not known.
    """
    keys: list[bytes] = []
    files: list[Files] = []
    size = 0.0
    with closing(plan.files_of(patches)) as found:
        # Each patch is touched once: there are millions, and none is in the cache.
        for (key, place, _), its in zip(patches, found, strict=True):
            length = lengths[place.source] or BATCH / 16
            if keys and size + length > BATCH:
                yield Batch(keys, files, size)
                keys, files, size = [], [], 0.0
            keys.append(key)
            files.append(its)
            size += length
    if keys:
        yield Batch(keys, files, size)
