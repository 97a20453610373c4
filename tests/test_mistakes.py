"""Mistakes and mishaps that once were answered badly: each has an answer now."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest
import safetensors.numpy
import tifffile

from harm import size_of
from oracles import records, signed
from rs_tensor_encoder.storage.manifest import Manifest
from rs_tensor_encoder.util.system import boot_id
from tiff_factory import LONG, ramp, strips


def refused(outcome, code, *words):
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_a_source_is_never_taken_for_a_partial_target(run, own_sample, tmp_path):
    root = tmp_path / "data.partial"
    shutil.copytree(own_sample.sentinel_1, root)
    before = sorted(os.listdir(root))
    outcome = run("--bigearthnet-s1-root", root, tmp_path / "data", "-q")
    refused(outcome, 4, "lies inside the source")
    assert sorted(os.listdir(root)) == before


def test_files_of_others_in_a_partial_target(run, roots, tmp_path):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "mine.txt").write_text("mine")
    for options in ([], ["--restart"]):
        refused(run(*roots, tmp_path / "out", "-q", *options), 4, "mine.txt", "not ours")
    assert os.listdir(partial) == ["mine.txt"]
    (partial / "mine.txt").unlink()
    (partial / "data.mdb").mkdir()
    refused(run(*roots, tmp_path / "out", "-q", "--restart"), 4, "cannot be removed")


def test_a_band_that_is_there_twice_is_always_the_same(own_sample, run, tmp_path):
    paths = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))
    for path in paths[::2]:
        shutil.copy(path, path.with_suffix(".TIF"))
        tifffile.imwrite(path, np.zeros((120, 120), "f4"))
    for path in paths[1::2]:
        path.rename(path.with_suffix(".TIF"))
    source = ["--bigearthnet-s1-root", own_sample.sentinel_1]
    contents = set()
    for workers in (1, 2, 8):
        assert run(*source, tmp_path / f"{workers}", "--workers", workers).code == 0
        contents.add((tmp_path / f"{workers}" / "data.mdb").read_bytes())
    assert len(contents) == 1
    assert run("check", *source, tmp_path / "1", "--workers", "1").code == 0


def test_a_width_that_does_not_fit_the_strips(own_sample, run, tmp_path):
    path = sorted(Path(own_sample.sentinel_2).rglob("*_B01.tif"))[0]
    tiff = strips(ramp(20, 20))
    tiff.tags[256] = (LONG, [16])
    tiff.write(path)
    outcome = run("--bigearthnet-s2-root", own_sample.sentinel_2, tmp_path / "out", "-q")
    refused(outcome, 1, str(path), "has 800 bytes, not the 640 of its pixels")


def test_an_image_that_its_file_cannot_hold(own_sample, run, tmp_path):
    paths = sorted(Path(own_sample.sentinel_2).rglob("*_B01.tif"))
    for path, height in zip(paths, (1 << 22, 1 << 26), strict=False):
        tiff = strips(ramp(20, 20), compress=True)
        tiff.tags[257] = (LONG, [height])
        tiff.tags[278] = (LONG, [height])
        tiff.write(path)
    outcome = run("--bigearthnet-s2-root", own_sample.sentinel_2, tmp_path / "out", "-q")
    refused(outcome, 1, "bytes of file cannot hold", "would take more than")
    assert len(outcome.err.splitlines()) == 2


def test_one_large_patch_among_small_ones(plan_of, own_sample, tmp_path):
    from rs_tensor_encoder.encoding.encode import encode

    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[-1]
    tifffile.imwrite(path, np.ones((2000, 3000), "f4"))
    assert encode(plan_of(bigearthnet_s1=own_sample.sentinel_1), str(tmp_path / "out")).complete
    assert max(len(value) for value in records(tmp_path / "out").values()) > 24_000_000


def limited(what, value, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "rs_tensor_encoder", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(what, (value, value)),
    )


def test_too_few_descriptors_are_no_fault_of_the_patches(roots, tmp_path):
    seen = set()
    for descriptors in range(8, 26):
        arguments = [*roots, tmp_path / f"{descriptors}", "--skip-failed", "-q", "--workers", 8]
        done = limited(resource.RLIMIT_NOFILE, descriptors, *arguments)
        assert "left out" not in done.stdout
        if done.returncode == 3:
            assert "Too many open files; nothing is lost" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        seen.add(done.returncode)
    assert {0, 3} <= seen


def test_a_limit_on_the_size_of_files(roots, tmp_path):
    for size in (0, 4096, 1 << 20):
        done = limited(resource.RLIMIT_FSIZE, size, *roots, tmp_path / "out", "-q")
        assert done.returncode == 4
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()


def test_a_pipe_that_bears_the_name_of_a_band(own_sample, run, tmp_path):
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[0]
    path.unlink()
    os.mkfifo(path)
    source = ["--bigearthnet-s1-root", own_sample.sentinel_1]
    assert run(*source, tmp_path / "out", "--skip-failed").code == 1
    outcome = run("check", *source, tmp_path / "out", "--workers", "1")
    assert outcome.code == 0
    assert "1 left out that cannot be read" in outcome.out


def test_nothing_at_all_to_finish_with(own_sample, run, tmp_path):
    for path in Path(own_sample.sentinel_1).rglob("*.tif"):
        path.write_bytes(b"")
    source = ["--bigearthnet-s1-root", own_sample.sentinel_1]
    outcome = run(*source, tmp_path / "out", "--skip-failed", "-q")
    assert outcome.code == 1
    assert "the file is empty (and 3 more like it)\n" in outcome.err
    assert outcome.out.startswith("No target: 4 of 4 patches failed (all in ")
    assert not (tmp_path / "out").exists()


def test_names_that_are_not_utf_8(made_up, command, tmp_path):
    target = os.fsencode(tmp_path) + b"/bad\xff"
    source = ["--bigearthnet-s1-root", made_up.sentinel_1]
    done = command(*source, os.fsdecode(target))
    assert done.code == 0, done.err
    assert command("check", *source, os.fsdecode(target), "--workers", "1").code == 0
    assert command("info", os.fsdecode(target), "--json").code == 0


def test_a_link_that_leads_to_itself(own_sample, run, tmp_path):
    loop = Path(own_sample.sentinel_1) / "loop"
    loop.symlink_to(loop)
    outcome = run("--bigearthnet-s1-root", own_sample.sentinel_1, tmp_path / "out")
    assert outcome.code == 0
    assert f"Left aside: 1 symbolic link that cannot be followed ({loop})\n" in outcome.err


def test_empty_and_repeated_words(roots, made_up, run, tmp_path):
    refused(run("--hyspecnet", "", tmp_path / "out"), 2, "--hyspecnet is empty")
    refused(run(*roots, ""), 2, "TARGET is empty")
    refused(run("demo", ""), 2, "is empty")
    twice = ["--hyspecnet", made_up.hyspecnet, "--hyspecnet", f"{made_up.hyspecnet}/"]
    refused(run(*twice, tmp_path / "out"), 2, "given twice", made_up.hyspecnet)
    assert os.listdir(tmp_path) == []


def test_two_dots_behind_a_link_mean_what_the_system_means(made_up, run, tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "deep")
    (tmp_path / "a" / "data").symlink_to(made_up.sentinel_1)
    assert run("--bigearthnet-s1-root", tmp_path / "link/../data", tmp_path / "out").code == 0


def test_a_directory_that_looks_like_an_option(command, tmp_path):
    assert command("demo", "--", "-dm", cwd=tmp_path).code == 0
    assert (tmp_path / "-dm" / "Encoded-BigEarthNet" / "data.mdb").exists()


def test_the_file_of_a_database_stands_for_it(roots, run, tmp_path):
    run(*roots, tmp_path / "out")
    assert run("check", *roots, tmp_path / "out" / "data.mdb", "--workers", "1").code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"sources": 5}, {"sources": None}, {"sources": [{"root": 1}]}, {"sources": ["x"]},
        {"left_out": None}, {"left_out": ["x"]}, {"left_out": [{"patch": 5}]},
        {"tensors": [{}]}, {"tensors": [{"dtype": 1, "shape": [1]}]}, {"bytes": "many"},
        {"versions": [1]}, {"complete": "yes"}, {"patches": True}, {"boot": 7}, {"more": 1},
    ],
)  # fmt: skip
def test_an_edited_manifest(roots, run, tmp_path, change):
    run(*roots, tmp_path / "out")
    path = tmp_path / "out" / "rs-tensor-encoder.json"
    edited = json.loads(path.read_text()) | change
    for text, said in ((json.dumps(edited), "edited"), (signed(edited), "cannot be understood")):
        path.write_text(text)
        refused(run("check", *roots, tmp_path / "out"), 4, said)
        outcome = run("info", tmp_path / "out")
        assert outcome.code == 0
        assert said in outcome.err
    assert next(iter(change)) in outcome.err


def test_a_manifest_of_a_hundred_thousand_brackets(roots, run, tmp_path):
    run(*roots, tmp_path / "out")
    (tmp_path / "out" / "rs-tensor-encoder.json").write_text("[" * 100_000)
    refused(run("check", *roots, tmp_path / "out"), 4, "cannot be understood")


ODD_HEADERS = [
    {"a": 5}, {"a": None}, {"a": {"dtype": "U8", "shape": 5}}, {"a": {"dtype": "U8"}}, [1],
    {"a": {"dtype": "U8", "shape": [[1]]}}, {"a": {"dtype": [1], "shape": [1]}},
]  # fmt: skip


def odd_value(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * 8


def test_odd_values_in_the_database_of_another_tool(run, tmp_path):
    with lmdb.open(str(tmp_path / "other")) as env, env.begin(write=True) as txn:
        for index, header in enumerate([*ODD_HEADERS, b"[" * 5000, b"\xff"]):
            txn.put(f"{index}".encode(), odd_value(header))
        txn.put(b"\xff\xfe", safetensors.numpy.save({"A": np.zeros((2, 2))}))
    outcome = run("info", tmp_path / "other")
    assert outcome.code == 0
    assert f"other: {len(ODD_HEADERS) + 2} records" in outcome.out


def test_odd_values_in_a_partial_database(bigearthnet, run, roots, tmp_path, monkeypatch):
    import threading

    from rs_tensor_encoder.encoding.encode import encode

    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    stop = threading.Event()
    encode(bigearthnet, str(tmp_path / "out"), stop=stop, progress=lambda *_: stop.set())
    with lmdb.open(str(tmp_path / "out.partial")) as env, env.begin(write=True) as txn:
        txn.put(bigearthnet.patches[0].key, odd_value({"a": 5}))
        txn.put(b"\xff\xfe", b"x")
    refused(run(*roots, tmp_path / "out", "-q"), 4, "do not have any more", "--restart")
    with lmdb.open(str(tmp_path / "out.partial")) as env, env.begin(write=True) as txn:
        txn.delete(b"\xff\xfe")
    outcome = run(*roots, tmp_path / "out", "-q")
    assert outcome.code == 0
    assert "the last run had meant to write 1 record otherwise" in outcome.err
    assert run("check", *roots, tmp_path / "out", "--workers", "1").code == 0


def test_damage_that_only_the_engine_sees(roots, run, tmp_path):
    run(*roots, tmp_path / "out")
    path = tmp_path / "out" / "data.mdb"
    whole = path.read_bytes()
    # Flags and counts in the headers of pages.
    for at in [*range(0, 4096, 129), *range(4106, len(whole), 4096)]:
        damaged = bytearray(whole)
        damaged[at] ^= 0x11
        path.write_bytes(damaged)
        outcome = run("info", tmp_path / "out", "--json")
        assert outcome.code in (0, 4)
        assert "Traceback" not in outcome.err


@pytest.mark.parametrize("stream", [">/dev/full", "2>&-", ">&-", "<&-"])
def test_streams_that_cannot_be_used(roots, tmp_path, stream):
    words = f"{sys.executable} -m rs_tensor_encoder {' '.join(roots)} {tmp_path}/out {stream}"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert len(records(tmp_path / "out")) == 12
    # The target is complete: that the report cannot be printed is said, and no failure.
    assert done.returncode == 0
    if stream == ">/dev/full":
        assert "Note: the report could not be printed (standard output: No space" in done.stderr


def test_a_check_that_is_terminated_leaves_no_processes(many_patches, run, tmp_path):
    source = ["--bigearthnet-s1-root", many_patches]
    assert run(*source, tmp_path / "out", "-q").code == 0
    words = [sys.executable, "-m", "rs_tensor_encoder", "check", *source, tmp_path / "out"]
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and len(children.read_text().split()) < 2:
        time.sleep(0.01)
    started = [int(child) for child in children.read_text().split()]
    assert len(started) >= 2
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    for _ in range(500):
        alive = [child for child in started if os.path.exists(f"/proc/{child}")]
        if not alive:
            break
        time.sleep(0.01)
    assert not alive


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="AddressSanitizer needs terabytes of addresses",
)
def test_too_little_memory_is_said_in_a_sentence(many_patches, tmp_path):
    # The database alone takes 350 MB of the address space.
    for megabytes in (250, 340):
        arguments = ["--bigearthnet-s1-root", many_patches, tmp_path / "out", "--workers", "2"]
        done = limited(resource.RLIMIT_AS, megabytes << 20, *arguments, "-q")
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1
        assert "ulimit" in done.stderr
    assert limited(resource.RLIMIT_AS, 4 << 30, *arguments).returncode == 0
    assert len(records(tmp_path / "out")) == 2000


def test_too_few_threads_are_said_in_a_sentence(roots, run, tmp_path, monkeypatch):
    def start(_function, _arguments):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", start)
        outcome = run(*roots, tmp_path / "out", "-q")
    refused(outcome, 3, "allows no more threads")
    assert run(*roots, tmp_path / "out", "-q").code == 0


def test_a_limit_on_files_and_their_pixels(own_sample, run, tmp_path):
    path = sorted(Path(own_sample.sentinel_2).rglob("*_B01.tif"))[0]
    tiff = strips(np.zeros((1200, 1000), "u2"), compress=True)
    tiff.write(path)
    assert path.stat().st_size < 100_000
    source = ["--bigearthnet-s2-root", own_sample.sentinel_2]
    for verb in ([], ["--dry-run"]):
        outcome = run(*source, tmp_path / "out", "-q", "--max-file-size", "2MB", *verb)
        refused(outcome, 1, str(path), "would take more than 2000000 bytes (see --max-file-size)")
        assert len(outcome.err.splitlines()) == 1
    outcome = run(*source, tmp_path / "out", "-q", "--max-file-size", "10 KiB")
    refused(outcome, 1, "bytes, more than 10240 (see --max-file-size)")
    assert run(*source, tmp_path / "out", "-q", "--max-file-size", "2.4 MB").code == 2
    assert run(*source, tmp_path / "out", "-q", "--max-file-size", "2400000").code == 0
    for decoder in ("tifffile", "rasterio", "pylibtiff"):
        arguments = ["check", *source, tmp_path / "out", "--workers", "1", "--decoder", decoder]
        assert run(*arguments).code == 0
        outcome = run(*arguments, "--max-file-size", "2MB")
        refused(outcome, 3, str(path), "the pixels would take 2400000 bytes, more than 2000000")
        assert "Not compared: " in outcome.err
        assert outcome.err.endswith("(see --max-file-size); raise --max-file-size\n")
        assert "1 file not compared" in outcome.out
        outcome = run(*arguments, "--max-file-size", "10 KiB")
        refused(outcome, 3, "bytes, more than 10240 (see --max-file-size)")


@pytest.mark.parametrize("size", ["0", "-1", "x", "1XB", "32TB", "33000GiB", "9" * 5000, "\u0661"])
def test_sizes_that_make_no_sense(roots, run, tmp_path, size):
    refused(run(*roots, tmp_path / "out", f"--max-file-size={size}"), 2, "is not a size")


def start_and_stop(words, target, size):
    """Start an encoding, and stop it, not knowing where, when it has written so much."""
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE)
    data = Path(f"{target}.partial/data.mdb")
    while process.poll() is None and size_of(data) <= size:
        time.sleep(0.0005)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None
    return process


def test_a_second_encoder_and_the_death_of_the_first(many_patches, run, tmp_path):
    source = ["--bigearthnet-s1-root", many_patches]
    words = [sys.executable, "-m", "rs_tensor_encoder", *source, tmp_path / "out", "--workers", "1"]
    first = start_and_stop(words, tmp_path / "out", 1 << 23)
    for options in ([], ["--restart"]):
        outcome = run(*source, tmp_path / "out", "-q", *options)
        refused(outcome, 4, "another encoder is writing to it")
    # Whatever kills the holder, its lock goes with it.
    first.kill()
    first.communicate()
    assert Manifest.load(f"{tmp_path}/out.partial").boot == boot_id()
    outcome = run(*source, tmp_path / "out", "-q")
    assert outcome.code == 0
    assert "kept from before" in outcome.out
    assert len(records(tmp_path / "out")) == 2000


@pytest.mark.parametrize("lock", [True, False])
def test_a_reader_has_the_partial_database_open(many_patches, tmp_path, lock):
    source = ["--bigearthnet-s1-root", many_patches]
    words = [sys.executable, "-m", "rs_tensor_encoder", *source, tmp_path / "out", "--workers", "1"]
    first = start_and_stop(words, tmp_path / "out", 1 << 23)
    with (
        lmdb.open(f"{tmp_path}/out.partial", readonly=True, lock=lock, map_size=1 << 30) as env,
        env.begin() as txn,
    ):
        before = dict(txn.cursor())
        assert before
        first.send_signal(signal.SIGCONT)
        first.communicate()
        assert first.returncode == 0
        # What it saw stays as it was, also under the new name. (A reader that takes no
        # part in LMDB's locks has no such claim; it must only do no harm.)
        if lock:
            assert dict(txn.cursor()) == before
    found = records(tmp_path / "out")
    assert len(found) == 2000
    assert before.items() <= found.items()
