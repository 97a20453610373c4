"""Guards that nothing else would miss: each test fails if its guard is taken away."""

import struct
import threading
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest
import tifffile

from hostile import structure
from oracles import our_bands, our_value, rasterio_bands, value_of
from rs_tensor_encoder import _tiff
from rs_tensor_encoder import layouts as layout_package
from rs_tensor_encoder.checking.against_sources import check
from rs_tensor_encoder.checking.compare import compare
from rs_tensor_encoder.checking.decoders import decoder
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import EncoderError, OutOfSpaceError, PatchError, TargetError
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from rs_tensor_encoder.storage import target
from rs_tensor_encoder.storage.environment import can_verify
from rs_tensor_encoder.storage.writer import Writer
from tiff_factory import LONG, SHORT, ramp, strips

# ---- finishing --------------------------------------------------------------


def test_a_database_that_does_not_verify_gets_no_name(bigearthnet, tmp_path, monkeypatch):
    monkeypatch.setattr(target, "verify", lambda _: ["a page is lost"])
    with pytest.raises(TargetError, match="a page is lost"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_record_that_got_lost_is_noticed(bigearthnet, tmp_path, monkeypatch):
    original = Writer.append
    monkeypatch.setattr(Writer, "append", lambda self, batch: original(self, batch[1:]))
    with pytest.raises(EncoderError, match="records instead of 12"):
        encode(bigearthnet, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_all_is_on_the_disk_before_the_target_appears(bigearthnet, tmp_path, monkeypatch):
    calls = []
    original = {"sync": Writer.sync, "directory": target.sync.sync_directory}

    def sync(self):
        original["sync"](self)
        calls.append(("sync", (tmp_path / "out").exists()))

    def directory(path):
        calls.append((Path(path).name, (tmp_path / "out").exists()))
        return original["directory"](path)

    monkeypatch.setattr(Writer, "sync", sync)
    monkeypatch.setattr(target.sync, "sync_directory", directory)
    encode(bigearthnet, str(tmp_path / "out"))
    # The manifest that says "complete" comes behind the data, the rename behind both.
    order = [call for call in calls if call[0] != "out.partial"]
    assert order == [("sync", False), (tmp_path.name, True)]
    assert calls.index(("sync", False)) < len(calls) - 2
    assert calls[-2] == ("out.partial", False)


def test_a_partial_of_another_layout_is_refused(layouts, own_sample, tmp_path):
    layout = layouts["bigearthnet-s1"]
    plan = discover([Source(layout, own_sample.sentinel_1)])
    paths = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))
    paths[0].rename(paths[0].with_suffix(".away"))
    assert not encode(plan, str(tmp_path / "out")).complete
    text = (Path(layout_package.__file__).parent / "builtin" / "bigearthnet-s1.toml").read_bytes()
    changed = parse("bigearthnet-s1", text.replace(b'["VV", "VH"]', b'["VH", "VV"]'))
    with pytest.raises(TargetError, match="was begun from other sources"):
        encode(discover([Source(changed, own_sample.sentinel_1)]), str(tmp_path / "out"))


@pytest.mark.parametrize("free", [0, 10**12])
def test_a_full_disk_that_lmdb_calls_an_error_of_input_and_output(tmp_path, monkeypatch, free):
    class Stat:
        f_blocks, f_bavail, f_frsize = 10**12, free // 4096, 4096

    with Writer(str(tmp_path), 1 << 20) as writer:
        monkeypatch.setattr("rs_tensor_encoder.storage.writer.os.statvfs", lambda _: Stat)
        error = writer._translated(lmdb.Error("mdb_txn_commit: Input/output error"), 1000)
    assert isinstance(error, TargetError if free else OutOfSpaceError)


# ---- checking ---------------------------------------------------------------


@pytest.mark.skipif(not can_verify(), reason="lmdb before 3.0 has no verifier")
def test_the_whole_structure_is_checked(bigearthnet, tmp_path):
    encode(bigearthnet, str(tmp_path / "out"))
    path = tmp_path / "out" / "data.mdb"
    data = bytearray(path.read_bytes())
    # The header of one page of the list of free pages or of a leaf: none of a value.
    for page in range(2, len(data) // 4096):
        flags = struct.unpack_from("<H", data, page * 4096 + 10)[0]
        if flags == 2 and struct.unpack_from("<Q", data, page * 4096)[0] == page:
            struct.pack_into("<Q", data, page * 4096, page + 1)
    path.write_bytes(data)
    report = check(bigearthnet, str(tmp_path / "out"), workers=1)
    assert report.differences
    assert "the database is damaged" in str(report.differences[0])


def test_a_source_that_has_more_bands_now(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    encode(plan, str(tmp_path / "out"))
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[0]
    pixels = tifffile.imread(path)
    tifffile.imwrite(path, np.stack([pixels, pixels]), photometric="minisblack",
                     planarconfig="separate", metadata=None)  # fmt: skip
    (found,) = check(plan, str(tmp_path / "out"), workers=1).differences
    assert "the file has 2 bands, not 1" in found.reason


def test_bands_that_do_not_lie_row_by_row_in_memory():
    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    assert compare("p", value_of({"A": pixels.T}), {"A": pixels.T}) == []
    assert compare("p", value_of({"A": pixels[::2, ::2]}), {"A": pixels[::2, ::2]}) == []


def test_volumes_are_refused_by_all(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((16, 32, 32), "u2"), volumetric=True, tile=(16, 16, 16))
    with pytest.raises(ValueError, match="depth of 16"):
        decoder("tifffile")(str(path))
    with pytest.raises(PatchError, match="ImageDepth is 16"):
        our_value(path)


# ---- decoding ---------------------------------------------------------------


def test_what_a_codec_papers_over_is_an_error(tmp_path):
    tiff = strips(ramp(2, 4, "u1"))
    tiff.tags[259] = (SHORT, [32773])
    tiff.chunks = [bytes([7]) + bytes(range(8))]
    assert our_bands(tiff.write(tmp_path / "x.tif"))[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    # A run that goes beyond the strip: libtiff warns, and calls it a success.
    tiff.chunks = [bytes([9]) + bytes(range(10))]
    with pytest.raises(PatchError, match="libtiff: Discarding 2 bytes"):
        our_value(tiff.write(tmp_path / "x.tif"))


def test_a_tag_that_stands_twice(tmp_path):
    data = bytearray(strips(ramp()).data())
    (count,) = struct.unpack_from("<H", data, 8)
    entries = [10 + 12 * i for i in range(count)]
    second = next(at for at in entries if struct.unpack_from("<H", data, at) == (257,))
    struct.pack_into("<H", data, second, 256)
    path = tmp_path / "x.tif"
    path.write_bytes(data)
    with pytest.raises(PatchError, match="the tag 256 stands twice"):
        our_value(path)


def test_cmyk_of_16_bits_is_kept_as_gdal_keeps_it(tmp_path):
    path = tmp_path / "x.tif"
    pixels = np.arange(4 * 6 * 5, dtype="u2").reshape(6, 5, 4)
    tifffile.imwrite(path, pixels, photometric="separated", planarconfig="contig")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        assert np.array_equal(our_bands(path, 4), rasterio_bands(path))


def test_types_may_change_from_patch_to_patch(tmp_path):
    coder = _tiff.Encoder([[["A"]]], [".tif"])
    out = np.empty(1 << 18, np.uint8)
    types = ["u2", "i2", "f4", "u4", "u1", "u2"]
    for index, dtype in enumerate(types):
        strips(ramp(6, 7, dtype)).write(tmp_path / f"{index}.tif")
    files = [(0, bytes(tmp_path), f"{index}\0".encode()) for index in range(len(types))]
    results, _ = coder.encode(files, out)
    for dtype, (start, stop, *_) in zip(types, results, strict=True):
        assert out[start:stop].tobytes() == value_of({"A": ramp(6, 7, dtype)})


@pytest.mark.parametrize(
    "value", [1.5, -1.5, 65519, 65520, 6e-8, 3e-5, -0.0001, 2049, "nan", "-inf"]
)
def test_sparse_halves_are_filled_with_the_nodata_value(tmp_path, value):
    text = f"{value}".encode() + b"\0"
    tiff = strips(np.zeros((4, 4), "f2"), 2)
    tiff.tags[42113] = (2, text)
    tiff.chunks[1] = b""
    found = our_bands(tiff.write(tmp_path / "x.tif"))[0]
    with np.errstate(over="ignore"):
        expected = np.float64(value).astype("f2")
    assert np.array_equal(found[2:], np.full((2, 4), expected), equal_nan=True)
    assert not found[:2].any()


def test_an_encoder_serves_one_thread(tmp_path):
    coder = _tiff.Encoder([[["A"]]], [".tif"])
    strips(ramp(2000, 2000)).write(tmp_path / "x.tif")
    files = [(0, bytes(tmp_path), b"x\0")] * 20
    outcomes = []

    def work():
        try:
            outcomes.append(len(coder.encode(files, np.empty(170_000_000, np.uint8))[0]))
        except RuntimeError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 20 in outcomes
    assert set(outcomes) <= {20, "an encoder serves one thread; make one for each"}


def test_a_sync_that_failed_is_never_trusted(bigearthnet, tmp_path, monkeypatch):
    def sync(_self):
        raise TargetError("input/output error")

    monkeypatch.setattr(Writer, "sync", sync)
    with pytest.raises(TargetError, match="input/output error"):
        encode(bigearthnet, str(tmp_path / "out"))
    monkeypatch.undo()
    report = encode(bigearthnet, str(tmp_path / "out"))
    assert (report.kept, report.encoded) == (0, 12)


def test_a_database_that_never_began_does_not_block(bigearthnet, tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "data.mdb").touch()
    assert encode(bigearthnet, str(tmp_path / "out")).complete


def test_tiles_without_a_width(tmp_path):
    tiff = strips(ramp(16, 16))
    tiff.tags[323] = (SHORT, [16])
    with pytest.raises(PatchError, match="the tiles have no size"):
        our_value(tiff.write(tmp_path / "x.tif"))


def test_limits_that_make_no_sense():
    for limit in (0, 1 << 45, 1 << 63):
        with pytest.raises(ValueError, match="limit"):
            _tiff.Encoder([[["A"]]], [".tif"], limit)


def test_tiles_that_reach_far_beyond_the_image(tmp_path):
    """Half a megabyte of file would be 64 GB to decode: the same tile, over and over."""
    pixels = 1 << 16
    tiff = strips(np.zeros((1, pixels), "u1"), compress=True)
    del tiff.tags[278]
    tile = zlib.compress(bytes(1 << 20))
    tiff.tags |= {
        322: (SHORT, [1]),
        323: (LONG, [1 << 20]),
        324: (LONG, [8] * pixels),
        325: (LONG, [len(tile)] * pixels),
    }
    path = tiff.write(tmp_path / "x.tif")
    with pytest.raises(PatchError, match="far more than the image"):
        our_value(path)
    # A tile that holds a little more than a small image is nothing unusual.
    tiff.tags |= {323: (LONG, [16])}
    with pytest.raises(PatchError, match="strip or tile 0 "):
        our_value(tiff.write(path))


@pytest.mark.skipif("WEBP" not in _tiff.versions()["codecs"], reason="libtiff has no WebP")
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_webp_image_of_another_size_than_its_strip(tmp_path, lossless, alpha):
    """What libtiff 4.5 does not fill stays as it was."""
    path = tmp_path / "x.tif"
    pixels = np.random.default_rng(1).integers(0, 255, (36, 40, 3 + alpha), "u1")
    tifffile.imwrite(
        path, pixels, photometric="rgb", compression="webp", rowsperstrip=16, metadata=None,
        extrasamples=["unassalpha"] if alpha else None,
        compressionargs={"lossless": lossless},
    )  # fmt: skip
    bands = 3 + alpha
    assert np.array_equal(our_bands(path, bands), rasterio_bands(path))
    # The same strips in an image that is wider by a pixel, or lower.
    for tag, number in ((256, 41), (257, 35), (278, 17)):
        data = bytearray(path.read_bytes())
        (entry,) = (e for e in structure(data).entries if e.tag == tag)
        data[entry.values : entry.values + 2] = number.to_bytes(2, "little")
        harmed = tmp_path / "harmed.tif"
        harmed.write_bytes(data)
        with pytest.raises(PatchError, match="not a WebP image of its size"):
            our_bands(harmed, bands)
