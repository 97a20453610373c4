"""What the fuzzers begin with: a small file of every kind that is read, and the odd ones."""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tiff_factory import SHORT, ramp, strips

CODECS = [None, "packbits", "lzw", "deflate", "adobe_deflate", "zstd", "lzma", "lerc", "jpeg"]
UNPREDICTED = {None, "packbits", "lerc", "jpeg"}

# Files of the corpus beyond this are left out: a fuzzer wants many small ones.
MOST = 1 << 14


def write_seeds(directory):
    """Write the seeds; those of the corpus too, where ``RS_TENSOR_CORPUS`` says it is."""
    directory.mkdir(parents=True, exist_ok=True)
    kinds = itertools.product(CODECS, "<>", ["u1", "u2", "i4", "f4", "f8"], [1, 3], [False, True])
    for codec, order, dtype, bands, tiled in kinds:
        if codec == "jpeg" and (dtype != "u1" or bands == 3):
            continue
        if codec == "lerc" and order == ">":
            continue
        path = directory / f"{codec}-{'be' if order == '>' else 'le'}-{dtype}-{bands}-{tiled}.tif"
        shape = (20, 24) if bands == 1 else (20, 24, bands) if tiled else (bands, 20, 24)
        predictor = 3 if dtype[0] == "f" else 2
        tifffile.imwrite(
            path,
            np.arange(np.prod(shape)).reshape(shape).astype(dtype),
            photometric="minisblack",
            planarconfig=None if bands == 1 else "contig" if tiled else "separate",
            compression=codec,
            predictor=1 if codec in UNPREDICTED else predictor,
            byteorder=order,
            bigtiff=dtype == "f8",
            metadata=None,
            **({"tile": (16, 16)} if tiled else {"rowsperstrip": 7}),
        )
    for name, tiff in _odd():
        tiff.write(directory / f"{name}.tif")
    for root, _, names in os.walk(os.environ.get("RS_TENSOR_CORPUS", os.devnull)):
        for name in names:
            path = Path(root, name)
            if path.suffix not in {".md", ".csv"} and path.stat().st_size <= MOST:
                seed = "-".join(path.parts[-3:])[-200:]
                (directory / seed).write_bytes(path.read_bytes())


def _odd():
    """Files as no library writes them."""
    tiff = strips(ramp(8, 8), 3)
    tiff.tags[279] = None
    yield "no-byte-counts", tiff
    tiff = strips(ramp(9, 7), 4, compress=True)
    tiff.chunks[1] = b""
    yield "sparse", tiff
    for compress in (False, True):
        tiff = strips(ramp(9, 7), 4, compress=compress)
        tiff.tags[266] = (SHORT, [2])
        yield f"fill-order-{compress}", tiff
    tiff = strips(ramp(10, 6), 4)
    tiff.chunks[-1] += bytes(24)
    yield "whole-last-strip", tiff
    tiff = strips(ramp(), 8)
    tiff.pages = [(tiff.tags | {254: (SHORT, [1])}, tiff.chunks)] * 2
    yield "overviews", tiff
