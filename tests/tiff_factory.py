"""Writes TIFF files byte by byte, also such as no library would write."""

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

SHORT, LONG, LONG8, ASCII = 3, 4, 16, 2
_FORMATS = {
    1: "B", ASCII: "s", SHORT: "H", LONG: "I", 6: "b", 7: "B", 8: "h", 9: "i", LONG8: "Q",
}  # fmt: skip


@dataclass
class Tiff:
    """A TIFF file of strips, to be changed at will before it is written.

    ``tags`` maps a number to (type, values); ``chunks`` are the stored strips
    or tiles. Offsets and byte counts are filled in when writing unless
    ``tags`` has them. ``pages`` follow, each as (tags, chunks).
    """

    tags: dict
    chunks: list
    order: str = "<"
    big: bool = False
    pages: list = field(default_factory=list)

    def write(self, path):
        path.write_bytes(self.data())
        return path

    def data(self):
        """The file; the directory first, then the values that do not fit, then the chunks."""
        out = bytearray()
        out += b"II" if self.order == "<" else b"MM"
        out += self.pack("HHHQ", 43, 8, 0, 16) if self.big else self.pack("HI", 42, 8)
        every = [(self.tags, self.chunks), *self.pages]
        for index, (tags, chunks) in enumerate(every):
            out += self._page(tags, chunks, len(out), last=index == len(every) - 1)
        return bytes(out)

    def pack(self, form, *values):
        return struct.pack(self.order + form, *values)

    def _page(self, tags, chunks, at, *, last):
        tags = dict(tags)
        word = LONG8 if self.big else LONG
        numbers = (324, 325) if 322 in tags else (273, 279)
        given = [number in tags for number in numbers]
        if not given[0]:
            tags[numbers[0]] = (word, [0] * len(chunks))
        if not given[1]:
            tags[numbers[1]] = (word, [len(chunk) for chunk in chunks])
        tags = {n: tag for n, tag in sorted(tags.items()) if tag is not None}
        head, entry, room = (8, 20, 8) if self.big else (2, 12, 4)
        behind = at + head + entry * len(tags) + room
        extra = sum(
            len(packed) for packed in map(self._values, tags.values()) if len(packed) > room
        )
        if not given[0]:
            starts = np.cumsum([behind + extra, *(len(chunk) for chunk in chunks)])[:-1]
            # A sparse chunk has neither bytes nor a place.
            places = [int(s) if c else 0 for s, c in zip(starts, chunks, strict=True)]
            tags[numbers[0]] = (word, places)
        out = bytearray(self.pack("Q" if self.big else "H", len(tags)))
        values = bytearray()
        for number, tag in tags.items():
            packed = self._values(tag)
            count = len(tag[1])
            out += self.pack("HHQ" if self.big else "HHI", number, tag[0], count)
            if len(packed) > room:
                out += self.pack("Q" if self.big else "I", behind + len(values))
                values += packed
            else:
                out += packed.ljust(room, b"\0")
        size = sum(map(len, chunks))
        out += self.pack("Q" if self.big else "I", 0 if last else behind + len(values) + size)
        return out + values + b"".join(chunks)

    def _values(self, tag):
        kind, values = tag
        if kind == ASCII:
            return bytes(values)
        return self.pack(f"{len(values)}{_FORMATS[kind]}", *values)


def strips(pixels, rows=None, *, order="<", compress=False, **options):
    """A file of one 2-D array of pixels in strips of ``rows`` rows."""
    pixels = np.asarray(pixels)
    height, width = pixels.shape
    rows = rows or height
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    chunks = [stored[y : y + rows].tobytes() for y in range(0, height, rows)]
    if compress:
        chunks = [zlib.compress(chunk) for chunk in chunks]
    tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [pixels.dtype.itemsize * 8]),
        259: (SHORT, [8 if compress else 1]),
        262: (SHORT, [1]),
        277: (SHORT, [1]),
        278: (LONG, [rows]),
        284: (SHORT, [1]),
        339: (SHORT, [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]]),
    }
    return Tiff(tags, chunks, order, **options)


def ramp(height=20, width=24, dtype="u2"):
    """Pixels that all differ where the type allows it."""
    return np.arange(height * width).reshape(height, width).astype(dtype)
