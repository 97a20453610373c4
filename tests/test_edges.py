"""One more than fits: bands, codes, headers. Some of it only a sanitizer sees."""

import itertools

import numpy as np
import pytest
import safetensors.numpy
import tifffile

from oracles import our_bands, value_of
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import encode_batch
from rs_tensor_encoder.errors import PatchError
from tiff_factory import SHORT, ramp, strips

# ---- bands ---------------------------------------------------------------------------

BANDS = [2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 64, 65]


@pytest.mark.parametrize("bands", BANDS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_interleaved_bands_come_apart(tmp_path, bands, dtype):
    """Every sample differs from its neighbours in each direction, and from those of other bands."""
    path = tmp_path / "x.tif"
    for width in (1, 7, 8, 9, 23):
        pixels = np.arange(5 * width * bands).reshape(5, width, bands).astype(dtype)
        tifffile.imwrite(
            path, pixels, photometric="minisblack", planarconfig="contig", rowsperstrip=2,
            compression="zlib", predictor=3 if dtype[0] == "f" else 2, metadata=None,
        )  # fmt: skip
        assert np.array_equal(our_bands(path, bands), pixels.transpose(2, 0, 1)), width


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("there", [2, 3, 4, 33])
def test_a_file_has_as_many_bands_as_its_format(tmp_path, planar, there):
    """One too few, or one too many: no band gets the name of another."""
    path = tmp_path / "x.tif"
    pixels = np.arange(there * 30, dtype="u2").reshape(there, 5, 6)
    tifffile.imwrite(
        path, pixels if planar == "separate" else pixels.transpose(1, 2, 0),
        photometric="minisblack", planarconfig=planar, metadata=None,
    )  # fmt: skip
    assert np.array_equal(our_bands(path, there), pixels)
    for named in (1, there - 1, there + 1):
        with pytest.raises(PatchError, match=f"the file has {there} bands, not {named}"):
            our_bands(path, named)


LAYOUTS = {
    "one strip": {"rowsperstrip": 37},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 32)},
    "tiles as wide as the image": {"tile": (16, 48)},
    "one tile": {"tile": (64, 64)},
}

STORED = [(codec, False) for codec in (None, "packbits", "zlib", "lzw", "zstd", "lzma")]
STORED += [(codec, True) for codec in ("zlib", "lzw", "zstd", "lzma")]


@pytest.mark.parametrize(("codec", "predictor"), STORED)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_way_of_storing(tmp_path, codec, predictor, layout, planar):
    """All that decides where a sample goes, each with each; ours and libtiff's way."""
    ways = [_tiff.Encoder([[["A", "B", "C"]]], [".tif"], ordinary=way) for way in (False, True)]
    for dtype, order in itertools.product(["u1", "i2", "f4", "u8"], "<>"):
        pixels = np.arange(3 * 37 * 48).reshape(3, 37, 48).astype(dtype)
        tifffile.imwrite(
            tmp_path / "x.tif", pixels if planar == "separate" else pixels.transpose(1, 2, 0),
            photometric="minisblack", planarconfig=planar, compression=codec, byteorder=order,
            predictor=(3 if dtype == "f4" else 2) if predictor else None, metadata=None,
            **LAYOUTS[layout],
        )  # fmt: skip
        expected = value_of(dict(zip("ABC", pixels, strict=True)))
        for encoder in ways:
            files = [(0, bytes(tmp_path), b"x\0")]
            (result,), buffer = encode_batch(encoder, files, np.full(1 << 16, 0xAA, np.uint8))
            assert buffer[result[0] : result[1]].tobytes() == expected, (dtype, order, encoder)


def test_a_file_read_straight_behind_one_of_several_bands(tmp_path):
    """Its place in the value is that of its first band, not that of its number."""
    encoder = _tiff.Encoder([[["A", "B", "C"], ["D"], ["E", "F"], ["G"]]], [".tif"])
    expected = []
    for number in range(4):
        bands = [ramp(9, 11) + np.uint16(1000 * number + 100 * band) for band in range(7)]
        for name, part in (("abc", bands[:3]), ("ef", bands[4:6])):
            tifffile.imwrite(
                tmp_path / f"{number}{name}.tif", np.stack(part), photometric="minisblack",
                planarconfig="separate", metadata=None,
            )  # fmt: skip
        strips(bands[3], 4).write(tmp_path / f"{number}d.tif")
        strips(bands[6], 4).write(tmp_path / f"{number}g.tif")
        expected.append(value_of(dict(zip("ABCDEFG", bands, strict=True))))
    files = [
        (0, bytes(tmp_path), "".join(f"{number}{name}\0" for name in names).encode())
        for number in range(4)
        for names in [("abc", "d", "ef", "g")]
    ]
    results, buffer = encode_batch(encoder, files, np.full(1 << 16, 0xAA, np.uint8))
    assert [buffer[start:stop].tobytes() for start, stop, *_ in results] == expected
    assert encoder.in_place == 6


def test_straight_files_whose_sizes_change_places(tmp_path):
    """Two files of a patch, large and small in turn, and then the other way round."""
    encoder = _tiff.Encoder([[["A"], ["B"], ["C"]]], [".tif"])
    files, expected = [], []
    for number in range(12):
        bands = []
        for index in range(3):
            side = 8 + 40 * ((number // 2 + index) % 3)
            pixels = ramp(side, side) + np.uint16(number)
            strips(pixels, 5).write(tmp_path / f"{number}-{index}.tif")
            bands.append(pixels)
        expected.append(value_of(dict(zip("ABC", bands, strict=True))))
        names = "".join(f"{number}-{index}\0" for index in range(3))
        files.append((0, bytes(tmp_path), names.encode()))
    for _ in range(2):
        results, buffer = encode_batch(encoder, files, np.full(1 << 18, 0xAA, np.uint8))
        assert [buffer[start:stop].tobytes() for start, stop, *_ in results] == expected
    assert encoder.in_place > 0


def test_a_large_file_behind_a_small_one_that_found_no_room(tmp_path):
    """The shapes are those of the small one, the guess that of the large one: no byte too far."""
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    for name, side in (("large", 100), ("small", 10)):
        strips(ramp(side, side), 5).write(tmp_path / f"{name}.tif")
    large, small = ((0, bytes(tmp_path), name + b"\0") for name in (b"large", b"small"))
    canary = np.full(1 << 16, 0xAA, np.uint8)
    (result,), _ = encoder.encode([large], canary)
    assert canary[result[0] : result[1]].tobytes() == value_of({"A": ramp(100, 100)})
    canary[:] = 0xAA
    results, needed = encoder.encode([small], canary[:10])
    assert (results, needed) == ([], len(value_of({"A": ramp(10, 10)})))
    results, _ = encoder.encode([large], canary[:needed])
    assert results == []
    assert (canary[needed:] == 0xAA).all()


# ---- LZW ------------------------------------------------------------------------------


def packed(codes):
    """Codes as TIFF has them: of 9 to 12 bits, wider one code early, as long as they can be."""
    bits, width, free, begun = [], 9, 258, False
    for code in codes:
        bits.append(f"{code:0{width}b}")
        if code == 256:
            width, free, begun = 9, 258, False
            continue
        free += begun
        begun = True
        if free == (1 << width) - 1 and width < 12:
            width += 1
    text = "".join(bits)
    text += "0" * (-len(text) % 8 + 16)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def test_the_codes_of_these_tests_are_those_of_others():
    data = bytes(np.random.default_rng(0).integers(0, 256, 3000, np.uint8))
    import imagecodecs

    found = imagecodecs.lzw_decode(packed([256, *data, 257]), out=len(data))
    assert bytes(found) == data


def both_ways(path):
    """What becomes of a file in our way, and in libtiff's: bytes of the pixels, or an error."""
    found = []
    for ordinary in (False, True):
        encoder = _tiff.Encoder([[["A"]]], [".tif"], ordinary=ordinary)
        files = [(0, bytes(path.parent), path.stem.encode() + b"\0")]
        (result,), buffer = encode_batch(encoder, files, np.full(1 << 16, 0xAA, np.uint8))
        if isinstance(result, PatchError):
            found.append(result)
        else:
            value = bytes(buffer[result[0] : result[1]])
            found.append(safetensors.numpy.load(value)["A"].tobytes())
    return found


# The table of 4,096 is full behind 3,839 codes: the first of them adds none.
@pytest.mark.parametrize("count", [3836, 3837, 3838, 3839, 3840, 3841, 3842, 4000, 4096, 4500])
@pytest.mark.parametrize("clears", [0, 1])
def test_a_table_of_codes_that_is_never_cleared(tmp_path, count, clears):
    """What does not fit in the table is left to libtiff, which has room for some more."""
    data = bytes(np.random.default_rng(count).integers(0, 256, count, np.uint8))
    codes = [256, *data] * (clears + 1)
    tiff = strips(np.zeros((1, count * (clears + 1)), "u1"))
    tiff.tags[259] = (SHORT, [5])
    tiff.chunks = [packed(codes)]
    ours, libtiffs = both_ways(tiff.write(tmp_path / "x.tif"))
    if isinstance(libtiffs, PatchError):
        assert isinstance(ours, PatchError)
    else:
        assert ours == libtiffs == data * (clears + 1)
    # As long as all codes have a place, it is certain.
    assert count > 3839 or ours == data * (clears + 1)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 17, 100, 2000])
def test_strings_of_every_length_that_repeat_themselves(tmp_path, length):
    """Each code is the one that is only being added: a byte, two, three, ... of the same kind."""
    codes = [256, 65, *range(258, 258 + length)]
    size = sum(range(1, length + 2))
    pixels = np.full((1, size), 65, "u1")
    tiff = strips(pixels)
    tiff.tags[259] = (SHORT, [5])
    tiff.chunks = [packed([*codes, 257])]
    ours, libtiffs = both_ways(tiff.write(tmp_path / "x.tif"))
    assert ours == libtiffs == pixels.tobytes()


LETTERS = list(range(65, 91))

# All have enough codes behind the bad one to fill 200 pixels: whoever goes on succeeds.
BAD_CODES = {
    "behind the table": [256, 65, 66, 300, *LETTERS * 10],
    "two behind the table": [256, 65, 260, *LETTERS * 10],
    "first is a string": [256, 258, *LETTERS * 10],
    "first behind a clear code is a string": [256, *LETTERS, 256, 262, *LETTERS * 10],
    "first behind a clear code ends": [256, *LETTERS, 256, 257, *LETTERS * 10],
    "ends before the pixels do": [256, *LETTERS, 257, *LETTERS * 10],
    "ends at once": [256, 257, *LETTERS * 10],
}


@pytest.mark.parametrize("name", BAD_CODES)
def test_codes_that_cannot_be_are_not_looked_up(tmp_path, name):
    """Whatever a file before it has left in the table of strings; what libtiff says counts."""
    random = np.random.default_rng(1).integers(0, 256, 3000, np.uint8)[None]
    before, bad = strips(random), strips(np.zeros((1, 200), "u1"))
    before.chunks = [packed([256, *random.tobytes(), 257])]
    bad.chunks = [packed(BAD_CODES[name])]
    for tiff, file in ((before, "before"), (bad, "bad")):
        tiff.tags[259] = (SHORT, [5])
        tiff.write(tmp_path / f"{file}.tif")
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    files = [(0, bytes(tmp_path), f"{file}\0".encode()) for file in ("before", "bad", "before")]
    (first, found, last), buffer = encode_batch(encoder, files, np.full(1 << 16, 0xAA, np.uint8))
    for start, stop, *_ in (first, last):
        assert buffer[start:stop].tobytes() == value_of({"A": random})
    (_, libtiffs) = both_ways(tmp_path / "bad.tif")
    assert isinstance(libtiffs, PatchError)
    assert isinstance(found, PatchError)
    assert found.reason == libtiffs.reason


# ---- headers ---------------------------------------------------------------------------


def test_two_formats_with_more_shapes_than_headers_are_kept(tmp_path):
    """The header of the one is thrown away while the other learns shapes; then it is asked for."""
    encoder = _tiff.Encoder([[["A"]], [["B"], ["C"]]], [".tif"])
    shapes = [(height, width) for height in range(1, 18) for width in range(1, 18)]
    assert len(shapes) > 256 + 20
    for height, width in shapes:
        strips(ramp(height, width)).write(tmp_path / f"{height}-{width}.tif")
    first = (0, bytes(tmp_path), b"3-5\0")
    expected = value_of({"A": ramp(3, 5)})
    buffer = np.empty(1 << 16, np.uint8)

    def encode(patch):
        (result,), needed = encoder.encode([patch], buffer)
        assert needed == 0
        return buffer[result[0] : result[1]].tobytes()

    for _ in range(2):
        assert encode(first) == expected
        for height, width in shapes:
            name = f"{height}-{width}\0".encode()
            value = value_of({"B": ramp(height, width), "C": ramp(height, width)})
            assert encode((1, bytes(tmp_path), name * 2)) == value
        assert encode(first) == expected


def test_shapes_change_between_formats_of_one_batch(tmp_path):
    """More shapes than headers are kept, of both formats in turn, in one call."""
    encoder = _tiff.Encoder([[["A"]], [["B"]]], [".tif"])
    files, expected = [], []
    for number in range(300):
        pixels = ramp(1 + number // 20, 1 + number % 20)
        strips(pixels).write(tmp_path / f"{number}.tif")
        for index, band in enumerate("AB"):
            files.append((index, bytes(tmp_path), f"{number}\0".encode()))
            expected.append(value_of({band: pixels}))
    results, buffer = encode_batch(encoder, files * 2, np.empty(1 << 10, np.uint8))
    found = [buffer[start:stop].tobytes() for start, stop, *_ in results]
    assert found == expected * 2
