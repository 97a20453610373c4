"""The verb check, as a user types it."""

import errno
import json
import os

import lmdb
import pytest


@pytest.fixture
def target(run, roots, tmp_path):
    run(*roots, tmp_path / "out")
    return tmp_path / "out"


def test_no_differences(run, roots, target):
    outcome = run("check", *roots, target)
    assert outcome.code == 0
    assert outcome.out == (
        f"{target}: no differences; 12 of 12 patches compared with tifffile "
        "(84 tensors, 1.7 MB); structure verified\n"
    )
    assert outcome.err == ""


def test_differences_are_listed_and_counted(run, roots, target):
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        txn.delete(b"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48")
        txn.put(b"S3", b"")
    outcome = run("check", *roots, target, "--workers", "1")
    assert outcome.code == 1
    assert "2 differences" in outcome.out
    assert "Differs: S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48: no such record" in outcome.err
    assert "Differs: S3: a record that no source explains" in outcome.err
    found = json.loads(run("check", *roots, target, "--workers", "1", "--json").out)
    assert found["exit_code"] == 1
    assert [d["patch"][:2] for d in found["differences"]] == ["S1", "S3"]


def test_long_lists_are_cut(run, roots, made_up, target):
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        for index in range(30):
            txn.put(f"X{index}".encode(), b"")
    arguments = ["check", *roots, target, "--workers", "1", "--sample", "1"]
    outcome = run(*arguments)
    assert "... and 10 more; -v lists them all" in outcome.err
    assert len(run(*arguments, "-v").err.splitlines()) == 30
    assert run("check", "--bigearthnet-s1-root", made_up.sentinel_1, target, "--json").code == 1


@pytest.mark.parametrize("name", ["rasterio", "pylibtiff"])
def test_other_decoders(run, roots, target, name):
    outcome = run("check", *roots, target, "--decoder", name, "--workers", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"compared with {name}" in outcome.out


def test_no_database(run, roots, tmp_path):
    outcome = run("check", *roots, tmp_path / "nowhere")
    assert outcome.code == 4
    assert outcome.err.startswith(f"Error: {tmp_path}/nowhere: no database here")
    assert run("check", tmp_path).code == 2
    assert run("check", "--hyspecnet", tmp_path / "no", tmp_path).code == 3


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, 3), (errno.EMFILE, 3), (errno.ENOSPC, 5)])
def test_an_error_of_the_system_is_not_blamed_on_the_target(
    run, roots, target, monkeypatch, number, code
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("rs_tensor_encoder.checking.against_sources.find", fail)
    outcome = run("check", *roots, target)
    assert outcome.code == code
    assert outcome.err == f"Error: [Errno {number}] {os.strerror(number)}\n"
