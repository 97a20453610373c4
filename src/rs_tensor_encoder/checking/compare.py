"""A record against the bands of its source, bit for bit."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from rs_tensor_encoder.storage.safetensors_header import header_of
from rs_tensor_encoder.util.text import counted

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be.

    ``pixel`` is the first pixel (row, column) that differs, ``stored`` and
    ``expected`` its values in the database and in the source.
    """

    patch: str
    reason: str
    band: str | None = None
    pixel: tuple[int, int] | None = None
    stored: str | None = None
    expected: str | None = None

    def __str__(self) -> str:
        where = self.patch if self.band is None else f"{self.patch}, band {self.band}"
        return f"{where}: {self.reason}" if where else self.reason


def compare(
    patch: str, value: bytes, expected: Tensors, unread: Collection[str] = ()
) -> list[Difference]:
    """Compare a record with the bands of its source.

    Parameters
    ----------
    patch : str
        Key of the record, for the differences.
    value : bytes
        The record's value.
    expected : dict of str to array
        The bands, 2-D (rows, columns).
    unread : collection of str
        Bands that the record must have, but whose pixels are not known.

    Returns
    -------
    list of Difference
        Empty if the value is, byte for byte, what ``safetensors.numpy.save``
        writes of the bands.
    """
    # Before another library goes by the length that a stranger may have written.
    if header_of(value) is None:
        return [Difference(patch, "the value is not in the safetensors format: no such header")]
    try:
        found = safetensors.numpy.load(value)
    except (SafetensorError, ValueError, KeyError) as error:
        return [Difference(patch, f"the value is not in the safetensors format: {error}")]
    bands = {*expected, *unread}
    differences = [
        Difference(patch, "no such tensor", band) for band in sorted(bands - found.keys())
    ]
    differences += [
        Difference(patch, "a tensor that the source does not have", band)
        for band in sorted(found.keys() - bands)
    ]
    for band in expected:
        if band in found:
            differences += _compare_band(patch, band, found[band], expected[band])
    if not differences:
        arrays = {band: np.ascontiguousarray(array) for band, array in (found | expected).items()}
        if safetensors.numpy.save(arrays) != value:
            differences.append(
                Difference(
                    patch,
                    "the tensors are equal, but the value is not laid out as "
                    "safetensors.numpy.save does it",
                )
            )
    return differences


def _compare_band(
    patch: str, band: str, stored: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> list[Difference]:
    if stored.dtype != expected.dtype:
        return [Difference(patch, f"type {stored.dtype}, not {expected.dtype}", band)]
    if stored.shape != expected.shape:
        return [Difference(patch, f"shape {stored.shape}, not {expected.shape}", band)]
    # Bits, not numbers: NaN equals itself, and -0.0 is not 0.0.
    bits = np.dtype(f"u{expected.dtype.itemsize}")
    unequal = stored.view(bits) != np.ascontiguousarray(expected).view(bits)
    if not unequal.any():
        return []
    row, column = (int(i) for i in np.argwhere(unequal)[0])
    here, there = stored[row, column], expected[row, column]
    reason = (
        f"other values in {counted(int(unequal.sum()), 'pixel')}, first at row {row}, column "
        f"{column}: {here!s} in the database, {there!s} in the source"
    )
    return [Difference(patch, reason, band, (row, column), str(here), str(there))]
