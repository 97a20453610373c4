"""Strips and tiles one by one, for files that tifffile alone reads differently from GDAL.

tifffile decodes each strip or tile; which bytes it gets, and what stands where
the file has none, is decided here, by the tags as the checker reads them.
"""

import zlib
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from rs_tensor_encoder.checking.nodata import fill_value
from rs_tensor_encoder.checking.tiff_tags import (
    DEFLATE,
    LZMA,
    LZW,
    PACKBITS,
    ZSTD,
    TagError,
    TiffTags,
    stored_bytes,
)

# Decoders and encoders of bytes, by Compression.
_CODECS = dict.fromkeys(DEFLATE, (imagecodecs.zlib_decode, zlib.compress)) | {
    LZW: (imagecodecs.lzw_decode, imagecodecs.lzw_encode),
    PACKBITS: (imagecodecs.packbits_decode, imagecodecs.packbits_encode),
    ZSTD: (imagecodecs.zstd_decode, imagecodecs.zstd_encode),
    LZMA: (imagecodecs.lzma_decode, imagecodecs.lzma_encode),
}


def needs_chunk_reading(tags: TiffTags) -> bool:
    """Tell whether tifffile would read other bytes, or fill what is left out by another rule."""
    return tags.sparse or tags.byte_counts is None


def may_be_whole(tags: TiffTags) -> bool:
    """Tell whether the last strip may be stored with more rows than the image has."""
    return not tags.tiled and tags.rows % tags.chunk_shape[0] > 0 and tags.compression in _CODECS


def read_chunks(page: Any, path: str, tags: TiffTags) -> npt.NDArray[Any]:
    """Decode all strips or tiles of a page by tifffile.

    What the file leaves out is filled as GDAL does it. A last strip that is
    stored with all of its rows is cut. Uncompressed data without byte counts
    are as long as their pixels.

    Parameters
    ----------
    page : tifffile.TiffPage
        The first page.
    path : str
        The file it is of.
    tags : TiffTags
        Its tags.

    Returns
    -------
    array
        4-D: planes, rows, columns, samples of a pixel.
    """
    planes = tags.samples // tags.components
    pixels = np.empty((planes, tags.rows, tags.columns, tags.components), page.dtype)
    filler = fill_value(tags.nodata, page.dtype)
    with open(path, "rb") as file:
        for index in range(tags.chunks):
            plane, y, x, rows, columns = tags.place(index)
            inside = pixels[plane, y : y + rows, x : x + columns]
            data = stored_bytes(file, tags, index)
            if data:
                inside[...] = _decode(page, data, index, tags)[0, :rows, :columns]
            else:
                inside[...] = filler
    return pixels


def _decode(page: Any, data: bytes, index: int, tags: TiffTags) -> Any:
    """Decode a strip or tile: an array of depth 1, rows, columns, samples of a pixel."""
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    try:
        return page.decode(data, index, **tables)[0]
    except Exception:
        # Whatever it is, it may be because there are more rows than expected.
        if not may_be_whole(tags) or tags.size_of(index) == tags.size_of(index, whole=True):
            raise
        return page.decode(_cut(data, index, tags), index, **tables)[0]


def _cut(data: bytes, index: int, tags: TiffTags) -> bytes:
    """Compress a strip again, without the rows that lie below the image."""
    decode, encode = _CODECS[tags.compression]
    if tags.fill_order == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    whole = tags.size_of(index, whole=True)
    decoded = bytes(decode(data, out=whole))
    if len(decoded) != whole:
        raise TagError(f"strip {index} decodes to {len(decoded)} bytes, not {whole}")
    cut = bytes(encode(decoded[: tags.size_of(index)]))
    return bytes(imagecodecs.bitorder_encode(cut)) if tags.fill_order == 2 else cut
