"""One patch compared with its record, every file by a decoder that reads it as it is stored."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rs_tensor_encoder.checking import decoders
from rs_tensor_encoder.checking.compare import Difference, compare
from rs_tensor_encoder.checking.decoder_order import DecoderOrder, File, Reading
from rs_tensor_encoder.inspection.tiff_summary import inside
from rs_tensor_encoder.layouts.parser import EXTENSIONS
from rs_tensor_encoder.util.text import counted


class Job(NamedTuple):
    """A patch to compare: its key, the root of its source, its files with their bands.

    ``present`` tells whether it has a record.
    """

    key: bytes
    root: str
    files: list[tuple[str, tuple[str, ...]]]
    present: bool


@dataclass(frozen=True)
class NotCompared:
    """A file that no installed decoder could be asked about.

    ``reasons`` tells of each decoder why; ``advice`` is what the user can do.
    """

    patch: str
    file: str
    reasons: dict[str, str]
    advice: str

    def __str__(self) -> str:
        said: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            said.setdefault(reason, []).append(name)
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in said.items())
        return f"{self.patch}: {self.file}: {reasons}; {self.advice}"


class Result(NamedTuple):
    """What came of a patch: tensors and bytes compared, what differs, and by whom it was read.

    ``decoders`` has the number of tensors that each decoder read.
    """

    tensors: int
    size: int
    differences: list[Difference]
    decoders: dict[str, int]
    not_compared: list[NotCompared]


class Unreadable(Exception):  # noqa: N818
    """A source cannot be read; the text says which file and why."""


@dataclass
class _Read:
    """A file and its bands, with what a decoder has read, if one could."""

    file: File
    names: tuple[str, ...]
    reading: Reading | None

    @property
    def tensors(self) -> dict[str, decoders.Bands]:
        if self.reading is None:
            return {}
        return dict(zip(self.names, self.reading.bands, strict=True))


def compare_patch(job: Job, value: bytes, order: DecoderOrder) -> Result:
    """Compare a patch with its record.

    Parameters
    ----------
    job : Job
        The patch.
    value : bytes
        Its record.
    order : DecoderOrder
        Who reads the files.

    Returns
    -------
    Result
        A file that a decoder is known to read differently, or that it cannot
        read, has been compared with the next one. Where none is left, the
        file is listed as not compared; the other files are compared.
    """
    patch = job.key.decode()
    try:
        read = [_Read(file, names, _next(file, names)) for file, names in _files(job, order)]
        if not job.present:
            return Result(0, 0, _left_out(patch, read), {}, [])
        differences = _compare(patch, value, read)
    except Unreadable as error:
        differences = [Difference(patch, str(error))] if job.present else []
        return Result(0, len(value), differences, {}, [])
    by_decoder: dict[str, int] = {}
    for one in read:
        if one.reading is not None:
            count = by_decoder.get(one.reading.decoder, 0)
            by_decoder[one.reading.decoder] = count + len(one.names)
    not_compared = [_not_compared(patch, one.file) for one in read if one.reading is None]
    return Result(sum(by_decoder.values()), len(value), differences, by_decoder, not_compared)


def _files(job: Job, order: DecoderOrder) -> Iterator[tuple[File, tuple[str, ...]]]:
    """Find the files of a patch."""
    for base, names in job.files:
        paths = [base + extension for extension in EXTENSIONS]
        path = next((path for path in paths if os.path.exists(path)), paths[0])
        if os.path.exists(path) and not os.path.isfile(path):
            raise Unreadable(f"{path}: not a regular file")
        if not inside(path, job.root):
            raise Unreadable(f"{path}: leads out of the source by a symbolic link")
        try:
            yield order.open(path), names
        except FileNotFoundError:
            raise Unreadable(f"{path}: there is no such file") from None


def _next(file: File, names: tuple[str, ...]) -> Reading | None:
    try:
        reading = file.next_reading()
    except FileNotFoundError:
        raise Unreadable(f"{file.path}: there is no such file") from None
    if reading is not None and len(reading.bands) != len(names):
        there = counted(len(reading.bands), "band")
        raise Unreadable(f"{file.path}: the file has {there}, not {len(names)}")
    return reading


def _compare(patch: str, value: bytes, read: list[_Read]) -> list[Difference]:
    expected = {name: array for one in read for name, array in one.tensors.items()}
    unread = [name for one in read if one.reading is None for name in one.names]
    differences = compare(patch, value, expected, unread)
    for one in read:
        # JPEG does not say how a decoder must round, so that two may differ and both be right.
        # It is a difference unless the bands are what another decoder makes of them.
        first = one.reading
        while one.file.rounds and any(found.band in one.names for found in differences):
            one.reading = _next(one.file, one.names)
            if one.reading is None:
                one.reading = first
                break
            again = compare(patch, value, expected | one.tensors, unread)
            if not any(found.band in one.names for found in again):
                expected |= one.tensors
                differences = again
    return differences


def _not_compared(patch: str, file: File) -> NotCompared:
    missing = [name for name, reason in file.reasons.items() if reason == decoders.MISSING]
    advice = "if it was changed since it was encoded, restore it"
    if file.too_large:
        advice = "raise --max-file-size"
    elif missing:
        advice = f"install another decoder (pip install {' or '.join(missing)}), or {advice}"
    return NotCompared(patch, file.path, dict(file.reasons), advice)


def _left_out(patch: str, read: list[_Read]) -> list[Difference]:
    """Find out whether a patch that was left out on request could have been encoded.

    It is said of a patch only if all of its files are of a kind that encode
    reads, and if no decoder finds one damaged: some decoders read damaged
    data without a word.
    """
    for one in read:
        if one.file.tags is None or one.file.tags.refused or one.reading is None:
            return []
        others = {one.reading.decoder}
        while (reading := _next(one.file, one.names)) is not None:
            others.add(reading.decoder)
            if not np.array_equal(reading.bands.view("u1"), one.reading.bands.view("u1")):
                return []
        if "tifffile" not in others or any(
            reason.startswith(decoders.FAILED) for reason in one.file.reasons.values()
        ):
            return []
    return [Difference(patch, "left out by --skip-failed, but its files can be read")]
