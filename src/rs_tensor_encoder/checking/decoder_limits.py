"""Files that a decoder of the checker is known to read differently from GDAL.

Each case is recognised by the tags of the file, or by the first bytes of its
strips and tiles; a decoder is never doubted because its pixels differ.
"""

import struct
import zlib
from typing import BinaryIO

import numpy as np

from rs_tensor_encoder.checking.nodata import disputed, fill_value
from rs_tensor_encoder.checking.tiff_tags import (
    DEFLATE,
    JPEG,
    LERC,
    LZMA,
    LZW,
    WEBP,
    ZSTD,
    TagError,
    TiffTags,
    stored_bytes,
)

# Codecs whose predictors libtiff undoes, and those of whole pictures, for which tifffile, too,
# ignores the tag.
_PREDICTED = (*DEFLATE, LZW, LZMA, ZSTD)
_PICTURES = (JPEG, WEBP)
# Bytes of a LERC header that are of use, and how many its compressed form may take.
_LERC_HEAD, _LERC_PACKED = 64, 1 << 16


def doubt(decoder: str, path: str, tags: TiffTags) -> str | None:
    """Say why a decoder is not asked about a file.

    Parameters
    ----------
    decoder : str
        One of `decoders.NAMES`.
    path : str
        The file.
    tags : TiffTags
        Its tags.

    Returns
    -------
    str or None
        The reason, None if there is none.
    """
    if decoder == "tifffile":
        return _doubt_tifffile(path, tags)
    if decoder == "rasterio" and tags.sparse:
        if disputed(tags.nodata):
            text = tags.nodata.split(b"\0")[0].decode("ascii", "backslashreplace")
            return f"versions of GDAL read the nodata text {text!r} differently"
        if tags.dtype == np.float16 and _rounded_twice(tags.nodata):
            return "GDAL before 3.11 rounds the nodata value to 32 bits before it is cut to 16"
    # Both are libtiff.
    if tags.compression in DEFLATE and not tags.tiled and _last_strip_is_whole(path, tags):
        return (
            "the last strip has more rows than the image, and libtiff may leave the end of its "
            "last row undone"
        )
    return None


def _doubt_tifffile(path: str, tags: TiffTags) -> str | None:
    if tags.predictor != 1 and tags.compression not in (*_PREDICTED, *_PICTURES):
        return "it undoes a predictor that libtiff ignores with this compression"
    if tags.compression == JPEG and not _known_colours(tags):
        return "it guesses the colours of JPEG data that are not said to be RGB"
    if tags.compression == LERC:
        with open(path, "rb") as file:
            listed = 0 if tags.offsets is None else len(tags.offsets)
            if any(_masked(file, tags, i) for i in range(min(tags.chunks, listed))):
                return "it does not apply the mask of LERC data, which marks NaN or alpha"
    return None


def _known_colours(tags: TiffTags) -> bool:
    """Whether tifffile has the colours of JPEG data from the tags: three are YCbCr if unknown."""
    rgb = tags.photometric == 2
    if tags.components == 3:
        return rgb and tags.extra_samples == -1
    return not (rgb and tags.components == 1)


def _rounded_twice(nodata: bytes) -> bool:
    with np.errstate(over="ignore"):
        twice = fill_value(nodata, np.float32).astype(np.float16)
    return bool(twice.tobytes() != fill_value(nodata, np.float16).tobytes())


def _last_strip_is_whole(path: str, tags: TiffTags) -> bool:
    """Whether a deflate strip, the last one of a plane, holds rows below the image."""
    per_plane = -(-tags.rows // tags.chunk_shape[0])
    last = range(per_plane - 1, tags.chunks, per_plane)
    if tags.size_of(per_plane - 1) == tags.size_of(per_plane - 1, whole=True):
        return False
    try:
        with open(path, "rb") as file:
            for index in last:
                expected = tags.size_of(index)
                data = _stored(file, tags, index)
                if len(zlib.decompressobj().decompress(data, expected + 1)) > expected:
                    return True
    except (OSError, TagError, zlib.error):
        # Such a file fails when it is decoded, or not for this reason.
        return False
    return False


def _masked(file: BinaryIO, tags: TiffTags, index: int) -> bool:
    """Whether LERC data of a strip or tile lack pixels; also if they are not understood."""
    try:
        data = _stored(file, tags, index)
    except (OSError, TagError):
        return False
    if not data:
        return False
    if data[:6] != b"Lerc2 ":
        data = _unpacked(data)
    if data[:6] != b"Lerc2 ":
        return True
    # Behind the name: version, checksum from version 3 on, rows, columns, samples of a pixel
    # from version 4 on, pixels that are valid; all of 32 bits, little-endian.
    try:
        (version,) = struct.unpack_from("<i", data, 6)
        rest = struct.unpack_from("<4i", data, 10 + (4 if version >= 3 else 0))
    except struct.error:
        return True
    valid = rest[3] if version >= 4 else rest[2]
    return bool(valid != rest[0] * rest[1])


def _unpacked(data: bytes) -> bytes:
    """Undo the deflate or zstd around LERC data, their beginning at least."""
    import imagecodecs

    if data[:4] == b"\x28\xb5\x2f\xfd":
        return bytes(imagecodecs.zstd_decode(data))
    try:
        return zlib.decompressobj().decompress(data[:_LERC_PACKED], _LERC_HEAD)
    except zlib.error:
        return b""


def _stored(file: BinaryIO, tags: TiffTags, index: int) -> bytes:
    data = stored_bytes(file, tags, index)
    return data.translate(_REVERSED) if tags.fill_order == 2 else data


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
