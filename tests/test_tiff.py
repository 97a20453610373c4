"""The compiled module: pixels against rasterio and tifffile, values against safetensors."""

import csv
import errno
import hashlib
import os
import re
import struct
import threading
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
import safetensors.numpy
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles import our_bands, our_value, rasterio_bands, value_of
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.errors import PatchError
from rs_tensor_encoder.storage.digest_file import digest_of
from tiff_factory import ASCII, LONG, SHORT, ramp, strips

# The files that tests write lie nowhere on Earth.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

DTYPES = {
    "U8": "u1", "I8": "i1", "I16": "i2", "U16": "u2", "F16": "f2", "I32": "i4", "U32": "u4",
    "F32": "f4", "F64": "f8", "I64": "i8", "U64": "u8",
}  # fmt: skip

# Names as libtiff prints them, and as tifffile takes them.
CODECS = {
    "None": None,
    "PackBits": "packbits",
    "LZW": "lzw",
    "AdobeDeflate": "adobe_deflate",
    "Deflate": "deflate",
    "ZSTD": "zstd",
    "LZMA": "lzma",
    "LERC": "lerc",
}


def test_versions_name_libraries_and_codecs():
    found = _tiff.versions()
    assert found["libtiff"].count(".") == 2
    assert found["libdeflate"]
    assert {"None", "LZW", "AdobeDeflate"} <= set(found["codecs"])


# ---- headers ----------------------------------------------------------------


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.integers(1, 9), st.integers(1, 9)),
        min_size=1,
        max_size=12,
    )
)
def test_header_is_the_one_that_safetensors_writes(tensors):
    text, offsets, size = _tiff.header([(name, *spec) for name, spec in tensors.items()])
    arrays = {
        name: np.full((rows, columns), index, DTYPES[dtype])
        for index, (name, (dtype, rows, columns)) in enumerate(tensors.items())
    }
    body = bytearray(size)
    for offset, array in zip(offsets, arrays.values(), strict=True):
        body[offset : offset + array.nbytes] = array.tobytes()
    assert text + body == value_of(arrays)


# ---- variants ---------------------------------------------------------------


@st.composite
def variants(draw):
    """Arguments of tifffile.imwrite, for every kind of file that we read."""
    dtype = np.dtype(draw(st.sampled_from(sorted(DTYPES.values()))))
    codec = draw(st.sampled_from([c for n, c in CODECS.items() if n in _tiff.versions()["codecs"]]))
    bands = draw(st.sampled_from([1, 1, 2, 3, 4, 7]))
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    planar = draw(st.sampled_from(["contig", "separate"])) if bands > 1 else None
    predictors = [1]
    if codec not in (None, "packbits", "lerc"):
        predictors.append(3 if dtype.kind == "f" else 2)
    if codec == "lerc" and ((dtype.itemsize == 8 and dtype.kind != "f") or dtype == "f2"):
        codec = None
    seed = draw(st.integers(0, 2**32 - 1))
    shape = {
        None: (height, width),
        "contig": (height, width, bands),
        "separate": (bands, height, width),
    }[planar]
    random = np.random.default_rng(seed)
    smooth = np.cumsum(random.integers(-3, 4, shape), axis=-1 if planar != "contig" else 1)
    options = {
        "data": smooth.astype(dtype),
        "photometric": "minisblack",
        "planarconfig": planar,
        "compression": codec,
        "predictor": draw(st.sampled_from(predictors)),
        "byteorder": "<" if codec == "lerc" else draw(st.sampled_from("<>")),
        "bigtiff": draw(st.booleans()),
        "metadata": None,
    }
    if draw(st.booleans()):
        options["tile"] = (16 * draw(st.integers(1, 5)), 16 * draw(st.integers(1, 5)))
    else:
        options["rowsperstrip"] = draw(st.integers(1, height))
    return bands, options


@settings(
    max_examples=int(os.environ.get("RS_TENSOR_EXAMPLES", "400")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(variants())
def test_variants_decode_to_what_others_read(tmp_path, variant):
    bands, options = variant
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, **options)
    pixels = options["data"]
    if options["planarconfig"] == "contig":
        pixels = pixels.transpose(2, 0, 1)
    pixels = pixels.reshape(bands, *pixels.shape[-2:])
    assert our_value(path, bands) == value_of({f"B{i + 1}": b for i, b in enumerate(pixels)})
    # GDAL before 3.11 knows no 16-bit floats, and rasterio 1.4 no 8-bit signed tags of old.
    read = rasterio_bands(path)
    assert np.array_equal(read.astype(pixels.dtype), pixels)


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_decodes(tmp_path, codec):
    if codec not in _tiff.versions()["codecs"]:
        pytest.skip(f"libtiff was compiled without {codec}")
    path = tmp_path / "x.tif"
    pixels = ramp(50, 40)
    tifffile.imwrite(path, pixels, compression=CODECS[codec], rowsperstrip=16)
    assert np.array_equal(our_bands(path)[0], pixels)


def test_nan_payloads_are_kept(tmp_path):
    bits = np.array([[0x7FC00001, 0xFFC12345], [0x7F800001, 0x80000000]], "u4")
    path = strips(bits.view("f4")).write(tmp_path / "x.tif")
    assert our_bands(path)[0].view("u4").tolist() == bits.tolist()


@pytest.mark.parametrize("photometric", [0, 1, 3])
def test_grey_and_palette_images_keep_their_numbers(tmp_path, photometric):
    tiff = strips(ramp(4, 5, "u1"))
    tiff.tags[262] = (SHORT, [photometric])
    if photometric == 3:
        tiff.tags[320] = (SHORT, list(range(768)))
    path = tiff.write(tmp_path / "x.tif")
    assert np.array_equal(our_bands(path), rasterio_bands(path))


def test_reversed_fill_order(tmp_path):
    for compress in (False, True):
        tiff = strips(ramp(9, 7), 4, compress=compress)
        table = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
        tiff.chunks = [chunk.translate(table) for chunk in tiff.chunks]
        tiff.tags[266] = (SHORT, [2])
        path = tiff.write(tmp_path / "x.tif")
        assert np.array_equal(our_bands(path), rasterio_bands(path))


def test_last_strip_stored_with_all_its_rows(tmp_path):
    pixels = ramp(10, 6)
    for fill_order in (1, 2):
        tiff = strips(pixels, 4, compress=True)
        padded = np.zeros((4, 6), "<u2")
        padded[:2] = pixels[8:]
        tiff.chunks[-1] = zlib.compress(padded.tobytes())
        if fill_order == 2:
            table = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
            tiff.chunks = [chunk.translate(table) for chunk in tiff.chunks]
        tiff.tags[266] = (SHORT, [fill_order])
        assert np.array_equal(our_bands(tiff.write(tmp_path / "x.tif"))[0], pixels)


def test_uncompressed_strips_without_byte_counts(tmp_path):
    tiff = strips(ramp(8, 8), 3)
    tiff.tags[279] = None
    # The factory computes offsets from the chunks all the same.
    assert np.array_equal(our_bands(tiff.write(tmp_path / "x.tif"))[0], ramp(8, 8))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0, 7, -5, 70000, 3.5, float("nan")])
@pytest.mark.parametrize("tiled", [False, True])
def test_sparse_chunks_are_filled_as_gdal_does(tmp_path, dtype, nodata, tiled):
    path = tmp_path / "x.tif"
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {"blockysize": 16}
    profile = {
        "driver": "GTiff", "width": 40, "height": 40, "count": 2, "dtype": dtype,
        "sparse_ok": True, "interleave": "band", **layout,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        window = rasterio.windows.Window(0, 0, 40, 16)
        file.write(np.full((16, 40), 9, dtype), 1, window=window)
    if nodata is not None:
        tiff = path.read_bytes()
        path.write_bytes(_with_nodata(tiff, str(nodata)))
    read = rasterio_bands(path)
    ours = our_bands(path, 2)
    assert np.array_equal(ours, read, equal_nan=ours.dtype.kind == "f")


def _with_nodata(data, text):
    """Append a copy of the first directory that has GDAL's nodata tag, too."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [data[at + 2 + 12 * i :][:12] for i in range(count)]
    value = text.encode() + b"\0"
    if len(value) <= 4:
        tag = struct.pack("<HHI", 42113, ASCII, len(value)) + value.ljust(4, b"\0")
    else:
        tag = struct.pack("<HHII", 42113, ASCII, len(value), len(data))
        data += value
    data += b"\0" * (len(data) % 2)
    directory = struct.pack("<H", count + 1) + b"".join([*entries, tag]) + b"\0\0\0\0"
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def test_overviews_and_masks_are_ignored(tmp_path):
    path = tmp_path / "x.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16"}
        with rasterio.open(path, "w", **profile, tiled=True, blockxsize=16, blockysize=16) as file:
            file.write(ramp(64, 64), 1)
            file.write_mask(np.eye(64, dtype=bool))
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) > 2
    assert np.array_equal(our_bands(path)[0], ramp(64, 64))


def test_every_real_sample_equals_rasterio(samples):
    paths = sorted(p for p in samples.rglob("*") if p.suffix.lower() == ".tif")
    assert len(paths) > 40
    for path in paths:
        pixels = rasterio_bands(path)
        expected = value_of({f"B{i + 1}": band for i, band in enumerate(pixels)})
        assert our_value(path, len(pixels)) == expected, path


# ---- refusals ---------------------------------------------------------------


def _changed(**tags):
    """A good file with some tags changed: tag_258=(type, values), or None to leave it out."""
    tiff = strips(ramp(), 8)
    tiff.tags |= {int(name[4:]): value for name, value in tags.items()}
    return tiff


REFUSED = {
    "1-bit": (_changed(tag_258=(SHORT, [1])), "samples of 1 bits"),
    "12-bit": (_changed(tag_258=(SHORT, [12])), "samples of 12 bits"),
    "24-bit-float": (
        _changed(tag_258=(SHORT, [24]), tag_339=(SHORT, [3])),
        "floating-point samples of 24 bits",
    ),
    "complex": (_changed(tag_258=(SHORT, [64]), tag_339=(SHORT, [6])), "sample format 6"),
    "mixed-depths": (
        _changed(tag_258=(SHORT, [16, 8]), tag_277=(SHORT, [2])),
        "BitsPerSample differs",
    ),
    "few-depths": (
        _changed(tag_258=(SHORT, [16, 16]), tag_277=(SHORT, [3])),
        "BitsPerSample has 2 values for 3 bands",
    ),
    "mixed-formats": (
        _changed(tag_339=(SHORT, [1, 2]), tag_277=(SHORT, [2])),
        "SampleFormat differs",
    ),
    "old-jpeg": (_changed(tag_259=(SHORT, [6])), "old-style JPEG"),
    "unknown-codec": (_changed(tag_259=(SHORT, [60000])), "compression 60000"),
    "ycbcr": (_changed(tag_262=(SHORT, [6])), "YCbCr"),
    "cmyk": (_changed(tag_262=(SHORT, [5]), tag_258=(SHORT, [8])), "CMYK"),
    "lab": (_changed(tag_262=(SHORT, [8])), "L*a*b*"),
    "logluv": (_changed(tag_262=(SHORT, [32845])), "LogLuv"),
    "no-size": (_changed(tag_256=None), "no pixels"),
    "no-strips": (_changed(tag_273=(LONG, [])), "the tag 273 has no values"),
    "no-tiles": (_changed(tag_324=(LONG, [])), "the tag 324 has no values"),
    "strips-and-tiles": (_changed(tag_324=(LONG, [200])), "a table of strips and one of tiles"),
    "few-strips": (_changed(tag_278=(LONG, [1])), "needs 20 strips or tiles, the file lists 3"),
    "no-rows": (_changed(tag_278=(LONG, [0])), "RowsPerStrip is 0"),
    "short-strip": (_changed(tag_279=(LONG, [384, 100, 192])), "has 100 bytes, not the 384"),
    "offset-outside": (_changed(tag_273=(LONG, [200, 1 << 31, 300])), "not inside the file"),
    "offset-0": (_changed(tag_273=(LONG, [0, 200, 300])), "(384), but its offset is 0"),
    "offset-7": (_changed(tag_273=(LONG, [7, 200, 300])), "not inside the file"),
    "count-0": (_changed(tag_279=(LONG, [384, 0, 192])), "but its byte count is 0"),
    "count-outside": (
        _changed(tag_279=(LONG, [384, 0xFFFFFFFF, 192])),
        "not inside the file",
    ),
    "huge": (
        _changed(tag_256=(LONG, [0xFFFFFFFF]), tag_257=(LONG, [0xFFFFFFFF])),
        "would take more than",
    ),
    "huge-tile": (
        _changed(tag_322=(LONG, [0xFFFFFFFF]), tag_323=(LONG, [0xFFFFFFFF])),
        "would take more than",
    ),
    "planar-3": (_changed(tag_284=(SHORT, [3])), "PlanarConfiguration is 3"),
    "bad-type": (_changed(tag_256=(ASCII, b"24\0")), "ImageWidth has the field type 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(tmp_path, capfd, name):
    tiff, reason = REFUSED[name]
    bands = tiff.tags[277][1][0]
    path = tiff.write(tmp_path / "x.tif")
    with pytest.raises(PatchError) as caught:
        our_value(path, bands)
    assert reason in caught.value.reason
    assert caught.value.path == str(path)
    # libtiff prints by default; nothing of that may reach the user.
    assert capfd.readouterr() == ("", "")


def test_predictor_that_does_not_fit_the_samples(tmp_path):
    tiff = strips(ramp(), compress=True)
    tiff.tags[317] = (SHORT, [3])
    with pytest.raises(PatchError, match="predictor 3 is not supported"):
        our_value(tiff.write(tmp_path / "x.tif"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a TIFF file at all, but a text", "not a TIFF file"),
        (b"II*\0", "not a TIFF file"),
        (b"II*\0\x00\x10\x00\x00" + b"\0" * 50, "cut short or damaged"),
        (b"II*\0\x08\x00\x00\x00\x00\x00" + b"\0" * 8, "a directory has 0 entries"),
    ],
)
def test_files_that_are_no_tiff(tmp_path, data, reason):
    path = tmp_path / "x.tif"
    path.write_bytes(data)
    with pytest.raises(PatchError, match=reason):
        our_value(path)


def test_more_than_one_image(tmp_path):
    tiff = strips(ramp())
    tiff.pages = [(tiff.tags, tiff.chunks)]
    with pytest.raises(PatchError, match="more than one image"):
        our_value(tiff.write(tmp_path / "x.tif"))


def test_pages_that_lead_back_to_each_other(tmp_path):
    tiff = strips(ramp())
    reduced = tiff.tags | {254: (LONG, [1])}
    tiff.pages = [(reduced, tiff.chunks), (reduced, tiff.chunks)]
    data = bytearray(tiff.data())
    # The last page's link, which is 0, is made to lead to the page before it.
    places, at = [], 8
    while at:
        places.append(at)
        (count,) = struct.unpack_from("<H", data, at)
        link = at + 2 + 12 * count
        (at,) = struct.unpack_from("<I", data, link)
    struct.pack_into("<I", data, link, places[1])
    path = tmp_path / "x.tif"
    path.write_bytes(data)
    with pytest.raises(PatchError, match="more than 1024 pages"):
        our_value(path)


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation_is_noticed(tmp_path, compress):
    data = strips(ramp(), 6, compress=compress).data()
    path = tmp_path / "x.tif"
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        with pytest.raises(PatchError) as caught:
            our_value(path)
        # What was cut short is the reason, nothing of the system, and not the bands.
        assert caught.value.errno == 0
        assert "bands" not in caught.value.reason


def test_no_flipped_bit_in_deflate_strips_changes_a_pixel(tmp_path):
    tiff = strips(ramp(), 6, compress=True)
    data = tiff.data()
    begin = len(data) - sum(map(len, tiff.chunks))
    path = tmp_path / "x.tif"
    harmless = 0
    for bit in range(8 * begin, 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            # The bits between the end of the stream and its checksum have no meaning.
            assert np.array_equal(our_bands(path)[0], ramp())
            harmless += 1
        except PatchError as error:
            assert "strip or tile" in error.reason
    assert harmless < 20


def test_deflate_strips_of_the_wrong_length(tmp_path):
    path = tmp_path / "x.tif"
    for strip, reason in [
        (zlib.compress(bytes(100)), "decodes to 100 bytes"),
        (zlib.compress(bytes(10000)), "decodes to more than"),
        (zlib.compress(bytes(288)) + b"junk", "of which its deflate data take only"),
    ]:
        tiff = strips(ramp(), 6, compress=True)
        tiff.chunks[1] = strip
        with pytest.raises(PatchError, match=reason):
            our_value(tiff.write(path))


def test_wrong_number_of_bands(tmp_path):
    path = strips(ramp()).write(tmp_path / "x.tif")
    with pytest.raises(PatchError, match="the file has 1 bands, not 3"):
        our_value(path, 3)


def test_limit_on_size(tmp_path):
    path = strips(ramp(100, 100)).write(tmp_path / "x.tif")
    assert our_value(path, limit=30000)
    with pytest.raises(PatchError, match="would take more than 19999 bytes"):
        our_value(strips(ramp(100, 100), compress=True).write(path), limit=19999)


def test_missing_directory_pipe_and_file(tmp_path):
    (tmp_path / "directory.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    for name, reason in [
        ("directory.tif", "not a regular file"),
        ("pipe.tif", "not a regular file"),
        ("missing.tif", "there is no such file"),
        ("no/x.tif", "there is no such file"),
    ]:
        with pytest.raises(PatchError, match=reason):
            our_value(tmp_path / name)


# ---- batches ----------------------------------------------------------------


def test_extensions_are_tried_in_turn(tmp_path):
    encoder = _tiff.Encoder([[["A"], ["B"]]], [".tif", ".TIF", ".tiff"])
    strips(ramp()).write(tmp_path / "a.tiff")
    strips(ramp()).write(tmp_path / "b.TIF")
    (result,), needed = encoder.encode(
        [(0, bytes(tmp_path), b"a\0b\0")], np.empty(1 << 16, np.uint8)
    )
    assert not isinstance(result, PatchError)
    assert needed == 0


def test_a_batch_goes_on_behind_a_failure_and_stops_where_room_ends(tmp_path):
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    for index in range(4):
        strips(ramp() + index).write(tmp_path / f"{index}.tif")
    files = [(0, bytes(tmp_path), f"{name}\0".encode()) for name in ("0", "x", "1", "2", "3")]
    out = np.zeros(3300, np.uint8)
    results, needed = encoder.encode(files, out)
    assert [isinstance(result, PatchError) for result in results] == [False, True, False, False]
    assert needed > len(out)
    larger = np.zeros(needed, np.uint8)
    (last,), needed = encoder.encode(files[4:], larger)
    assert needed == 0
    slices = [out[r[0] : r[1]] for r in results if not isinstance(r, PatchError)]
    for index, value in enumerate([*slices, larger[last[0] : last[1]]]):
        assert np.array_equal(safetensors.numpy.load(value.tobytes())["A"], ramp() + index)
    assert all(result[0] % 64 == 0 for result in results if not isinstance(result, PatchError))


def test_shapes_may_change_from_patch_to_patch(tmp_path):
    encoder = _tiff.Encoder([[["A"], ["B"]]], [".tif"])
    out = np.empty(1 << 22, np.uint8)
    shapes = [(h, w) for h in range(1, 20) for w in range(1, 20)]
    files = []
    for h, w in shapes:
        strips(ramp(h, w)).write(tmp_path / f"a{h}-{w}.tif")
        strips(ramp(w, h, "f4")).write(tmp_path / f"b{h}-{w}.tif")
        files.append((0, bytes(tmp_path), f"a{h}-{w}\0b{h}-{w}\0".encode()))
    for _ in range(2):
        results, _ = encoder.encode(files, out)
        for (h, w), (start, stop, header, _, digest) in zip(shapes, results, strict=True):
            value = out[start:stop].tobytes()
            assert value == value_of({"A": ramp(h, w), "B": ramp(w, h, "f4")})
            assert value.startswith(header)
            assert digest == digest_of(value)


def test_formats_of_a_batch_may_differ(tmp_path):
    encoder = _tiff.Encoder([[["A"]], [["B"], ["C"]]], [".tif"])
    strips(ramp()).write(tmp_path / "x.tif")
    out = np.empty(1 << 16, np.uint8)
    files = [(0, bytes(tmp_path), b"x\0"), (1, bytes(tmp_path), b"x\0x\0")] * 3
    results, _ = encoder.encode(files, out)
    names = [sorted(safetensors.numpy.load(out[r[0] : r[1]].tobytes())) for r in results]
    assert names == [["A"], ["B", "C"]] * 3


def test_wrong_use_is_refused():
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    out = np.empty(64, np.uint8)
    for use in (partial(encoder.encode, out=out), encoder.marks):
        for number in (1, -1):
            with pytest.raises(IndexError, match=f"no format {number}"):
                use([(number, b"/", b"x\0")])
        for names in (b"", b"x", b"x\0y", b"x\0y\0"):
            with pytest.raises(ValueError, match="has 1 files, not b'"):
                use([(0, b"/", b"x\0"), (0, b"/", names)])
    with pytest.raises(ValueError, match="extensions"):
        _tiff.Encoder([[["A"]]], [])
    assert encoder.encode([], out) == ([], 0)


def test_no_descriptor_is_left_open(tmp_path):
    good = strips(ramp()).write(tmp_path / "good.tif")
    tifffile.imwrite(tmp_path / "lzw.tif", ramp(), compression="lzw")
    bad = tmp_path / "bad.tif"
    bad.write_bytes(good.read_bytes()[:-5])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        our_value(good)
        our_value(tmp_path / "lzw.tif")
        with pytest.raises(PatchError):
            our_value(bad)
    assert len(os.listdir("/proc/self/fd")) == before


# ---- the corpus -------------------------------------------------------------

# GDAL before 3.11 widens 16-bit floats; we keep them, as tifffile does.
_HALVES = {
    "image-tiff/tests/images/random-fp16-pred3.tiff",
    "image-tiff/tests/images/random-fp16.tiff",
}

# Why we refuse files that rasterio reads: what our error says, and what GDAL does instead.
_REFUSED_THOUGH_GDAL_READS = {
    "samples of [0-9]+ bits are not supported": "widens samples of 1 to 15 bits to bytes or words",
    "YCbCr images": "converts to RGB",
    "CMYK images": "converts to RGBA",
    r"L\*a\*b\* images": "converts to RGB",
    "LogL and LogLuv images": "converts to 32-bit floats",
    "more than one image in the file": "shows the first alone, the others as datasets of their own",
    "strip or tile [0-9]+ has [0-9]+ bytes, not the": "reads beyond an uncompressed strip's end",
}


def test_the_corpus_decodes_as_in_rasterio_or_is_refused(corpus, capfd):
    with open(corpus / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    equal = refused = 0
    decoded = set()
    for row in rows:
        path = Path(corpus / row["path"])
        try:
            pixels = _corpus_bands(path, int(row["bands"] or 1))
        except PatchError as error:
            refused += 1
            assert error.reason
            assert row["rasterio"] != "ok" or any(
                re.search(known, error.reason) for known in _REFUSED_THOUGH_GDAL_READS
            ), (row["path"], error.reason)
            continue
        digest = hashlib.sha256(pixels.dtype.str.encode())
        digest.update(str(pixels.shape).encode())
        digest.update(pixels.tobytes())
        column = "t" if row["path"] in _HALVES else "r"
        assert digest.hexdigest() == row[f"{column}_pixels_sha256"], row["path"]
        equal += 1
        decoded.add(path.name)
    assert equal > 250
    # LZW of the old style is no damage, and CMYK of 16 bits is not converted by GDAL either.
    assert {"quad-lzw.tif", "flower-separated-contig-16.tif"} <= decoded
    assert equal + refused == len(rows)
    assert capfd.readouterr() == ("", "")


def _corpus_bands(path, bands):
    encoder = _tiff.Encoder([[[f"B{i}" for i in range(bands)]]], ["", ".tif"])
    out = np.full(1 << 24, 0xAA, np.uint8)
    files = [(0, bytes(path.parent), path.name.encode() + b"\0")]
    (result,), needed = encoder.encode(files, out)
    assert needed == 0
    if isinstance(result, PatchError):
        raise result
    found = safetensors.numpy.load(out[result[0] : result[1]].tobytes())
    return np.stack([found[f"B{i}"] for i in range(bands)])


# ---- files that change ------------------------------------------------------


def one_band(directory, name=b"x"):
    return _tiff.Encoder([[["A"]]], [".tif", ".TIF"]), [(0, bytes(directory), name + b"\0")]


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "x.tif"
    strips(ramp(4000, 4000)).write(path)
    encoder, files = one_band(tmp_path)
    out = np.empty(33 << 20, np.uint8)
    assert isinstance(encoder.encode(files, out)[0][0], tuple)
    stop = threading.Event()

    def touch():
        while not stop.is_set():
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        # Each time the system's clock ticks while it is read; it may take several to meet that.
        for _ in range(500):
            (result,), _ = encoder.encode(files, out)
            if isinstance(result, PatchError):
                break
    finally:
        stop.set()
        thread.join()
    assert str(result) == f"{path}: the file changed while it was read"
    assert isinstance(encoder.encode(files, out)[0][0], tuple)


def test_marks_are_those_of_the_files_that_were_read(tmp_path):
    path = tmp_path / "x.tif"
    strips(ramp()).write(path)
    encoder, files = one_band(tmp_path)
    seen = set()

    def mark():
        (result,), _ = encoder.encode(files, np.empty(1 << 16, np.uint8))
        assert encoder.marks(files) == [result[3]]
        return result[3]

    seen.add(mark())
    assert mark() in seen
    path.read_bytes()
    assert mark() in seen
    stat = path.stat()
    for change in (1, -1, 10**9, -(10**9), 1 << 32):
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + change))
        seen.add(mark())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert mark() in seen
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen.add(mark())
    path.rename(path.with_suffix(".TIF"))
    seen.add(mark())
    assert len(seen) == 8


def test_marks_of_files_that_are_not_there(tmp_path):
    encoder, files = one_band(tmp_path)
    (missing,) = encoder.marks(files)
    assert str(missing) == f"{tmp_path}/x.tif: there is no such file"
    (nowhere,) = encoder.marks([(0, bytes(tmp_path / "y"), b"x\0")])
    assert nowhere.errno == errno.ENOENT
    (tmp_path / "file").touch()
    (strange,) = encoder.marks([(0, bytes(tmp_path / "file"), b"x\0")])
    assert strange.errno == errno.ENOTDIR
    with pytest.raises(ValueError, match="has 1 files"):
        encoder.marks([(0, b".", b"x")])


def test_a_value_that_lmdb_would_not_take(tmp_path):
    # Nothing of it is in the file: it costs nothing to claim it.
    tiff = strips(np.zeros((4, 4), "u1"))
    tiff.tags[256] = (LONG, [1 << 16])
    tiff.tags[257] = (LONG, [1 << 15])
    tiff.tags[278] = (LONG, [1 << 15])
    tiff.chunks = [b""]
    for name in "abc":
        tiff.write(tmp_path / f"{name}.tif")
    encoder = _tiff.Encoder([[["A"], ["B"], ["C"]]], [".tif"], 1 << 32)
    files = [(0, bytes(tmp_path), b"a\0b\0c\0")]
    (result,), needed = encoder.encode(files, np.empty(1 << 16, np.uint8))
    assert needed == 0
    assert "its value would take 6442451" in result.reason
    assert "LMDB takes 4294967295 at most" in result.reason
    assert result.path == str(tmp_path)


@pytest.mark.parametrize("length", [1019, 1020])
def test_names_are_not_cut(tmp_path, length):
    """1,023 bytes with the extension are taken; of a longer one, what is cut off is not read."""
    deep = "/".join(["d" * 200] * 5)
    name = f"{deep}/{'p' * (length - len(deep) - 1)}"
    (tmp_path / deep).mkdir(parents=True)
    image = strips(ramp())
    image.write(tmp_path / f"{name}.tif")
    image.write(tmp_path / f"{name}.ti")
    encoder = _tiff.Encoder([[["A"]]], [".tif"])
    patch = (0, bytes(tmp_path), name.encode() + b"\0")
    results, _ = encoder.encode([patch], np.empty(1 << 16, np.uint8))
    marks = encoder.marks([patch])
    if length == 1019:
        assert results[0][3] == marks[0]
        return
    for result in (results[0], marks[0]):
        assert isinstance(result, PatchError)
        assert result.errno == errno.ENAMETOOLONG
        assert result.path.startswith(f"{tmp_path}/{deep}/ppp")
        assert "File name too long" in result.reason
