"""Batches of patches: how many go into one, what a batch becomes, what all will take."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.database import space_for
from rs_tensor_encoder.errors import PatchError, SourceError
from rs_tensor_encoder.layout import EXTENSIONS
from rs_tensor_encoder.recognise import refuse_other_bands
from rs_tensor_encoder.sources import Patch, Plan

# Bytes of values in a batch, which one thread does in one call: large enough to
# make Python's cost per batch small, small enough to have many under way.
BATCH = 1 << 20

# Bytes of values in a commit: small enough for LMDB's dirty pages to stay in the
# processor's cache.
COMMIT = 3 << 20

# Patches of each source that are encoded to learn how large its values are: so
# many, or as many as give so many bytes.
_PROBES = 16
_PROBED = 16 << 20

#: Environment variable: ``libtiff`` has libtiff open and decode every file.
DECODE = "RS_TENSOR_DECODE"

# What the system says when it, not the file, is the reason.
_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}

#: What becomes of a patch: its slice of the buffer, its header and the mark of its
#: files, or why it failed.
Result = tuple[int, int, bytes, int] | PatchError


@dataclass
class Estimate:
    """What encoding a plan will take.

    ``lengths`` are the bytes of a typical value of each source, ``size`` those
    of the database, ``failures`` what was found wrong with the patches tried.
    """

    lengths: list[float]
    size: int
    failures: list[PatchError]


def estimate(plan: Plan, limit: int = _tiff.LIMIT) -> Estimate:
    """Encode a few patches of each source to learn how much space all will take.

    Raises
    ------
    SourceError
        If a source is another dataset: no patch tried has the bands of its layout.
    """
    encoder = new_encoder(plan, limit)
    buffer = new_buffer()
    lengths: list[float] = []
    failures: list[PatchError] = []
    size = 0
    for index in range(len(plan.sources)):
        patches = [patch for patch in plan.patches if patch.place.source == index]
        probes = patches[:: max(1, len(patches) // _PROBES)][:_PROBES]
        found: list[int] = []
        wrong: list[PatchError] = []
        for patch in probes:
            if sum(found) > _PROBED:
                break
            results, buffer = encode_batch(encoder, [plan.files(patch)], buffer)
            result = results[0]
            if isinstance(result, PatchError):
                wrong.append(result)
            else:
                found.append(result[1] - result[0])
        if not found:
            source = plan.sources[index]
            refuse_other_bands(source.layout, source.root, [str(error) for error in wrong])
        failures += wrong
        lengths.append(sum(found) / len(found) if found else 0.0)
        size += space_for(len(patches), lengths[-1])
    return Estimate(lengths, size, failures)


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
        try:
            larger = np.empty(max(needed, 2 * len(buffer)), np.uint8)
        except MemoryError:
            raise SourceError(
                f"{os.fsdecode(files[len(results)][1])}: out of memory: its value would take "
                f"{needed - used} bytes"
            ) from None
        larger[:used] = buffer[:used]
        buffer = larger
        more, needed = encoder.encode(files[len(results) :], buffer, used)
        results += more
    for result in results:
        # The machine's trouble, not the patch's: it must not count as a bad patch.
        if isinstance(result, PatchError) and result.errno in _TROUBLE:
            raise SourceError(f"{result}; nothing is lost, run the same command again") from None
    return results, buffer


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
    """Patches for one call, and whether a commit ends with them."""

    patches: list[Patch]
    size: float
    commits: bool


def cut(patches: Sequence[Patch], lengths: Sequence[float]) -> Iterator[Batch]:
    """Cut patches into batches, the same ones whatever the speed of this or that.

    Parameters
    ----------
    patches : sequence of Patch
        In the order of their keys.
    lengths : sequence of float
        Bytes of a typical value of each source, 0 where that is not known.
    """
    batch: list[Patch] = []
    size = committed = 0.0
    for patch in patches:
        length = lengths[patch.place.source] or BATCH / 16
        if batch and size + length > BATCH:
            committed += size
            # Whether one more batch like this one would still go into the commit.
            commits = committed + size > COMMIT
            yield Batch(batch, size, commits)
            committed = 0.0 if commits else committed
            batch, size = [], 0.0
        batch.append(patch)
        size += length
    if batch:
        yield Batch(batch, size, commits=True)
