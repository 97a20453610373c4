"""Files of every storage that encode accepts, several hundred, for the checker's decoders.

Most are put together byte by byte from a random choice of sample type, codec, predictor, byte
order and so on; what only GDAL writes, rasterio writes.
"""

import random
import struct
import warnings
import zlib
from typing import NamedTuple

import imagecodecs
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from rs_tensor_encoder import _tiff
from tiff_factory import ASCII, LONG, SHORT, Tiff

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]

#: Texts of nodata; some that not all types can hold, some that are no decimal numbers.
TEXTS = [
    None, "0", "7", "-1", "-9999", "70000", "1.5", "7,5", "1e3", "65536", "nan", "-nan", "NaN",
    "inf", "-inf", "0x10", " 3", "3abc", "", "abc", "9007199254740993", "18446744073709551615",
    "-32768", "255", "1e400", "1.#QNAN",
]  # fmt: skip

#: Number of Compression, name as libtiff prints it, compressor of bytes.
CODECS = {
    "none": (1, "None", bytes),
    "deflate": (8, "AdobeDeflate", zlib.compress),
    "old-deflate": (32946, "Deflate", zlib.compress),
    "lzw": (5, "LZW", imagecodecs.lzw_encode),
    "packbits": (32773, "PackBits", None),
    "zstd": (50000, "ZSTD", imagecodecs.zstd_encode),
    "lzma": (34925, "LZMA", imagecodecs.lzma_encode),
}
# Codecs with which libtiff undoes a predictor; with the others it ignores the tag.
PREDICTED = ("deflate", "old-deflate", "lzw", "zstd", "lzma")


class Stored(NamedTuple):
    """A file by its name, and how many bands it has."""

    name: str
    bands: int


def available():
    """Names of the codecs that the libtiff at hand was compiled with."""
    configured = _tiff.versions()["codecs"]
    return [name for name, (_, title, _) in CODECS.items() if title in configured]


def pixels_of(dtype, bands, height, width, chance):
    """Pixels that hardly repeat, with NaN and infinity where the type has them."""
    generator = np.random.default_rng(chance.randrange(1 << 32))
    pixels = generator.integers(0, 256, (bands, height, width, np.dtype(dtype).itemsize), "u1")
    if np.dtype(dtype).kind != "f":
        return pixels.view(dtype)[..., 0]
    pixels = generator.normal(0, 300, (bands, height, width)).astype(dtype)
    pixels[0, 0, :2] = np.nan, np.inf
    return pixels


def raw(
    pixels, codec="none", *, chunk=None, planar=False, order="<", big=False, predictor=1,
    fill_order=1, whole_last=False, sparse=0.0, nodata=None, chance=None,
):  # fmt: skip
    """A file of 3-D pixels, each strip or tile compressed on its own.

    ``chunk`` is the rows of a strip, or rows and columns of a tile; ``sparse`` how many of the
    strips or tiles are left out, of 1. A last strip is stored with all its rows if ``whole_last``.
    """
    bands, height, width = pixels.shape
    tiled = isinstance(chunk, tuple)
    rows, columns = chunk if tiled else (chunk or height, width)
    chunks = []
    for plane in pixels[:, None] if planar else pixels[None]:
        for y in range(0, height, rows):
            for x in range(0, width, columns):
                part = plane[:, y : y + rows, x : x + columns]
                if tiled or whole_last:
                    padding = (rows - part.shape[1], columns - part.shape[2])
                    part = np.pad(part, ((0, 0), (0, padding[0]), (0, padding[1])))
                samples = np.ascontiguousarray(part.transpose(1, 2, 0))
                chunks.append(_compressed(samples, codec, order, predictor))
    if fill_order == 2:
        chunks = [imagecodecs.bitorder_encode(stored) for stored in chunks]
    if sparse:
        gone = [i for i in range(len(chunks)) if chance.random() < sparse] or [len(chunks) - 1]
        chunks = [b"" if i in gone else stored for i, stored in enumerate(chunks)]
    tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [pixels.dtype.itemsize * 8] * bands),
        259: (SHORT, [CODECS[codec][0]]),
        262: (SHORT, [1]),
        266: (SHORT, [fill_order]),
        277: (SHORT, [bands]),
        284: (SHORT, [2 if planar else 1]),
        339: (SHORT, [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * bands),
        **({322: (LONG, [columns]), 323: (LONG, [rows])} if tiled else {278: (LONG, [rows])}),
    }
    if bands > 1:
        tags[338] = (SHORT, [0] * (bands - 1))
    if predictor != 1:
        tags[317] = (SHORT, [predictor])
    if nodata is not None:
        tags[42113] = (ASCII, nodata.encode() + b"\0")
    return Tiff(tags, chunks, order, big)


def _compressed(samples, codec, order, predictor):
    """Bytes of a strip or tile of (rows, columns, samples)."""
    if codec not in PREDICTED:
        predictor = 1
    if predictor == 2:
        bits = samples.view(f"u{samples.dtype.itemsize}")
        samples = np.diff(bits, axis=1, prepend=np.zeros_like(bits[:, :1]))
    if predictor == 3:
        encoded = [_floating(row) for row in samples]
        data = b"".join(encoded)
    else:
        data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    if codec == "packbits":
        # Each row on its own, as TIFF asks for.
        pitch = len(data) // len(samples)
        rows = [data[i : i + pitch] for i in range(0, len(data), pitch)]
        return b"".join(bytes(imagecodecs.packbits_encode(row)) for row in rows)
    return bytes(CODECS[codec][2](data))


def _floating(row):
    """A row of floats by predictor 3: first all most significant bytes, as differences."""
    itemsize, samples = row.dtype.itemsize, row.shape[1]
    planes = np.frombuffer(row.astype(row.dtype.newbyteorder(">")).tobytes(), "u1")
    planes = planes.reshape(-1, itemsize).T.reshape(-1, samples)
    return np.diff(planes, axis=0, prepend=np.zeros_like(planes[:1])).tobytes()


def _write(path, pixels, **profile):
    """Write a file by rasterio."""
    bands, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=bands,
            dtype=pixels.dtype, **profile,
        ) as file:  # fmt: skip
            file.write(pixels)


def write_chance(root, count, seed):
    """Write files whose storage is chosen at random; yield each."""
    chance = random.Random(seed)
    codecs = available()
    for index in range(count):
        dtype = TYPES[index % len(TYPES)]
        codec = codecs[index // len(TYPES) % len(codecs)]
        bands = chance.choice([1, 1, 2, 3, 4])
        height, width = chance.randint(9, 40), chance.randint(9, 40)
        tiled = chance.random() < 0.4
        chunk = (
            (16 * chance.randint(1, 2), 16 * chance.randint(1, 2))
            if tiled
            else chance.randint(1, height)
        )
        predictor = 1
        if chance.random() < 0.5:
            predictor = chance.choice([2, 3]) if dtype[0] == "f" else 2
        sparse = chance.choice([0, 0, 0.3, 1.0])
        options = {
            "chunk": chunk,
            "planar": bands > 1 and chance.random() < 0.5,
            "order": chance.choice("<<>"),
            "big": chance.random() < 0.2,
            "predictor": predictor,
            "fill_order": 2 if chance.random() < 0.15 else 1,
            "whole_last": chance.random() < 0.2,
            "sparse": sparse,
            "nodata": chance.choice(TEXTS),
        }
        pixels = pixels_of(dtype, bands, height, width, chance)
        said = [dtype, codec, *(f"{n}={v}" for n, v in options.items() if v not in (False, None))]
        name = f"c{index:04d}"
        raw(pixels, codec, chance=chance, **options).write(root(bands) / f"{name}.tif")
        yield Stored(name, bands), " ".join(said)


def write_special(root):
    """Write files of kinds that are rare, one by one; yield each."""
    chance = random.Random(7)
    codecs = _tiff.versions()["codecs"]

    def put(name, tiff, bands=1):
        tiff.write(root(bands) / f"{name}.tif")
        return Stored(name, bands), name

    def gdal(name, pixels, **profile):
        _write(root(len(pixels)) / f"{name}.tif", pixels, **profile)
        return Stored(name, len(pixels)), name

    def some(dtype, bands=1, height=24, width=30):
        return pixels_of(dtype, bands, height, width, chance)

    for index, dtype in enumerate(TYPES):
        for tiled in (False, True):
            tiff = raw(some(dtype), chunk=(16, 16) if tiled else 7)
            tiff.tags[325 if tiled else 279] = None
            yield put(f"no-byte-counts-{dtype}-{tiled:d}", tiff)
        for codec in ("none", "packbits"):
            tiff = raw(some(dtype, 2), codec, chunk=7, predictor=2, planar=index % 2 == 1)
            yield put(f"predictor-{codec}-{dtype}", tiff, 2)
        tiff = raw(some(dtype), chunk=24, sparse=1, chance=chance, nodata=TEXTS[index])
        yield put(f"all-sparse-{dtype}", tiff)
        if dtype[0] == "u":
            tiff = raw(some(dtype), "deflate", chunk=7)
            tiff.tags[339] = (SHORT, [4])
            yield put(f"untyped-{dtype}", tiff)
    yield from _odd(put, some, root, chance)
    yield from _lerc(gdal, some, codecs)
    yield from _pictures(gdal, some, codecs)


def _odd(put, some, root, chance):
    # Larger than what libtiff cuts into strips of its own.
    tiff = raw(some("f4", 1, 60, 80), sparse=1, nodata="-1", chance=chance)
    yield put("all-sparse-large", tiff)
    # Longer in front than the pixels that are left out.
    for dtype in ("u1", "f4"):
        with_head = raw(some(dtype), chunk=5, sparse=1, chance=chance)
        with_head.tags[42112] = (ASCII, b"x" * 4000)
        yield put(f"long-head-{dtype}", with_head)
    tiff = raw(some("u2"))
    del tiff.tags[278]
    yield put("no-rows-per-strip", tiff)
    for nodata in ("70000", "-70000", "1.00048828126", "3e-8"):
        tiff = raw(some("f2"), chunk=5, sparse=0.5, nodata=nodata, chance=chance)
        yield put(f"sparse-f2-{nodata}", tiff)
    # Tables of tiles under the names of those of strips, as libtiff allows.
    tiff = raw(some("u2"), "deflate", chunk=(16, 16))
    data = bytearray(tiff.data())
    for here, there in ((324, 273), (325, 279)):
        at = data.index(struct.pack("<HH", here, LONG))
        data[at : at + 2] = struct.pack("<H", there)
    (root(1) / "tiles-as-strips.tif").write_bytes(data)
    yield Stored("tiles-as-strips", 1), "tiles-as-strips"
    for order in "<>":
        # Rows of zeros: all that is left undone shows.
        zeros = np.zeros((3, 25, 33), "u2")
        zeros[:, -1] = 9
        tiff = raw(zeros, "deflate", chunk=8, whole_last=True, order=order, predictor=2)
        yield put(f"whole-last-{ord(order)}", tiff, 3)


def _lerc(gdal, some, codecs):
    if "LERC" not in codecs:
        return
    for codec in ("LERC", "LERC_DEFLATE", "LERC_ZSTD"):
        if codec.endswith("ZSTD") and "ZSTD" not in codecs:
            continue
        for dtype in ("f4", "f8"):
            for bands in (1, 3):
                pixels = some(dtype, bands)
                pixels[:, 3:6, 4:9] = np.nan
                pixels[0, 20, 20] = np.nan
                for interleave in ("band", "pixel"):
                    name = f"{codec}-nan-{dtype}-{bands}-{interleave}".lower()
                    yield gdal(name, pixels, compress=codec, interleave=interleave, blockysize=8)
            name = f"{codec}-tiled-{dtype}".lower()
            yield gdal(name, pixels[:1], compress=codec, tiled=True, blockxsize=16, blockysize=16)
            yield gdal(f"{codec}-whole-{dtype}".lower(), np.nan_to_num(pixels), compress=codec)
        for dtype in ("u1", "i2", "u2", "i4", "u4"):
            yield gdal(f"{codec}-{dtype}".lower(), some(dtype, 2), compress=codec)
        for dtype in ("u1", "u2"):
            alpha = some(dtype, 4)
            alpha[3] = np.where(alpha[3] % 3, np.iinfo(dtype).max, 0)
            for interleave in ("band", "pixel"):
                name = f"{codec}-alpha-{dtype}-{interleave}".lower()
                yield gdal(
                    name, alpha, compress=codec, interleave=interleave, photometric="RGB",
                    alpha="YES",
                )  # fmt: skip
        yield gdal(
            f"{codec}-nodata".lower(), some("f4"), compress=codec, nodata=-9999, blockysize=8
        )
        yield gdal(f"{codec}-lossy".lower(), some("f4"), compress=codec, MAX_Z_ERROR=0.5)


def _pictures(gdal, some, codecs):
    if "JPEG" in codecs:
        for interleave in ("band", "pixel"):
            for tiled in (False, True):
                layout = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
                kinds = [(1, "MINISBLACK"), (3, "RGB"), (4, "RGB")]
                kinds += [(bands, "MINISBLACK") for bands in (2, 3, 4)]
                for bands, photometric in kinds:
                    name = f"jpeg-{interleave}-{tiled:d}-{bands}-{photometric}".lower()
                    yield gdal(
                        name, some("u1", bands), compress="JPEG", interleave=interleave,
                        photometric=photometric, JPEG_QUALITY=80, **layout,
                    )  # fmt: skip
    if "WEBP" in codecs:
        for bands in (3, 4):
            for lossless in ("YES", "NO"):
                pixels = some("u1", bands)
                yield gdal(
                    f"webp-{bands}-{lossless}".lower(), pixels, compress="WEBP",
                    interleave="pixel", WEBP_LOSSLESS=lossless, photometric="RGB",
                )  # fmt: skip
        opaque = some("u1", 4)
        opaque[3] = 255
        yield gdal(
            "webp-opaque", opaque, compress="WEBP", interleave="pixel", WEBP_LOSSLESS="YES",
            photometric="RGB",
        )  # fmt: skip


def sparse_by_gdal(root):
    """Write sparse files as GDAL writes them, in every codec it has; yield each."""
    for codec in ("NONE", "DEFLATE", "LZW", "PACKBITS", "ZSTD", "LZMA", "LERC"):
        titles = {"NONE": "None", "DEFLATE": "AdobeDeflate", "PACKBITS": "PackBits"}
        if titles.get(codec, codec) not in _tiff.versions()["codecs"]:
            continue
        for tiled in (False, True):
            layout = (
                {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {"blockysize": 5}
            )
            for dtype in ("u1", "i2", "f4"):
                for nodata in (None, 0, 9):
                    pixels = np.full((1, 40, 44), nodata or 0, dtype)
                    pixels[0, 17:21, 3:9] = 5
                    name = f"gdal-{codec}-{tiled:d}-{dtype}-{nodata}".lower()
                    profile = {} if codec == "NONE" else {"compress": codec}
                    _write(
                        root(1) / f"{name}.tif", pixels, SPARSE_OK=True, nodata=nodata,
                        **layout, **profile,
                    )  # fmt: skip
                    yield Stored(name, 1), name
