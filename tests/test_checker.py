"""The checker must find what it is there for: each test harms a database in one way."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest
import safetensors.numpy
import tifffile

from oracles import signed, value_of
from rs_tensor_encoder.checking import parallel
from rs_tensor_encoder.checking.against_sources import check
from rs_tensor_encoder.checking.compare import compare
from rs_tensor_encoder.checking.decoders import NAMES, DecoderError, decoder
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import StoppedError, TargetError
from rs_tensor_encoder.sources.plan import Plan
from rs_tensor_encoder.storage.environment import can_verify, verify


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, made_up):
    """A finished database of the shared sample: copy it before harming it."""
    from rs_tensor_encoder.layouts.parser import builtin
    from rs_tensor_encoder.sources.discover import discover
    from rs_tensor_encoder.sources.plan import Source

    by_name = {layout.name: layout for layout in builtin()}
    plan = discover(
        [
            Source(by_name["bigearthnet-s1"], made_up.sentinel_1),
            Source(by_name["bigearthnet-s2"], made_up.sentinel_2),
        ]
    )
    target = tmp_path_factory.mktemp("checker") / "out"
    encode(plan, str(target))
    return plan, target


@pytest.fixture
def copy(encoded, tmp_path):
    """The plan and a database that the test may harm."""
    plan, target = encoded
    shutil.copytree(target, tmp_path / "out")
    return plan, tmp_path / "out"


def harm(target, change):
    """Change the records by hand: change(txn)."""
    with (
        lmdb.open(str(target), map_size=1 << 30) as env,
        env.begin(write=True) as txn,
    ):
        change(txn)


def only_difference(plan, target, **options):
    report = check(plan, str(target), workers=1, **options)
    assert len(report.differences) == 1
    return report.differences[0]


S2 = b"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43"


def rewrite(txn, change):
    """Change the tensors of one record."""
    tensors = safetensors.numpy.load(txn.get(S2))
    change(tensors)
    txn.put(S2, value_of(tensors))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_differs_by_any_decoder(encoded, plan_of, made_up, tmp_path, name):
    plan, target = encoded
    report = check(plan, str(target), decoder=name, workers=1)
    assert report.differences == []
    assert report.checked == report.patches == 12
    assert report.tensors == 6 * 12 + 6 * 2
    cubes = plan_of(hyspecnet=made_up.hyspecnet)
    encode(cubes, str(tmp_path / "cubes"))
    assert check(cubes, str(tmp_path / "cubes"), decoder=name, workers=1).differences == []


def test_processes_find_the_same(copy):
    plan, target = copy
    harm(target, lambda txn: rewrite(txn, lambda t: t["B04"].__setitem__((3, 5), 7)))
    found = [check(plan, str(target), workers=workers).differences for workers in (1, 2)]
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_one_changed_byte(copy):
    plan, target = copy

    def change(txn):
        value = bytearray(txn.get(S2))
        value[-1] ^= 1
        txn.put(S2, bytes(value))

    harm(target, change)
    found = only_difference(plan, target)
    assert found.patch == S2.decode()
    assert found.pixel is not None
    assert found.stored != found.expected


def test_one_changed_byte_in_the_header(copy):
    plan, target = copy

    def change(txn):
        value = bytearray(txn.get(S2))
        value[8] ^= 1
        txn.put(S2, bytes(value))

    harm(target, change)
    assert only_difference(plan, target).patch == S2.decode()


def test_the_first_pixel_is_named(copy):
    plan, target = copy

    def change(tensors):
        tensors["B8A"][[7, 9], [11, 2]] = 65535

    harm(target, lambda txn: rewrite(txn, change))
    found = only_difference(plan, target)
    assert (found.band, found.pixel, found.stored) == ("B8A", (7, 11), "65535")
    assert "in 2 pixels, first at row 7, column 11: 65535 in the database" in str(found)


def test_a_missing_record(copy):
    plan, target = copy
    harm(target, lambda txn: txn.delete(S2))
    assert "no such record" in str(only_difference(plan, target))


@pytest.mark.parametrize("key", [b"A", b"S2A_Z", b"zzz", b"\xff"])
def test_an_extra_record(copy, key):
    plan, target = copy
    harm(target, lambda txn: txn.put(key, b"x"))
    assert "a record that no source explains" in str(only_difference(plan, target))


@pytest.mark.parametrize("value", [b"", b"\0" * 7, b"\0" * 100, b"no safetensors here"])
def test_a_value_of_another_format(copy, value):
    plan, target = copy
    harm(target, lambda txn: txn.put(S2, value))
    assert "not in the safetensors format" in str(only_difference(plan, target))


def test_a_missing_tensor(copy):
    plan, target = copy
    harm(target, lambda txn: rewrite(txn, lambda tensors: tensors.pop("B11")))
    found = only_difference(plan, target)
    assert (found.band, found.reason) == ("B11", "no such tensor")


def test_an_extra_tensor(copy):
    plan, target = copy
    harm(target, lambda txn: rewrite(txn, lambda t: t.update(B10=np.zeros((2, 2), "u2"))))
    assert only_difference(plan, target).band == "B10"


def test_another_type(copy):
    plan, target = copy
    harm(target, lambda txn: rewrite(txn, lambda t: t.update(B02=t["B02"].view("i2"))))
    assert only_difference(plan, target).reason == "type int16, not uint16"


def test_another_shape(copy):
    plan, target = copy
    harm(target, lambda txn: rewrite(txn, lambda t: t.update(B01=t["B01"].reshape(10, 40))))
    assert only_difference(plan, target).reason == "shape (10, 40), not (20, 20)"


def test_equal_tensors_laid_out_otherwise(copy):
    plan, target = copy

    def change(txn):
        tensors = safetensors.numpy.load(txn.get(S2))
        txn.put(S2, safetensors.numpy.save(tensors, metadata={"a": "b"}))

    harm(target, change)
    assert "not laid out" in only_difference(plan, target).reason


def test_a_changed_source(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s2=own_sample.sentinel_2)
    encode(plan, str(tmp_path / "out"))
    path = sorted(Path(own_sample.sentinel_2).rglob("*_B05.tif"))[0]
    pixels = tifffile.imread(path)
    pixels[59, 0] += 1
    tifffile.imwrite(path, pixels)
    for name in NAMES:
        found = only_difference(plan, tmp_path / "out", decoder=name)
        assert (found.band, found.pixel) == ("B05", (59, 0))
        assert int(found.expected) == int(found.stored) + 1


def test_a_source_that_cannot_be_read_any_more(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    encode(plan, str(tmp_path / "out"))
    paths = sorted(Path(own_sample.sentinel_1).rglob("*_VH.tif"))
    paths[0].write_bytes(b"")
    paths[1].unlink()
    report = check(plan, str(tmp_path / "out"), workers=1)
    # A file that is gone is a difference; what cannot be read any more cannot be compared.
    (difference,) = report.differences
    assert difference.reason == f"{paths[1]}: there is no such file"
    (damaged,) = report.not_compared
    assert damaged.file == str(paths[0])
    assert damaged.reasons.keys() == set(NAMES)
    assert all("cannot read it" in reason for reason in damaged.reasons.values())


def test_a_partial_database(copy, tmp_path):
    plan, target = copy
    path = target / "rs-tensor-encoder.json"
    path.write_text(signed(json.loads(path.read_text()) | {"complete": False}))
    assert "the database is partial" in str(only_difference(plan, target))
    target.rename(tmp_path / "other.partial")
    with pytest.raises(TargetError, match="is not complete"):
        check(plan, str(tmp_path / "other"))


def test_damaged_structure(copy):
    plan, target = copy
    data = bytearray((target / "data.mdb").read_bytes())
    (target / "data.mdb").write_bytes(data[: len(data) // 2])
    report = check(plan, str(target), workers=1)
    assert report.differences
    assert all("the database is damaged" in str(found) for found in report.differences)
    assert not report.verified


def test_patches_left_out_must_be_unreadable(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VH.tif"))[0]
    good = path.read_bytes()
    path.write_bytes(good[:-50])
    encode(plan, str(tmp_path / "out"), skip_failed=True)
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert report.differences == []
    assert report.left_out == 1
    path.write_bytes(good)
    assert "left out by --skip-failed, but" in str(only_difference(plan, tmp_path / "out"))


def test_a_sample_compares_fewer_pixels_but_all_keys(copy):
    plan, target = copy
    report = check(plan, str(target), workers=1, sample=3, seed=5)
    assert report.checked == 3
    assert report.differences == []
    harm(target, lambda txn: txn.delete(S2))
    assert check(plan, str(target), workers=1, sample=1).differences


def test_samples_depend_on_the_seed(encoded):
    plan, target = encoded
    assert check(plan, str(target), workers=1, sample=99).checked == len(plan.patches)
    # Fewer sources explain fewer records.
    half = Plan(plan.sources, plan.patches[::2])
    assert len(check(half, str(target), workers=1, sample=1).differences) == 6


def test_numbers_are_compared_by_their_bits():
    tensors = {"A": np.array([[0.0, np.nan]], "f4")}
    assert compare("p", value_of(tensors), tensors) == []
    minus = {"A": np.array([[-0.0, np.nan]], "f4")}
    assert compare("p", value_of(minus), tensors)[0].pixel == (0, 0)
    other = np.array([[0, 0x7FC00001]], "u4").view("f4")
    assert compare("p", value_of({"A": other}), tensors)[0].pixel == (0, 1)


def test_a_decoder_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(DecoderError, match="pip install rasterio"):
        decoder("rasterio")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", [{"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("order", "<>")
def test_decoders_agree_with_what_was_written(tmp_path, name, planar, layout, order):
    pixels = np.arange(3 * 40 * 50, dtype="i2").reshape(3, 40, 50)
    stored = pixels.transpose(1, 2, 0) if planar == "contig" else pixels
    path = str(tmp_path / "x.tif")
    tifffile.imwrite(
        path,
        stored,
        photometric="minisblack",
        planarconfig=planar,
        compression="zlib",
        predictor=True,
        byteorder=order,
        **layout,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "ignore")
        found = decoder(name)(path)
    assert found.dtype == np.dtype("i2")
    assert np.array_equal(found, pixels)


def test_an_interrupted_check_counts_what_it_has_compared(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1, bigearthnet_s2=own_sample.sentinel_2)
    for path in sorted(Path(own_sample.sentinel_2).rglob("*_B01.tif"))[:3]:
        path.write_bytes(b"")
    encode(plan, str(tmp_path / "out"), skip_failed=True)
    stop = threading.Event()
    stop.set()
    report = check(plan, str(tmp_path / "out"), workers=1, stop=stop)
    assert report.interrupted
    assert report.checked == 0
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert (report.checked, report.left_out, report.differences) == (5, 3, [])


def test_a_check_can_be_stopped_in_every_part(own_sample, plan_of, tmp_path):
    plan = plan_of(bigearthnet_s1=own_sample.sentinel_1)
    encode(plan, str(tmp_path / "out"))
    # Asked so often whether to stop, the answer is no.
    parts = []
    for often in range(20):
        stop = Later(often)
        report = check(plan, str(tmp_path / "out"), workers=1, stop=stop)
        assert report.differences == []
        assert report.interrupted == (report.checked < 4)
        parts.append((report.verified, report.checked))
    # In the structure; among the keys; among the patches; not at all.
    assert parts[0] == (False, 0)
    assert (True, 0) in parts
    assert {checked for _, checked in parts} == {0, 1, 2, 3, 4}
    assert parts[-1] == (True, 4)


class Later(threading.Event):
    """Is set when it has been asked so often."""

    def __init__(self, often):
        super().__init__()
        self.left = often

    def is_set(self):
        self.left -= 1
        return self.left < 0


def test_the_verifier_can_be_stopped(copy):
    if not can_verify():
        pytest.skip("lmdb before 3.0 has no verifier")
    plan, target = copy
    harm(target, lambda txn: txn.put(b"x", b"", dupdata=False))
    with lmdb.open(str(target), max_dbs=1) as env:
        # Sound, but nothing that is proved without the verifier.
        env.open_db(b"another")
    stop = threading.Event()
    assert verify(str(target), stop=stop) == []
    stop.set()
    with pytest.raises(StoppedError):
        verify(str(target), stop=stop)
    assert check(plan, str(target), workers=1, stop=stop).interrupted


def die(_):
    os._exit(1)


def test_a_worker_that_dies_is_one_error(roots, run, tmp_path, monkeypatch):
    run(*roots, tmp_path / "out")
    monkeypatch.setattr(parallel, "_compare_all", die)
    outcome = run("check", *roots, tmp_path / "out", "--workers", "3")
    assert outcome.code == 3
    assert outcome.err == (
        f"Error: {tmp_path}/out: the check could not be finished: a worker process ended with "
        "exit code 1, perhaps for want of memory; try fewer --workers\n"
    )


def test_a_system_that_allows_no_processes(roots, run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    run(*roots, tmp_path / "out")
    monkeypatch.setattr("subprocess.Popen", refuse)
    outcome = run("check", *roots, tmp_path / "out", "--workers", "3")
    assert outcome.code == 3
    assert "allows no worker process (ulimit -u, -n): Resource temporarily" in outcome.err
    assert "try --workers 1, which needs none" in outcome.err
    assert run("check", *roots, tmp_path / "out", "--workers", "1").code == 0
