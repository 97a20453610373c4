"""The verb info, on our databases and on others."""

import json
import threading

import lmdb
import numpy as np
import pytest
import safetensors.numpy

from rs_tensor_encoder.encoding.encode import encode


def test_a_finished_database(run, roots, made_up, tmp_path):
    run(*roots, tmp_path / "out")
    outcome = run("info", tmp_path / "out")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == f"{tmp_path}/out: complete"
    assert lines[1].startswith("12 patches, 1.7 MB of values, ")
    assert f"source: bigearthnet-s1 {made_up.sentinel_1}" in lines
    assert "  B02 ... B04  U16  120 x 120    in 6 patches" in lines
    assert "  B01          U16  20 x 20      in 6 patches" in lines
    assert "  VH ... VV    F32  120 x 120    in 6 patches" in lines
    found = json.loads(run("info", tmp_path / "out", "--json").out)
    assert found["patches"] == 12
    assert len(found["tensors"]) == 14
    assert found["state"] == "complete"
    assert json.loads(run("info", tmp_path / "out" / "data.mdb", "--json").out)["patches"] == 12


def test_a_partial_database(run, bigearthnet, tmp_path, monkeypatch):
    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    stop = threading.Event()
    encode(bigearthnet, str(tmp_path / "out"), stop=stop, progress=lambda *_: stop.set())
    found = json.loads(run("info", tmp_path / "out", "--json").out)
    assert found["state"] == "partial, not complete"
    assert found["target"] == f"{tmp_path}/out.partial"
    assert 0 < found["patches"] < 12
    assert found["tensors"]


def test_a_database_of_another_tool(run, tmp_path):
    with lmdb.open(str(tmp_path / "other")) as env, env.begin(write=True) as txn:
        for index in range(3):
            pixels = np.zeros((4, 5 + index // 2), "f4")
            txn.put(f"p{index}".encode(), safetensors.numpy.save({"A": pixels}))
        txn.put(b"q", b"not safetensors at all")
        txn.put(b"r", b"")
    outcome = run("info", tmp_path / "other")
    assert outcome.code == 0
    assert "made by another tool" in outcome.out
    assert "  A            F32  4 x 5        in 2 patches" in outcome.out
    assert "  A            F32  4 x 6        in 1 patch" in outcome.out
    assert "other: 2 records without a safetensors value" in outcome.out


@pytest.mark.parametrize("content", [None, b"", b"x" * 10000])
def test_no_database(run, tmp_path, content):
    if content is not None:
        (tmp_path / "data.mdb").write_bytes(content)
    outcome = run("info", tmp_path)
    assert outcome.code == 4
    assert outcome.err.startswith(f"Error: {tmp_path}: ")
