"""The fast ways of decoding and the ordinary one, libtiff's, give the same bytes."""

import csv

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import DECODE, encode_batch, new_encoder
from rs_tensor_encoder.errors import PatchError, SourceError

CODECS = [None, "lzw", "packbits", "zlib", "zstd", "lzma"]
DTYPES = ["u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]


def first_chunk(path):
    """Where the first strip or tile of a file lies: offset and bytes."""
    with tifffile.TiffFile(path) as file:
        return file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]


def damage(path, at):
    """Flip a bit of a byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


class Ways:
    """An encoder of each way, which keep their handles from file to file."""

    def __init__(self, bands):
        names = [[[f"B{i}" for i in range(bands)]]]
        self.encoders = [
            _tiff.Encoder(names, ["", ".tif"], 1 << 28, ordinary=way) for way in (False, True)
        ]

    def both(self, path):
        """What becomes of a file in the fast way and in the ordinary one: bytes, or an error."""
        found = []
        for encoder in self.encoders:
            buffer = np.full(1 << 16, 0xAA, np.uint8)
            files = [(0, bytes(path.parent), path.name.encode() + b"\0")]
            (result,), buffer = encode_batch(encoder, files, buffer)
            if isinstance(result, PatchError):
                found.append(result)
            else:
                found.append(buffer[result[0] : result[1]].tobytes())
        return found


def same(fast, ordinary):
    """Whether both failed or gave the same bytes.

    The fast way may refuse what libtiff lets pass: deflate data that do not match their
    checksum, or their size; never the other way round.
    """
    if isinstance(fast, PatchError):
        strict = "deflate" in fast.reason or "decodes to" in fast.reason
        return isinstance(ordinary, PatchError) or strict
    return fast == ordinary


def test_all_samples(samples):
    ways = {}
    paths = sorted(path for path in samples.rglob("*") if path.suffix.lower() == ".tif")
    for path in paths:
        with tifffile.TiffFile(path) as file:
            bands = file.pages.first.samplesperpixel
        fast, ordinary = ways.setdefault(bands, Ways(bands)).both(path)
        assert isinstance(fast, bytes)
        assert fast == ordinary, path


def test_the_whole_corpus(corpus):
    ways = {}
    decoded = 0
    with open(corpus / "index.csv", newline="") as file:
        for row in csv.DictReader(file):
            bands = int(row["bands"] or 1)
            path = corpus / row["path"]
            fast, ordinary = ways.setdefault(bands, Ways(bands)).both(path)
            decoded += isinstance(fast, bytes)
            assert same(fast, ordinary), (path, fast, ordinary)
    assert decoded > 250


@pytest.fixture(scope="module")
def ways():
    """Encoders for 1 to 17 bands that live as long as all the files that follow."""
    return {bands: Ways(bands) for bands in range(1, 18)}


@settings(max_examples=2500, deadline=None)
@given(st.data())
def test_thousands_of_variants(ways, tmp_path_factory, data):
    bands = data.draw(st.sampled_from([1, 1, 2, 3, 4, 8, 13, 17]), "bands")
    codec = data.draw(st.sampled_from(CODECS), "codec")
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES), "dtype"))
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)), "size")
    seed = data.draw(st.integers(0, 9), "seed")
    # From noise to repetition: long and short strings, strips that grow and that shrink.
    levels = data.draw(st.sampled_from([1, 2, 16, 256]), "levels")
    random = np.random.default_rng(seed)
    pixels = random.integers(0, levels, (bands, height, width)).astype(dtype)
    options = {"photometric": "minisblack", "compression": codec, "metadata": None}
    options["byteorder"] = data.draw(st.sampled_from("<>"), "byte order")
    if codec in ("lzw", "zlib", "zstd", "lzma") and dtype != "f2":
        choice = [False, 3] if dtype.kind == "f" else [False, 2]
        options["predictor"] = data.draw(st.sampled_from(choice), "predictor")
    if data.draw(st.booleans(), "tiled"):
        options["tile"] = (16, data.draw(st.sampled_from([16, 48]), "tile"))
    else:
        options["rowsperstrip"] = data.draw(st.integers(1, height), "rows")
    if bands > 1:
        options["planarconfig"] = data.draw(st.sampled_from(["contig", "separate"]), "planar")
        if options["planarconfig"] == "contig":
            pixels = pixels.transpose(1, 2, 0)
    path = tmp_path_factory.getbasetemp() / "variant.tif"
    tifffile.imwrite(path, pixels if bands > 1 else pixels[0], **options)
    damaged = data.draw(st.booleans(), "damaged")
    if damaged:
        offset, count = first_chunk(path)
        damage(path, offset + data.draw(st.integers(0, count - 1), "byte"))
    fast, ordinary = ways[bands].both(path)
    if not damaged:
        assert isinstance(fast, bytes), fast
    assert same(fast, ordinary)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9), st.sampled_from([1, 2, 7, 255]), st.integers(1, 90_000), st.data())
def test_lzw_of_all_lengths(ways, tmp_path_factory, seed, levels, size, data):
    """Tables that fill up, long strings, and rows of a tile that are not wanted."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, levels, size, dtype=np.uint8)
    pixels = np.repeat(pixels, data.draw(st.sampled_from([1, 3, 400]), "repeat"))[:size]
    path = tmp_path_factory.getbasetemp() / "lzw.tif"
    width = data.draw(st.sampled_from([1, 100, 304]), "width")
    pixels = np.resize(pixels, (max(1, size // width), width))
    tifffile.imwrite(
        path, pixels, compression="lzw", photometric="minisblack", metadata=None, tile=(304, 304)
    )
    fast, ordinary = ways[1].both(path)
    assert fast == ordinary
    assert fast.endswith(pixels.tobytes())


def test_the_ordinary_way_is_chosen_by_the_environment(plan_of, made_up, monkeypatch):
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1)
    made = []
    monkeypatch.setattr(_tiff, "Encoder", lambda *_, **options: made.append(options["ordinary"]))
    new_encoder(plan)
    monkeypatch.setenv(DECODE, "libtiff")
    new_encoder(plan)
    assert made == [False, True]
    monkeypatch.setenv(DECODE, "gdal")
    with pytest.raises(SourceError, match="RS_TENSOR_DECODE is 'gdal'; it can be libtiff"):
        new_encoder(plan)


def test_the_ordinary_way_is_libtiffs(tmp_path):
    """A tag that means nothing to the pixels is refused by libtiff alone."""
    path = tmp_path / "x.tif"
    pixels = np.zeros((4, 4, 4), "u1")
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, extrasamples=(0, 0, 0))
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags[338].valueoffset
    path.write_bytes(content[:at] + b"\x09" + content[at + 1 :])
    fast, ordinary = Ways(4).both(path)
    assert isinstance(fast, bytes)
    assert "ExtraSamples" in ordinary.reason


def test_more_layouts_than_handles_are_kept(ways, tmp_path):
    """Twenty sizes of zstd tiles in turn, twice: each comes out right."""
    for _ in range(2):
        for side in range(16, 336, 16):
            path = tmp_path / f"{side}.tif"
            pixels = np.full((20, 20), side, "u2")
            tifffile.imwrite(path, pixels, tile=(side, 16), compression="zstd", metadata=None)
            fast, ordinary = ways[1].both(path)
            assert fast == ordinary
            assert fast.endswith(pixels.tobytes())


def test_a_handle_that_failed_serves_no_other_file(ways, tmp_path):
    pixels = np.arange(1024, dtype="u2").reshape(32, 32)
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    for path in (good, bad):
        tifffile.imwrite(path, pixels, compression="zstd", metadata=None)
    damage(bad, first_chunk(bad)[0])
    for path in (good, bad, good, bad, good):
        fast, ordinary = ways[1].both(path)
        assert same(fast, ordinary)
        assert isinstance(fast, bytes) == (path == good)
