"""Other ways to do the same work, each a small program: PEER WORKERS TARGET.

The dataset comes as JSON on stdin: a list of (key, files), and the names of the bands of each file.
All of them write with `safetensors.numpy.save` and one LMDB writer, 512 patches a commit.
"""

import json
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context


def usual_bands(path, count):
    """Open the file for each of its bands, as the tool in use today does (rico-hdl)."""
    import rasterio

    warnings.simplefilter("ignore")
    found = []
    for index in range(1, count + 1):
        with rasterio.open(path) as file:
            found.append(file.read(index))
    return found


def rasterio_bands(path, _):
    """Open the file once."""
    import rasterio

    warnings.simplefilter("ignore")
    with rasterio.open(path) as file:
        return list(file.read())


def _split(pixels, count):
    if count == 1:
        return [pixels]
    # Interleaved or planar: the bands are the axis that has their number.
    axis = 0 if pixels.shape[0] == count else -1
    return [pixels.take(index, axis) for index in range(count)]


def tifffile_bands(path, count):
    """Read through tifffile."""
    import tifffile

    return _split(tifffile.imread(path, maxworkers=1), count)


def imagecodecs_bands(path, count):
    """Read through libtiff as imagecodecs wraps it."""
    import imagecodecs

    with open(path, "rb") as file:
        return _split(imagecodecs.tiff_decode(file.read()), count)


def pillow_bands(path, count):
    """Read through Pillow, which knows few kinds of files."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return _split(np.asarray(image), count)


READERS = {
    "usual": (usual_bands, ProcessPoolExecutor),
    "rasterio-once": (rasterio_bands, ProcessPoolExecutor),
    "tifffile": (tifffile_bands, ThreadPoolExecutor),
    "imagecodecs": (imagecodecs_bands, ThreadPoolExecutor),
    "pillow": (pillow_bands, ThreadPoolExecutor),
}


def value(reader, bands, files):
    """One patch as a safetensors value."""
    import safetensors.numpy

    tensors = {}
    for names, path in zip(bands, files, strict=True):
        tensors |= zip(names, reader(path, len(names)), strict=True)
    return safetensors.numpy.save({name: pixels.copy() for name, pixels in tensors.items()})


def main():
    """Encode what is described on stdin."""
    import lmdb

    peer, workers, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    patches, bands = json.load(sys.stdin)
    reader, executor = READERS[peer]
    options = {"mp_context": get_context("spawn")} if executor is ProcessPoolExecutor else {}
    with executor(workers, **options) as pool, lmdb.open(target, map_size=1 << 40) as env:
        for begin in range(0, len(patches), 512):
            chunk = patches[begin : begin + 512]
            # One task a patch, as the tool in use today has it.
            values = [pool.submit(value, reader, bands, files) for _, files in chunk]
            with env.begin(write=True) as txn:
                for (key, _), content in zip(chunk, values, strict=True):
                    txn.put(key.encode(), content.result(), append=True)


if __name__ == "__main__":
    main()
