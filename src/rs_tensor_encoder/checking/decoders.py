"""Independent ways to read the bands of a TIFF file, for the checker.

None of them shares code with `_tiff`. tifffile and imagecodecs are an
implementation of TIFF without libtiff (but for JPEG); pylibtiff and rasterio
are other ways to libtiff.
"""

import logging
import math
import os
import warnings
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rs_tensor_encoder.checking.nodata import fill_value
from rs_tensor_encoder.checking.tiff_tags import TiffTags
from rs_tensor_encoder.errors import EncoderError

#: The bands of a file as a 3-D array (bands, rows, columns) of native type.
Bands = npt.NDArray[Any]


class Decoder(Protocol):
    """Takes the path of a file, and its tags if they are known, and returns its bands.

    With the tags, strips and tiles that the file leaves out are filled by
    GDAL's rule; without them, as the decoder fills them.
    """

    def __call__(self, path: str, tags: TiffTags | None = None, /) -> Bands:
        """Decode a file."""


#: In the order in which they are asked, behind the one that was chosen.
NAMES = ("tifffile", "rasterio", "pylibtiff")

#: Bytes of a file, and of its decoded pixels, beyond which it is not read.
LIMIT = 1 << 30


#: Why a decoder is not asked that another one could stand in for.
MISSING, FAILED = "not installed", "cannot read it"


class DecoderError(EncoderError):
    """A decoder is not installed."""

    exit_code = 2


class TooLargeError(ValueError):
    """A file, or its pixels, have more bytes than allowed."""


def decoder(name: str, limit: int = LIMIT) -> Decoder:
    """Find a decoder by name.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is refused
        before memory is taken for it.

    Returns
    -------
    callable
        Takes the path of a file, returns its bands, 3-D (bands, rows,
        columns), in the sample type of the file and the machine's byte order.

    Raises
    ------
    DecoderError
        If the package is not installed.
    """
    try:
        make = {"tifffile": _tifffile, "pylibtiff": _pylibtiff, "rasterio": _rasterio}[name]
        return make(limit)
    except (ImportError, OSError) as error:
        raise DecoderError(
            f"the decoder {name} is not to be had here ({error}); "
            f"install it with: pip install {name}"
        ) from None


def hold(path: str, size: int, limit: int) -> None:
    """Refuse a file that is, or whose pixels would be, too large.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Bytes of its pixels.
    limit : int
        What both may have.

    Raises
    ------
    TooLargeError
        If one of them has more.
    """
    hint = "(see --max-file-size)"
    if os.path.getsize(path) > limit:
        raise TooLargeError(f"the file has {os.path.getsize(path)} bytes, more than {limit} {hint}")
    if size > limit:
        raise TooLargeError(f"the pixels would take {size} bytes, more than {limit} {hint}")


def _tifffile(limit: int) -> Decoder:
    import tifffile

    # imagecodecs, too, without which tifffile knows few codecs.
    from rs_tensor_encoder.checking.chunk_reading import (
        may_be_whole,
        needs_chunk_reading,
        read_chunks,
    )

    # It would log what it also raises.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)

    def decode(path: str, tags: TiffTags | None = None, /) -> Bands:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            separate, depth, rows, columns, together = page.shaped
            if depth != 1:
                raise ValueError(f"the image has a depth of {depth}")
            itemsize = 0 if page.dtype is None else page.dtype.itemsize
            hold(path, separate * rows * columns * together * itemsize, limit)
            hold(path, math.prod(page.chunks) * itemsize, limit)
            try:
                if tags is not None and needs_chunk_reading(tags):
                    pixels = read_chunks(page, path, tags)
                else:
                    pixels = page.asarray(maxworkers=1)
            except Exception:
                if tags is None or not may_be_whole(tags):
                    raise
                pixels = read_chunks(page, path, tags)
            pixels = pixels.reshape(separate, rows, columns, together)
        pixels = pixels[..., 0] if separate > 1 else pixels[0].transpose(2, 0, 1)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

    return decode


def _rasterio(limit: int) -> Decoder:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    # It would log what it also raises.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)

    def decode(path: str, _tags: TiffTags | None = None, /) -> Bands:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # Only the file itself: no search for sidecars, no other driver.
            with (
                rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
                rasterio.open(path, driver="GTiff") as file,
            ):
                itemsize = max(np.dtype(name).itemsize for name in file.dtypes)
                hold(path, file.count * file.height * file.width * itemsize, limit)
                pixels: Bands = file.read()
                # GDAL widens 16-bit floats, and says so.
                if file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "16":
                    # The nodata value may be too large for them.
                    with np.errstate(over="ignore"):
                        pixels = pixels.astype(np.float16)
                return pixels

    return decode


def _pylibtiff(limit: int) -> Decoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import libtiff
        from libtiff import libtiff_ctypes

    # Both print to stderr; what fails is raised below.
    libtiff_ctypes.suppress_warnings()
    libtiff_ctypes.suppress_errors()

    def decode(path: str, tags: TiffTags | None = None, /) -> Bands:
        if not os.path.isfile(path):
            raise FileNotFoundError(path)
        # "c": strips as the file lists them, not cut to 8 kB each.
        tiff = libtiff.TIFF.open(path, "rc")
        try:
            return _decode_pylibtiff(path, tiff, libtiff_ctypes.libtiff, limit, tags)
        finally:
            tiff.close()

    return decode


def _decode_pylibtiff(
    path: str, tiff: Any, library: Any, limit: int, tags: TiffTags | None
) -> Bands:
    import ctypes

    def field(name: str, default: int) -> int:
        value = tiff.GetField(name)
        return default if value is None else int(value)

    rows, columns = field("ImageLength", 0), field("ImageWidth", 0)
    bands = field("SamplesPerPixel", 1)
    dtype = np.dtype(
        {1: "u", 2: "i", 3: "f", 4: "u"}[field("SampleFormat", 1)]
        + str(field("BitsPerSample", 1) // 8)
    )
    hold(path, bands * rows * columns * dtype.itemsize, limit)
    planes = bands if field("PlanarConfig", 1) == 2 else 1
    together = bands // planes
    tiled = bool(tiff.IsTiled())
    if tiled:
        height, width = field("TileLength", 0), field("TileWidth", 0)
        library.TIFFReadEncodedTile.restype = ctypes.c_ssize_t
        library.TIFFReadEncodedTile.argtypes = [
            type(tiff), ctypes.c_uint32, ctypes.c_void_p, ctypes.c_ssize_t,
        ]  # fmt: skip
    else:
        height, width = min(field("RowsPerStrip", rows), rows), columns
    hold(path, height * width * together * dtype.itemsize, limit)
    pixels = np.zeros((planes, rows, columns, together), dtype)
    chunk = np.zeros(height * width * together, dtype)
    # libtiff fails where the file leaves a strip or tile out.
    sparse = tags is not None and tags.sparse
    index = 0
    for plane in pixels:
        for top in range(0, rows, height):
            for left in range(0, columns, width):
                inside = plane[top : top + height, left : left + width]
                if tags is not None and sparse and tags.find(index) == (0, 0):
                    inside[...] = fill_value(tags.nodata, dtype)
                    index += 1
                    continue
                stored = height if tiled else inside.shape[0]
                size = stored * width * together * dtype.itemsize
                if tiled:
                    got = library.TIFFReadEncodedTile(tiff, index, chunk.ctypes.data, size)
                else:
                    got = tiff.ReadEncodedStrip(index, chunk.ctypes.data, size)
                if int(got) != size:
                    raise ValueError(f"libtiff cannot decode strip or tile {index}")
                values = chunk[: stored * width * together].reshape(stored, width, together)
                inside[...] = values[: inside.shape[0], : inside.shape[1]]
                index += 1
    return pixels.transpose(0, 3, 1, 2).reshape(bands, rows, columns)
