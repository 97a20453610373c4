"""Hostile TIFF files: each gives exactly the pixels that rasterio reads, or one clear error.

`make hostile N=1` tries every file there is; the tests one in `RS_TENSOR_HOSTILE`.
"""

import os
import random
import re
import subprocess
import sys
import zlib
from collections import Counter

import numpy as np
import pytest
import rasterio

from harm import SEED, TALLY
from hostile import good_files, harmed
from oracles import our_bands, rasterio_bands
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.errors import PatchError
from tiff_factory import ramp, strips

ONE_IN = int(os.environ.get("RS_TENSOR_HOSTILE", "40"))

# Bits that are flipped in deflate strips, for each kind of pixels.
FLIPS = max(1500, 100_000 // ONE_IN)

# Samples beyond which rasterio is not asked: it would take the memory.
MOST = 1 << 22

# Where GDAL refuses a file of which we read the pixels: what it says, and why we read on.
ACCEPTED = {
    '"StripByteCounts" field': "uncompressed strips are as long as their pixels",
    '"ExtraSamples"': "says what a band is for, not what it holds",
    '"MinSampleValue"': "is a viewer's business",
    '"MaxSampleValue"': "is a viewer's business",
}

# Where the pixels are not those of rasterio.
DIFFERENT = {
    "zstd": "frames without a checksum: damaged data are other pixels for another libzstd",
}


def chosen():
    """About one in so many of all hostile files: name, what was done, bytes."""
    for name, data in good_files():
        chance = random.Random(f"{SEED}/{name}")
        for what, copy in harmed(data, chance):
            if ONE_IN == 1 or chance.randrange(ONE_IN) == 0:
                yield name, what, copy


def read(path):
    """Our bands, or why there are none, whatever number of bands the file says it has."""
    try:
        return our_bands(path)
    except PatchError as error:
        says = re.search(r"the file has (\d+) bands", error.reason)
        if says is None or int(says[1]) > 1000:
            return error
    try:
        return our_bands(path, int(says[1]))
    except PatchError as error:
        return error


def rasterio_read(path):
    """What rasterio reads, or why it does not; None if it would be too much."""
    try:
        return rasterio_bands(path, most=MOST)
    except (rasterio.RasterioIOError, rasterio.errors.RasterioError, MemoryError) as error:
        return error


def test_pixels_of_rasterio_or_one_clear_error(tmp_path, capfd):
    path = tmp_path / "x.tif"
    for name, what, data in chosen():
        story = f"RS_TENSOR_SEED={SEED}, {name}: {what}"
        path.write_bytes(data)
        ours = read(path)
        # libtiff prints by default.
        assert capfd.readouterr() == ("", ""), story
        theirs = rasterio_read(path)
        capfd.readouterr()
        TALLY["hostile files"] += 1
        if isinstance(ours, PatchError):
            assert ours.reason, story
            assert "\n" not in ours.reason, story
            assert ours.path == str(path), story
            TALLY["hostile files refused"] += 1
        elif isinstance(theirs, np.ndarray):
            equal = ours.shape == theirs.shape and np.array_equal(
                ours.astype(theirs.dtype).view("u1"), theirs.view("u1")
            )
            assert equal or name in DIFFERENT, story
            TALLY["hostile files with the pixels of rasterio"] += equal
            TALLY["hostile files with other pixels, explained"] += not equal
        else:
            says = str(theirs.__cause__ or theirs)
            assert name in DIFFERENT or any(text in says for text in ACCEPTED), f"{story}: {says}"
            TALLY["hostile files that GDAL refuses, explained"] += 1


def _images(kind):
    """Five images of a kind, 120 x 120 pixels, each with a name that seeds its flips."""
    for number in range(5):
        name = f"{SEED}/{kind}/{number}"
        chance = np.random.default_rng([SEED, *kind.encode(), number])
        if kind == "float":
            yield name, np.cumsum(chance.standard_normal((120, 120)), axis=1).astype("f4")
        elif kind == "noise":
            yield name, chance.integers(0, 4000, (120, 120)).astype("u2")
        else:
            steps = chance.integers(-3, 4, (120, 120))
            yield name, (np.cumsum(steps, axis=1) + 1000).astype("u2")


def _inflated(chunk):
    """What zlib makes of a strip, or None where it refuses it."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(chunk)
    except zlib.error:
        return None
    return data if stream.eof else None


def _flip_and_read(path, pixels, chance, flips):
    """Flip single bits of the strips of an image, read each copy; count what came of it."""
    tiff = strips(pixels, 34, compress=True)
    whole = tiff.data()
    starts = np.cumsum([len(whole) - sum(map(len, tiff.chunks)), *map(len, tiff.chunks)])
    found = Counter()
    for _ in range(flips):
        bit = chance.randrange(8 * int(starts[0]), 8 * len(whole))
        copy = bytearray(whole)
        copy[bit // 8] ^= 1 << bit % 8
        path.write_bytes(copy)
        index = int(np.searchsorted(starts, bit // 8, side="right")) - 1
        strip = bytes(copy[starts[index] : starts[index + 1]])
        rows = pixels[34 * index : 34 * (index + 1)]
        theirs = _inflated(strip)
        ours = read(path)
        if isinstance(ours, np.ndarray):
            others = np.arange(len(pixels)) // 34 != index
            assert ours[0][others].tobytes() == pixels[others].tobytes()
            data = ours[0][~others].tobytes()
            assert len(data) == rows.nbytes
            # The checksum that is stored behind the strip is that of what was read.
            assert zlib.adler32(data) == int.from_bytes(strip[-4:], "big"), bit
            # libdeflate takes a few tables of codes that zlib refuses.
            assert theirs in {None, data}, bit
            found["right" if data == rows.tobytes() else "equal"] += 1
        else:
            assert theirs is None or len(theirs) != rows.nbytes, (bit, str(ours))
            found["refused"] += 1
        bands = rasterio_read(path)
        found["rasterio"] += isinstance(bands, np.ndarray) and (
            bands[0].tobytes() != pixels.tobytes()
        )
    return found


@pytest.mark.parametrize("kind", ["smooth", "noise", "float"])
def test_one_flipped_bit_in_deflate_strips(tmp_path, kind):
    """Whatever is accepted has the length and the Adler-32 of its strip; the rest is refused.

    Adler-32 is a weak checksum: in smooth data, where a flipped code may change several bytes by
    amounts that cancel out, about one flip in 7,000 leaves it equal, and the pixels are wrong.
    It cannot be seen. rasterio gives wrong pixels for about one flip in 8.
    """
    found = Counter()
    for name, pixels in _images(kind):
        found += _flip_and_read(tmp_path / "x.tif", pixels, random.Random(name), FLIPS // 5)
    flips = found["refused"] + found["right"] + found["equal"]
    assert flips == FLIPS // 5 * 5
    # Else this would prove nothing.
    assert found["rasterio"] > flips // 100
    assert 10 * found["equal"] < found["rasterio"]
    named = f"bits flipped in deflate strips, {kind}"
    TALLY[named] += flips
    TALLY[f"{named}: wrong pixels with an equal checksum"] += found["equal"]
    TALLY[f"{named}: wrong pixels from rasterio"] += found["rasterio"]


# ---- bounds -----------------------------------------------------------------

CHILD = """
import resource, sys
import numpy as np
from rs_tensor_encoder import _tiff
encoder = _tiff.Encoder([[["A"]]], [".tif"], 1 << 24)
out = np.empty(1 << 24, np.uint8)
names = sys.stdin.read().split()
base = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (base + (6 << 24), base + (6 << 24)))
refused = 0
for name in names:
    # Its value may be larger than the limit by its header, and is then not made.
    results, needed = encoder.encode([(0, sys.argv[1].encode(), name.encode() + b"\\0")], out)
    for result in results:
        if not isinstance(result, tuple):
            refused += 1
            # zstd itself refuses a frame that says it needs much, and takes nothing for it.
            reason = result.reason.replace("Frame requires too much memory", "")
            assert "memory" not in reason, result
print(refused)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="addresses are counted as Linux does")
def test_bounds_of_memory_and_time(tmp_path):
    """Whatever a file says, it takes six times the limit at most, and an end is come to."""
    names = []
    for index, (_, _, data) in enumerate(chosen()):
        names.append(f"{index}")
        (tmp_path / f"{index}.tif").write_bytes(data)
    for index, tiff in enumerate(_bombs()):
        names.append(f"bomb{index}")
        tiff.write(tmp_path / f"bomb{index}.tif")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path],
        input=" ".join(names), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 3


def _bombs():
    """Files that say or hold far more than they are; all of them are refused."""
    side = 1 << 13
    zeros = np.zeros((side, side), "u1")
    # Truly so large, and beyond the limit: 64 MB of zeros in 64 KB.
    yield strips(zeros, compress=True)
    # Within the limit, but not what the strip holds.
    for height in (16, 2048):
        tiff = strips(zeros[:height], compress=True)
        tiff.chunks = [zlib.compress(bytes(1 << 26))]
        yield tiff
    tiff = strips(ramp(), compress=True)
    tiff.tags[256] = tiff.tags[257] = (4, [65535])
    yield tiff


def test_the_limit_can_be_raised(tmp_path):
    path = strips(np.zeros((1 << 11, 1 << 11), "u1"), compress=True).write(tmp_path / "x.tif")
    encoder = _tiff.Encoder([[["A"]]], [".tif"], 1 << 20)
    assert "would take more than 1048576 bytes" in str(_first(encoder, path))
    encoder = _tiff.Encoder([[["A"]]], [".tif"], 1 << 22)
    assert isinstance(_first(encoder, path), tuple)


def _first(encoder, path):
    out = np.empty(1 << 23, np.uint8)
    (result,), _ = encoder.encode([(0, bytes(path.parent), path.stem.encode() + b"\0")], out)
    return result
