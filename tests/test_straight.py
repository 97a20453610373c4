"""Pixels that are read straight to their place: only where they lie as they did before."""

import random
import struct

import numpy as np
import pytest

from oracles import value_of
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import encode_batch
from rs_tensor_encoder.errors import PatchError
from tiff_factory import LONG, SHORT, ramp, strips

SIZE = 12, 20


def plain(start=0, dtype="u2", **options):
    """A file of four strips; all of these have the same size in bytes."""
    file = strips(ramp(*SIZE, dtype) + np.array(start, dtype), 3, **options)
    # A tag that means nothing, to be replaced by one that does.
    file.tags[65000] = (SHORT, [0])
    return file


def tagged(number, kind, values):
    file = plain()
    del file.tags[65000]
    file.tags[number] = (kind, values)
    return file.data()


def reordered():
    """The strips stand in another order than their rows."""
    data = bytearray(plain().data())
    table = data.index(struct.pack("<4I", *offsets(data)))
    data[table : table + 16] = struct.pack("<4I", *reversed(offsets(data)))
    return bytes(data)


def offsets(data):
    """Where the four strips begin, which take the end of the file."""
    strip = 3 * SIZE[1] * 2
    return [len(data) - i * strip for i in (4, 3, 2, 1)]


def changed(values, wanted):
    """The table of the strips' places or sizes, with other numbers in it."""
    data = plain().data()
    numbers = offsets(data) if values == "offsets" else [120] * 4
    return data.replace(struct.pack("<4I", *numbers), struct.pack("<4I", *wanted(numbers)))


def table_behind():
    """The table of offsets stands in the last strip, whose rows are the last of the image."""
    data = bytearray(plain().data())
    places = struct.pack("<4I", *offsets(data))
    table = data.index(places)
    data[-16:] = places
    return bytes(data).replace(struct.pack("<I", table), struct.pack("<I", len(data) - 16), 1)


def directory_behind():
    """There is a second directory, in the pixels."""
    data = bytearray(plain().data())
    count = struct.unpack_from("<H", data, 8)[0]
    data[10 + 12 * count : 14 + 12 * count] = struct.pack("<I", len(data) - 100)
    data[-100:] = (struct.pack("<HHHII", 1, 254, 4, 1, 1) + bytes(4)).ljust(100, b"\1")
    return bytes(data)


def variants():
    """Files of the same size: the first two alone hold pixels that can be read straight."""
    yield "plain", plain().data()
    yield "other pixels", plain(7).data()
    yield "signed", plain(0, "i2").data()
    yield "turned", turned()
    yield "big-endian", plain(order=">").data()
    yield "reordered", reordered()
    yield "bits reversed", tagged(266, SHORT, [2])
    yield "predictor", tagged(317, SHORT, [2])
    yield "two strips the same", changed("offsets", lambda n: [n[0], n[0], n[2], n[3]])
    yield "strips outside", changed("offsets", lambda n: [*n[:3], n[3] + 1])
    yield "shifted", changed("offsets", lambda n: [at - 2 for at in n])
    yield "sparse", changed("offsets", lambda n: [0, *n[1:]])
    yield "short strip", changed("counts", lambda n: [*n[:3], n[3] - 1])
    yield "table in the pixels", table_behind()
    yield "directory in the pixels", directory_behind()
    yield "directory outside", plain().data().replace(b"II*\0\10\0\0\0", b"II*\0\xff\xff\0\0")
    yield "no TIFF", bytes(len(plain().data()))


def turned():
    """As many pixels in another shape."""
    file = plain()
    file.tags[256], file.tags[257] = (LONG, [SIZE[1] * 3]), (LONG, [SIZE[0] // 3])
    file.tags[278] = (LONG, [1])
    return file.data()


FILES = dict(variants())


@pytest.mark.parametrize("big", [False, True])
def test_whether_there_is_another_page_is_not_read_from_the_pixels(tmp_path, big):
    """The pixels follow the last entry at once: what says where the next page is, is pixels."""
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    for name, first in (("none", 0), ("some", 1234)):
        tiff = strips(np.full((8, 8), 1, "u2"), big=big)
        data = tiff.data()
        link = 8 if big else 4
        end = len(data) - 128
        pixels = struct.pack("<4H", first, 0, 0, 0) + data[end:][8:]
        # One strip: its place is in its entry.
        place = struct.pack("<Q" if big else "<I", end)
        moved = struct.pack("<Q" if big else "<I", end - link)
        data = data[: end - link].replace(place, moved) + pixels
        (tmp_path / f"{name}.tif").write_bytes(data)
    none, some = encode(encoder, tmp_path, ["none"], ["some"])
    assert isinstance(none, bytes)
    assert encoder.in_place == 0
    assert some == alone(["some"], tmp_path)
    assert "a directory is said to lie at byte 1234" in some


@pytest.fixture
def place(tmp_path):
    for name, data in FILES.items():
        (tmp_path / f"{name}.tif").write_bytes(data)
    return tmp_path


def encode(encoder, place, *patches):
    """What becomes of patches: bytes, or the reason of the error."""
    files = [(0, bytes(place), "".join(f"{n}\0" for n in names).encode()) for names in patches]
    buffer = np.full(1 << 18, 0xAA, np.uint8)
    results, buffer = encode_batch(encoder, files, buffer)
    return [
        result.reason if isinstance(result, PatchError) else bytes(buffer[result[0] : result[1]])
        for result in results
    ]


def alone(names, place, *, ordinary=False):
    return encode(
        _tiff.Encoder([[[f"B{i}"] for i in range(len(names))]], [".tif"], ordinary=ordinary),
        place,
        names,
    )[0]


def test_all_have_the_same_size():
    assert len({len(data) for data in FILES.values()}) == 1
    assert len(FILES) == len(set(FILES.values()))


def test_pixels_come_straight_from_the_second_file_on(place):
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    values = encode(encoder, place, ["plain"], ["other pixels"], ["plain"])
    pixels = [ramp(*SIZE), ramp(*SIZE) + np.uint16(7), ramp(*SIZE)]
    assert values == [value_of({"A": found}) for found in pixels]
    assert encoder.in_place == 2
    ordinary = _tiff.Encoder([[["A"]]], [".tif"], ordinary=True)
    assert encode(ordinary, place, ["plain"], ["other pixels"], ["plain"]) == values
    assert ordinary.in_place == 0


@pytest.mark.parametrize("name", list(FILES)[2:])
def test_what_lies_otherwise_is_decoded(place, name):
    expected = alone([name], place)
    assert expected == alone([name], place, ordinary=True) or isinstance(expected, str)
    encoder = _tiff.Encoder([[["B0"]]], [".tif"])
    for batch in ([["plain"], [name], ["plain"]], [[name], ["plain"], [name], [name]]):
        found = encode(encoder, place, *batch)
        assert found == [expected if n == name else alone([n], place) for (n,) in batch]


def test_no_file_leaves_anything_to_the_next(place):
    chosen = random.Random(0)
    encoder = _tiff.Encoder([[["B0"], ["B1"], ["B2"]]], [".tif"])
    # Mostly those that can be read straight, or change the shape of the value.
    names = ["plain", "other pixels"] * 30 + ["signed", "turned"] * 2 + list(FILES)
    patches = [chosen.choices(names, k=3) for _ in range(600)]
    expected = [alone(patch, place) for patch in patches]
    for at in range(0, len(patches), 20):
        assert encode(encoder, place, *patches[at : at + 20]) == expected[at : at + 20]
    assert encoder.in_place > 300
    assert {type(value) for value in expected} == {bytes, str}


def test_a_file_that_is_cut_short_is_an_error(place):
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    assert encode(encoder, place, ["plain"]) == [value_of({"A": ramp(*SIZE)})]
    for cut in (1, 200, 475):
        (place / "cut.tif").write_bytes(FILES["plain"][:-cut])
        (reason,) = encode(encoder, place, ["cut"])
        assert "cut short" in reason
    assert encoder.in_place == 0
