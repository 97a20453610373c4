"""Readers in use must work unchanged: these do what they do."""

import lmdb
import pytest
import safetensors.numpy

from rs_tensor_encoder.encoding.encode import encode

BANDS = {f"B0{i}" for i in range(1, 10)} | {"B8A", "B11", "B12"}


@pytest.fixture
def target(bigearthnet, tmp_path):
    encode(bigearthnet, str(tmp_path / "out"))
    return str(tmp_path / "out")


def test_the_way_configilm_reads_bigearthnet(target, bigearthnet):
    env = lmdb.open(
        target,
        readonly=True,
        lock=False,
        meminit=False,
        readahead=True,
        map_size=8 * 1024**3,
        max_spare_txns=16,
    )
    with env, env.begin(write=False, buffers=True) as txn:
        keys = [bytes(key).decode() for key in txn.cursor().iternext(keys=True, values=False)]
        assert keys == sorted(patch.key.decode() for patch in bigearthnet.patches)
        for key in keys:
            found = safetensors.numpy.load(bytes(txn.get(key.encode())))
            assert set(found) == (BANDS if key.startswith("S2") else {"VV", "VH"})
            assert all(band.ndim == 2 for band in found.values())


def test_readers_that_take_every_key_and_lock(target, bigearthnet):
    with lmdb.open(target, readonly=True) as env, env.begin() as txn:
        values = [safetensors.numpy.load(value) for _, value in txn.cursor()]
    assert len(values) == len(bigearthnet.patches)


def test_the_tensors_lie_in_the_value_without_gaps(target):
    with lmdb.open(target, readonly=True, lock=False) as env, env.begin() as txn:
        value = txn.get(b"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43")
    length = int.from_bytes(value[:8], "little")
    assert length % 8 == 0
    assert len(value) == 160_832
