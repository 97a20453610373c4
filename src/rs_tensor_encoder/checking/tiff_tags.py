"""The tags of a TIFF file that decide how its pixels are stored, read for the checker.

Decoders disagree about some kinds of files. To know which kind a file is, the
checker reads the tags itself: neither through the encoder's compiled reader
nor through a decoder that may be the one in doubt.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

#: Values of Compression that the checker has to tell apart.
UNCOMPRESSED, LZW, JPEG, PACKBITS, LERC = 1, 5, 7, 32773, 34887
LZMA, ZSTD, WEBP = 34925, 50000, 50001
DEFLATE = (8, 32946)

# Of the field types: the bytes of a value; those that libtiff takes for text; unsigned integers.
_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
    17: 8, 18: 8,
}  # fmt: skip
_TEXT = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 16: "u8", 17: "i8",
}  # fmt: skip
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}

_NAMES = {
    256: "columns", 257: "rows", 258: "bits", 259: "compression", 262: "photometric",
    266: "fill_order", 277: "samples", 278: "rows_per_strip", 284: "planar", 317: "predictor",
    322: "tile_columns", 323: "tile_rows", 338: "extra_samples", 339: "sample_format",
    32997: "depth",
}  # fmt: skip
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_NODATA = 42113
# Pages that are looked at; more are taken for pages that lead back to each other.
_MAX_PAGES = 1024


class TagError(ValueError):
    """The tags cannot be read; the text says why."""


@dataclass
class TiffTags:
    """How the first image of a TIFF file is stored; the defaults are those of TIFF 6.0.

    Where a tag has one value per band, that of the first band is taken.
    ``more_images`` tells whether other pages than reduced images and masks follow.
    ``extra_samples`` is -1 if the file does not have the tag, and so is None
    of ``offsets`` and ``byte_counts``. ``nodata`` is GDAL's text.
    """

    columns: int = 0
    rows: int = 0
    bits: int = 1
    compression: int = UNCOMPRESSED
    photometric: int = 1
    fill_order: int = 1
    samples: int = 1
    rows_per_strip: int = 0xFFFFFFFF
    planar: int = 1
    predictor: int = 1
    tile_columns: int = 0
    tile_rows: int = 0
    extra_samples: int = -1
    sample_format: int = 1
    depth: int = 1
    big_endian: bool = False
    more_images: bool = False
    offsets: Numbers | None = None
    byte_counts: Numbers | None = None
    nodata: bytes = b""

    @property
    def dtype(self) -> np.dtype[np.generic] | None:
        """Sample type in the machine's byte order; None for one that numpy does not have."""
        kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(self.sample_format)
        if kind is None or self.bits not in (8, 16, 32, 64) or (kind == "f" and self.bits == 8):
            return None
        return np.dtype(f"{kind}{self.bits // 8}")

    @property
    def refused(self) -> bool:
        """Whether encode refuses such files though they are in order, whatever is in them."""
        colours = self.photometric in (6, 8, 9, 10, 32844, 32845)
        cmyk = self.photometric == 5 and self.bits == 8
        kind = self.dtype is None or self.depth != 1 or self.compression == 6
        return colours or cmyk or kind or self.more_images or self._odd_lengths

    @property
    def _odd_lengths(self) -> bool:
        """Whether an uncompressed strip or tile has other bytes than its pixels take."""
        if self.compression != UNCOMPRESSED or self.byte_counts is None:
            return False
        return any(
            self.find(index)[1] not in (0, self.size_of(index), self.size_of(index, whole=True))
            for index in range(min(self.chunks, len(self.byte_counts)))
        )

    @property
    def tiled(self) -> bool:
        """Whether the pixels are in tiles, not in strips."""
        return self.tile_columns > 0 and self.tile_rows > 0

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns of a strip or tile."""
        if self.tiled:
            return self.tile_rows, self.tile_columns
        return max(min(self.rows_per_strip, self.rows), 1), self.columns

    @property
    def chunks(self) -> int:
        """How many strips or tiles the image has."""
        rows, columns = self.chunk_shape
        each = -(-self.rows // rows) * -(-self.columns // max(columns, 1))
        return each * (self.samples if self.planar == 2 else 1)

    @property
    def components(self) -> int:
        """Samples that a pixel has in a strip or tile."""
        return 1 if self.planar == 2 else self.samples

    def place(self, index: int) -> tuple[int, int, int, int, int]:
        """Where a strip or tile lies: plane, first row, first column, rows and columns inside."""
        rows, columns = self.chunk_shape
        across, down = -(-self.columns // columns), -(-self.rows // rows)
        plane, inside = divmod(index, across * down)
        y, x = inside // across * rows, inside % across * columns
        return plane, y, x, min(rows, self.rows - y), min(columns, self.columns - x)

    def size_of(self, index: int, *, whole: bool = False) -> int:
        """Bytes of a strip or tile when it is not compressed; ``whole``: with all of its rows."""
        rows, columns = self.chunk_shape
        if not (whole or self.tiled):
            rows = self.place(index)[3]
        return rows * columns * self.components * (self.bits // 8)

    def find(self, index: int) -> tuple[int, int]:
        """Offset and bytes of a strip or tile in the file: (0, 0) if the file leaves it out."""
        if self.offsets is None or index >= len(self.offsets):
            raise TagError(f"strip or tile {index} is not listed")
        if self.byte_counts is None:
            # Files without byte counts exist; uncompressed data are as long as their pixels.
            if self.compression != UNCOMPRESSED:
                raise TagError("the file has no byte counts")
            return int(self.offsets[index]), self.size_of(index)
        if index >= len(self.byte_counts):
            raise TagError(f"strip or tile {index} has no byte count")
        return int(self.offsets[index]), int(self.byte_counts[index])

    @property
    def sparse(self) -> bool:
        """Whether some strip or tile has neither a place nor bytes."""
        if self.offsets is None or self.byte_counts is None:
            return False
        both = min(len(self.offsets), len(self.byte_counts), self.chunks)
        return bool(((self.offsets[:both] == 0) & (self.byte_counts[:both] == 0)).any())


def read_tags(path: str) -> TiffTags:
    """Read the tags of the first image of a file.

    Parameters
    ----------
    path : str
        A TIFF file.

    Returns
    -------
    TiffTags

    Raises
    ------
    TagError
        If it is not a TIFF file, or is damaged.
    OSError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            tags = _read(file)
    except (struct.error, OverflowError, ValueError, IndexError) as error:
        raise TagError(f"the tags cannot be read: {error}") from None
    if not (tags.rows and tags.columns and tags.samples):
        raise TagError("the image has no pixels")
    return tags


def stored_bytes(file: BinaryIO, tags: TiffTags, index: int) -> bytes:
    """Read a strip or tile as it lies in the file; empty if the file leaves it out.

    Raises
    ------
    TagError
        If it is not listed, or ends outside the file.
    """
    offset, size = tags.find(index)
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise TagError(f"strip or tile {index} ends outside the file")
    return data


def _read(file: BinaryIO) -> TiffTags:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise TagError("not a TIFF file")
    (version,) = struct.unpack_from(order + "H", head, 2)
    big = version == 43
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    tags = TiffTags(big_endian=order == ">")
    entries, at = _directory(file, order, at, big=big)
    for number, kind, values, place in entries:
        if number in _NAMES or number in _OFFSETS or number in _COUNTS or number == _NODATA:
            _take(tags, file, order, number, (kind, values, place))
    pages = 0
    while at and not tags.more_images and pages < _MAX_PAGES:
        pages += 1
        entries, at = _directory(file, order, at, big=big)
        # NewSubfileType: bit 0 is a reduced image, bit 2 a mask (TIFF 6.0, page 36).
        kinds = [place for number, _, _, place in entries if number == 254]
        tags.more_images = not (kinds and struct.unpack(order + "I", kinds[0][:4])[0] & 5)
    return tags


def _directory(
    file: BinaryIO, order: str, at: int, *, big: bool
) -> tuple[list[tuple[int, int, int, bytes]], int]:
    """Read a directory: its entries as (tag, type, count, value or offset), and what follows."""
    file.seek(at)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    # As many as TIFF allows; more are damage.
    entries = list(entry.iter_unpack(file.read(entry.size * min(count, 65535))))
    link = file.read(8 if big else 4)
    if len(link) < (8 if big else 4):
        return entries, 0
    return entries, struct.unpack(order + ("Q" if big else "I"), link)[0]


def _take(
    tags: TiffTags, file: BinaryIO, order: str, number: int, value: tuple[int, int, bytes]
) -> None:
    kind, count, place = value
    size = _SIZES.get(kind, 0) * count
    data = place[:size]
    if size > len(place):
        file.seek(struct.unpack(order + ("Q" if len(place) == 8 else "I"), place)[0])
        data = file.read(min(size, 1 << 28))
    if number == _NODATA:
        if kind in _TEXT:
            codes = np.frombuffer(data, order + _TEXT[kind])
            inside = bool(((codes >= 0) & (codes <= 255)).all())
            tags.nodata = codes.astype(np.uint8).tobytes() if inside else b""
        return
    numbers = np.frombuffer(data, order + _UNSIGNED[kind]) if kind in _UNSIGNED else None
    if numbers is None or len(numbers) == 0:
        raise TagError(f"tag {number} is not a whole number")
    if number in _OFFSETS:
        tags.offsets = numbers.astype(np.uint64)
    elif number in _COUNTS:
        tags.byte_counts = numbers.astype(np.uint64)
    else:
        setattr(tags, _NAMES[number], int(numbers[0]))
