"""What other implementations say: rasterio of pixels, safetensors of values, lmdb of files."""

import hashlib
import json
import warnings

import lmdb
import numpy as np
import rasterio
import safetensors.numpy
from rasterio.errors import NotGeoreferencedWarning

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import encode_batch
from rs_tensor_encoder.errors import PatchError


def rasterio_bands(path, most=None):
    """Bands of a file as GDAL reads them, 3-D; None for one of more than ``most`` samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver="GTiff") as file:
            if most is not None and file.width * file.height * file.count > most:
                return None
            return file.read()


def value_of(tensors):
    """The bytes that safetensors writes; contiguous arrays, as its 0.8.0 needs."""
    return safetensors.numpy.save({n: np.ascontiguousarray(a) for n, a in tensors.items()})


def our_value(path, bands=1, *, limit=_tiff.LIMIT):
    """The value that we make of one file, or its PatchError raised."""
    names = [f"B{i}" for i in range(1, bands + 1)]
    encoder = _tiff.Encoder([[names]], [path.suffix], limit)
    # Old bytes in the buffer: what is not filled would show.
    buffer = np.full(1 << 16, 0xAA, np.uint8)
    files = [(0, bytes(path.parent), path.stem.encode() + b"\0")]
    (result,), buffer = encode_batch(encoder, files, buffer)
    if isinstance(result, PatchError):
        raise result
    return bytes(buffer[result[0] : result[1]])


def our_bands(path, bands=1):
    """Bands of a file as we read them, 3-D (bands, rows, columns)."""
    found = safetensors.numpy.load(our_value(path, bands))
    return np.stack([found[f"B{i}"] for i in range(1, bands + 1)])


def records(target):
    """All records of a database, read with the plain packages."""
    with lmdb.open(str(target), readonly=True, lock=False) as env, env.begin() as txn:
        return dict(txn.cursor())


def signed(manifest):
    """A manifest as text, with the checksum that it must have."""
    data = {name: value for name, value in manifest.items() if name != "checksum"}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return json.dumps(data | {"checksum": hashlib.sha256(text.encode("ascii")).hexdigest()})


def problems(path):
    """What lmdb's own verifier finds wrong with a database's file; None where there is none."""
    try:
        from lmdb.verify import VerifyError, verify
    except ImportError:
        return None
    try:
        return verify(str(path), subdir=False)
    except VerifyError as error:
        return [str(error)]
