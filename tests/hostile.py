"""Makes hostile TIFF files of good ones: cut, flipped, swapped, overflowing, looping."""

import io
import itertools
import struct
from typing import NamedTuple

import numpy as np
import tifffile

from tiff_factory import LONG, SHORT, ramp, strips

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}

# Where sizes and places overflow, and what lies around it.
NUMBERS = sorted(
    {0, 1, 2, 3, 7, 8, 255, 256, 65535, 65536}
    | {(1 << bits) + near for bits in (16, 31, 32, 63, 64) for near in (-2, -1, 0, 1)}
)


class Entry(NamedTuple):
    """An entry of a directory: its place, and that of its values."""

    at: int
    tag: int
    type: int
    count: int
    values: int


class Structure(NamedTuple):
    order: str
    big: bool
    directories: list
    entries: list
    links: list
    boundaries: list


def good_files():
    """Files of every way of storing, by name; small, so that all of a file can be harmed."""
    pixels = ramp(20, 24)
    yield "strips", strips(pixels, 7).data()
    yield "strips-big-endian", strips(pixels, 7, order=">").data()
    yield "strips-bigtiff", strips(pixels, 7, big=True).data()
    yield "deflate", strips(pixels, 7, compress=True).data()
    yield "deflate-bigtiff-big-endian", strips(pixels, 7, compress=True, order=">", big=True).data()
    overview = strips(ramp(10, 12), 10)
    tiff = strips(pixels, 7, compress=True)
    tiff.pages = [(overview.tags | {254: (LONG, [1])}, overview.chunks)] * 2
    yield "overviews", tiff.data()
    tiff = strips(pixels, 7)
    tiff.tags[259] = (SHORT, [32773])
    # Literal runs of a row of 48 bytes.
    rows = [[chunk[at : at + 48] for at in range(0, len(chunk), 48)] for chunk in tiff.chunks]
    tiff.chunks = [b"".join(bytes([47]) + row for row in chunk) for chunk in rows]
    yield "packbits", tiff.data()
    bands = np.stack([pixels, pixels + 1000, pixels * 7]).astype("u2")
    for name, options in {
        "deflate-tiles": {"compression": "deflate", "predictor": 2, "tile": (16, 16)},
        "lzw-strips": {"compression": "lzw", "predictor": 2, "rowsperstrip": 7},
        "lzw-tiles-big-endian": {"compression": "lzw", "tile": (16, 16), "byteorder": ">"},
        "zstd": {"compression": "zstd", "rowsperstrip": 7},
        "separate": {"planarconfig": "separate", "rowsperstrip": 7},
        "together": {"planarconfig": "contig", "compression": "deflate", "rowsperstrip": 7},
    }.items():
        file = io.BytesIO()
        data = {"separate": bands, "together": bands.transpose(1, 2, 0)}.get(name, pixels)
        tifffile.imwrite(file, data, photometric="minisblack", metadata=None, **options)
        yield name, file.getvalue()


def structure(data):
    """Where the parts of a good file lie."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, head, size = ("Q", 8, 20) if big else ("I", 2, 12)
    link = 8 if big else 4
    directories, entries, links = [], [], [link]
    boundaries = {0, 2, 4, link, link + struct.calcsize(word), len(data)}
    (at,) = struct.unpack_from(order + word, data, link)
    while at:
        directories.append(at)
        count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
        for index in range(count):
            place = at + head + size * index
            tag, kind, number = struct.unpack_from(order + "HH" + word, data, place)
            values = place + 4 + struct.calcsize(word)
            length = SIZES[kind] * number
            if length > struct.calcsize(word):
                (values,) = struct.unpack_from(order + word, data, values)
            entries.append(Entry(place, tag, kind, number, values))
            boundaries |= {place, place + 2, place + 4, values, values + length}
        links.append(at + head + size * count)
        boundaries |= {at, links[-1], links[-1] + struct.calcsize(word)}
        (at,) = struct.unpack_from(order + word, data, links[-1])
    tables = {e.tag: _values(data, order, e) for e in reversed(entries)}
    offsets, counts = (tables.get(a, tables.get(b)) for a, b in ((273, 324), (279, 325)))
    for start, length in zip(offsets, counts, strict=True):
        boundaries |= {start, start + length}
    return Structure(order, big, directories, entries, links, sorted(boundaries))


def _values(data, order, entry):
    form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(entry.type)
    if form is None:
        return []
    return list(struct.unpack_from(f"{order}{entry.count}{form}", data, entry.values))


def harmed(data, chance):
    """Harmed copies of a good file, each with what was done to it.

    ``chance`` picks the bits of the pixels that are flipped; of all else, every
    bit is flipped and every number replaced.
    """
    found = structure(data)
    yield from _cut(data, found)
    yield from _flipped(data, found, chance)
    yield from _numbers(data, found)
    yield from _exchanged(data, found)
    yield from _looped(data, found)


def _cut(data, found):
    for boundary in found.boundaries:
        for at in (boundary - 1, boundary, boundary + 1):
            if 0 <= at < len(data):
                yield f"cut at {at}", data[:at]
    yield "a byte more", data + b"\0"


def _flipped(data, found, chance):
    places = set(range(16 if found.big else 8))
    size = 20 if found.big else 12
    for entry in found.entries:
        places |= set(range(entry.at, entry.at + size))
        places |= set(range(entry.values, entry.values + SIZES[entry.type] * entry.count))
    for at in found.directories + found.links:
        places |= set(range(at, at + 4))
    bits = [8 * at + bit for at in sorted(places) for bit in range(8)]
    rest = [at for at in range(len(data)) if at not in places]
    bits += [8 * chance.choice(rest) + chance.randrange(8) for _ in range(200)]
    for bit in bits:
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(copy)


def _put(data, order, form, at, number):
    size = struct.calcsize(form)
    copy = bytearray(data)
    byteorder = "little" if order == "<" else "big"
    copy[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, byteorder)
    return bytes(copy)


def _numbers(data, found):
    """Every number of every entry, as each of those at which sizes overflow."""
    order, word = found.order, "Q" if found.big else "I"
    for entry in found.entries:
        for kind in (0, 1, 2, 3, 4, 5, 9, 11, 12, 13, 16, 18, 65535):
            yield f"{entry.tag}: type {kind}", _put(data, order, "H", entry.at + 2, kind)
        form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(entry.type, "B")
        for number in NUMBERS:
            yield f"{entry.tag}: count {number}", _put(data, order, word, entry.at + 4, number)
            where = entry.at + 4 + struct.calcsize(word)
            yield f"{entry.tag}: word {number}", _put(data, order, word, where, number)
            for index in {0, entry.count - 1}:
                at = entry.values + index * struct.calcsize(form)
                copy = _put(data, order, form, at, number)
                yield f"{entry.tag}: value {index} is {number}", copy
                if entry.type == 3:
                    # As a LONG, so that it can be larger than 16 bits.
                    copy = _put(_put(data, order, "H", entry.at + 2, 4), order, "I", where, number)
                    yield f"{entry.tag}: LONG {number}", copy
        # One value as another: strips that overlap, or are those of others.
        values = _values(data, order, entry)
        for index, number in itertools.product(range(len(values)), values[:4]):
            at = entry.values + index * struct.calcsize(form)
            for near in (-1, 0, 1):
                copy = _put(data, order, form, at, number + near)
                yield f"{entry.tag}: value {index} is {number + near}", copy


def _exchanged(data, found):
    """The numbers, and the names, of two entries exchanged; an entry twice; an order reversed."""
    size = 20 if found.big else 12
    for one, other in itertools.combinations(found.entries, 2):
        for begin, end in ((0, 2), (2, size)):
            copy = bytearray(data)
            copy[one.at + begin : one.at + end] = data[other.at + begin : other.at + end]
            copy[other.at + begin : other.at + end] = data[one.at + begin : one.at + end]
            yield f"{one.tag} and {other.tag} exchanged from {begin}", bytes(copy)
        copy = bytearray(data)
        copy[one.at : one.at + size] = data[other.at : other.at + size]
        yield f"{other.tag} twice", bytes(copy)
    for mark in (b"II", b"MM", b"IM"):
        yield f"byte order {mark}", mark + data[2:]


def _looped(data, found):
    """Directories that lead to themselves, to others, into the middle, outside."""
    word = "Q" if found.big else "I"
    places = [*found.directories, 1, 2, 7, 8, 9, len(data) - 1, len(data), *NUMBERS]
    places += [entry.at for entry in found.entries[:3]]
    for link, place in itertools.product(found.links, places):
        yield f"link at {link} to {place}", _put(data, found.order, word, link, place)
