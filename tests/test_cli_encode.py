"""The verb encode, as a user types it: what is printed, and the exit codes."""

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from harm import size_of, without_privileges
from oracles import records
from rs_tensor_encoder.cli import signals
from rs_tensor_encoder.cli.commands.encode import _list_failures
from rs_tensor_encoder.errors import PatchError


def one_line(outcome, code):
    """An error is one line on stderr, with nothing on stdout and no traceback."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_encode_is_the_default_verb(run, roots, tmp_path):
    outcome = run(*roots, tmp_path / "out")
    assert outcome.code == 0
    assert outcome.out.startswith(f"{tmp_path}/out: verified, 12 patches encoded; 1.7 MB in")
    assert outcome.err.splitlines() == [f"12 patches, about 1.8 MB in {tmp_path}/out"]
    assert len(records(tmp_path / "out")) == 12
    assert run("encode", *roots, tmp_path / "two", "-q").err == ""


def test_python_m_is_the_same(command, roots, tmp_path):
    assert command(*roots, tmp_path / "out").code == 0
    assert len(records(tmp_path / "out")) == 12


def test_json_is_one_object(run, roots, tmp_path):
    outcome = run(*roots, f"{tmp_path}/out/", "--json", "--workers", "2")
    found = json.loads(outcome.out)
    assert found["complete"]
    assert found["encoded"] == found["patches"] == 12
    assert found["target"] == str(tmp_path / "out")
    assert found["exit_code"] == 0


def test_an_option_may_be_given_more_than_once(run, own_sample, made_up, tmp_path):
    for path in Path(own_sample.sentinel_1).rglob("*70_48*"):
        path.rename(path.with_name(path.name.replace("70_48", "80_48")))
    for place in sorted(Path(own_sample.sentinel_1).rglob("*_80_48"))[:1]:
        shutil.copytree(place, tmp_path / "more" / place.name)
    assert run(
        "--bigearthnet-s1-root", made_up.sentinel_1,
        "--bigearthnet-s1-root", tmp_path / "more", tmp_path / "out",
    ).code == 0  # fmt: skip
    assert len(records(tmp_path / "out")) == 7


def test_dry_run_writes_nothing(run, roots, tmp_path):
    outcome = run(*roots, tmp_path / "out", "--dry-run")
    assert outcome.code == 0
    assert "6 patches, about 692.1 kB" in outcome.out
    assert "would take about 1.8 MB" in outcome.out
    found = json.loads(run(*roots, tmp_path / "out", "--dry-run", "--json").out)
    assert found["patches"] == 12
    assert found["free"] > found["size"]
    assert [row["layout"] for row in found["sources"]] == ["bigearthnet-s1", "bigearthnet-s2"]
    assert os.listdir(tmp_path) == []


def test_dry_run_shows_the_first_problems(run, own_sample, tmp_path):
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[0]
    path.write_bytes(b"")
    outcome = run("--bigearthnet-s1-root", own_sample.sentinel_1, tmp_path / "out", "--dry-run")
    assert outcome.code == 1
    assert f"Would fail: {path}: the file is empty" in outcome.err


# ---- what users get wrong ---------------------------------------------------


def test_usage(run, tmp_path, roots):
    for arguments in (
        [tmp_path / "out"],
        ["--no-such-option", tmp_path / "out"],
        roots,
        [*roots, tmp_path / "out", "--workers", "0"],
    ):
        outcome = run(*arguments)
        assert outcome.code == 2
        assert "Traceback" not in outcome.err
        assert "Error: " in outcome.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("verb", [[], ["encode"], ["check"]])
def test_a_root_without_its_option(run, made_up, tmp_path, verb):
    outcome = run(*verb, made_up.hyspecnet, tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.endswith(
        f"Got {made_up.hyspecnet} {tmp_path}/out, but only TARGET stands without an option. "
        f"Did you mean --hyspecnet {made_up.hyspecnet}?\n"
    )
    # Such as a shell makes of a star.
    outcome = run(*verb, "--hyspecnet", *(tmp_path / name for name in "abcdefg"))
    assert outcome.code == 2
    assert f"Got {tmp_path}/b {tmp_path}/c {tmp_path}/d and 3 more, but only" in outcome.err
    assert outcome.err.endswith(" rs-tensor-encoder layouts lists all datasets.\n")


@pytest.mark.parametrize(("word", "verb"), [("chekc", "check"), ("layout", "layouts")])
def test_a_verb_that_is_none(run, roots, word, verb):
    for arguments in ([word], [word, *roots, "out"]):
        outcome = run(*arguments)
        assert outcome.code == 2
        assert outcome.err.endswith(f"There is no verb {word}. Did you mean {verb}?\n")


@pytest.mark.parametrize("name", ["eurosat", "EuroSAT-MS", "layouts/eurosat-ms.toml"])
def test_a_layout_of_our_own_given_as_the_users(run, tmp_path, name):
    outcome = run("--layout", name, tmp_path, tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.endswith("there is no such file. Did you mean --eurosat-ms ROOT?\n")
    outcome = run("--layout", "mine.toml", tmp_path, tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err == "Error: layout mine.toml: does not exist\n"


def test_a_root_that_does_not_exist(run, tmp_path):
    line = one_line(run("--hyspecnet", tmp_path / "nowhere", tmp_path / "out"), 3)
    assert f"{tmp_path}/nowhere: does not exist (given as --hyspecnet)" in line


def test_a_root_without_patches(run, made_up, tmp_path):
    line = one_line(run("--hyspecnet", made_up.sentinel_1, tmp_path / "out"), 3)
    assert f"{made_up.sentinel_1}: no patches of HySpecNet-11k found" in line


def test_places_without_permission(roots, own_sample, tmp_path):
    def call(*arguments):
        words = [*without_privileges(), sys.executable, "-m", "rs_tensor_encoder", *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    locked = Path(own_sample.sentinel_1) / "S1A_IW_GRDH_1SDV_20170613T165043"
    locked.chmod(0)
    readonly = tmp_path / "readonly"
    readonly.mkdir(mode=0o555)
    try:
        code, err = call("--bigearthnet-s1-root", own_sample.sentinel_1, str(tmp_path / "out"))
        assert code == 3
        assert f"Error: {locked}: Permission denied" in err
        code, err = call(*roots, str(readonly / "out"), "-q")
        assert code == 4
        assert f"Error: {readonly}/out.partial: cannot be made: Permission denied" in err
        assert len(err.splitlines()) == 1
    finally:
        locked.chmod(0o755)
    path = sorted(Path(own_sample.sentinel_1).rglob("*_VV.tif"))[0]
    path.chmod(0)
    code, err = call("--bigearthnet-s1-root", own_sample.sentinel_1, str(tmp_path / "out"), "-q")
    assert code == 1
    assert f"Failed: {path}: cannot be opened: Permission denied" in err


def test_targets_that_will_not_do(run, roots, made_up, tmp_path):
    (tmp_path / "there" / "x").mkdir(parents=True)
    line = one_line(run(*roots, tmp_path / "there"), 4)
    assert "exists already; choose another name" in line
    line = one_line(run(*roots, Path(made_up.sentinel_2) / "out"), 4)
    assert "lies inside the source" in line


def test_the_same_patch_twice(run, own_sample, tmp_path):
    place = sorted(Path(own_sample.sentinel_1).rglob("S1*_48"))[0]
    shutil.copytree(place, Path(own_sample.sentinel_1) / "copy" / place.name)
    line = one_line(run("--bigearthnet-s1-root", own_sample.sentinel_1, tmp_path / "out"), 3)
    assert str(place) in line
    assert f"copy/{place.name}" in line


def test_bad_files_are_named_with_the_reason(run, own_sample, tmp_path):
    paths = sorted(Path(own_sample.sentinel_2).rglob("*_B03.tif"))
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:1000])
    paths[2].write_text("just a text")
    arguments = ["--bigearthnet-s2-root", own_sample.sentinel_2, tmp_path / "out", "-q"]
    outcome = run(*arguments)
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert lines[0] == f"Failed: {paths[0]}: there is no such file"
    assert lines[1].startswith(f"Failed: {paths[1]}: ")
    assert "cut short or damaged" in lines[1]
    assert lines[2] == f"Failed: {paths[2]}: not a TIFF file"
    assert len(lines) == 3
    assert "Not complete: 3 of 4 patches failed" in outcome.out
    assert "--skip-failed" in outcome.out
    found = json.loads(run(*arguments, "--json").out)
    assert found["exit_code"] == 1
    assert [failure["path"] for failure in found["failures"]] == [str(p) for p in paths[:3]]
    outcome = run(*arguments, "--skip-failed")
    assert outcome.code == 1
    assert "verified, 0 patches encoded, 1 kept from before, 3 left out" in outcome.out


def test_failures_of_one_reason_are_counted(run, made_up, tmp_path):
    root = tmp_path / "S1"
    for tile in Path(made_up.sentinel_1).iterdir():
        for index in range(15):
            (root / tile.name / f"{tile.name}_33UUP_{index}_1").mkdir(parents=True)
    arguments = ["--bigearthnet-s1-root", root, tmp_path / "out", "-q"]
    (line,) = run(*arguments).err.splitlines()
    first = sorted(root.glob("*/*"))[0]
    assert line == (
        f"Failed: {first}/{first.name}_VV.tif: there is no such file (and 14 more like it)"
    )
    assert len(run(*arguments, "-v").err.splitlines()) == 15


def test_many_reasons_are_counted(capfd):
    errors = [PatchError(f"{letter}.tif", f"reason {letter}") for letter in "abcdefghijklm"]
    _list_failures(errors, "Failed", verbose=False)
    lines = capfd.readouterr().err.splitlines()
    assert lines[9:] == ["Failed: j.tif: reason j", "... and 3 more reasons; -v lists all failures"]
    # What differs in numbers only is one reason.
    errors = [PatchError(f"{i}.tif", f"strip {i} has {i * 7} bytes, not 9") for i in range(30)]
    _list_failures(errors, "Would fail", verbose=False)
    assert capfd.readouterr().err == (
        "Would fail: 0.tif: strip 0 has 0 bytes, not 9 (and 29 more like it)\n"
    )


# ---- the disk, the keyboard, the terminal -----------------------------------


def test_a_disk_that_is_too_small(run, roots, small_disk):
    (small_disk / "filler").write_bytes(bytes(63 << 20))
    line = one_line(run(*roots, small_disk / "out", "-q"), 5)
    assert "will take about 1.8 MB, but only 1.0 MB are free; nothing was written" in line
    assert os.listdir(small_disk) == ["filler"]
    assert run(*roots, small_disk / "out", "--dry-run").code == 5


def test_a_disk_that_fills_up_on_the_way(bigearthnet, run, roots, small_disk, monkeypatch):
    from rs_tensor_encoder.encoding.encode import encode
    from rs_tensor_encoder.errors import OutOfSpaceError

    monkeypatch.setattr("rs_tensor_encoder.encoding.batching.BATCH", 200_000)
    filler = small_disk / "filler"

    def fill(_patches, _size):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(bytes(1 << 12)):
                pass

    with pytest.raises(OutOfSpaceError, match="the disk is full") as caught:
        encode(bigearthnet, str(small_disk / "out"), progress=fill)
    assert caught.value.exit_code == 5
    assert not (small_disk / "out").exists()
    filler.unlink()
    outcome = run(*roots, small_disk / "out", "-q")
    assert outcome.code == 0
    assert "kept from before" in outcome.out
    assert len(records(small_disk / "out")) == 12


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "rs_tensor_encoder", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_after_a_commit_and_says_how_to_go_on(many_patches, tmp_path, number):
    arguments = ["--bigearthnet-s1-root", many_patches, tmp_path / "out", "--workers", "1"]
    process = start(*arguments, "-q")
    data = tmp_path / "out.partial" / "data.mdb"
    while process.poll() is None and size_of(data) <= 1 << 24:
        time.sleep(0.0005)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err == ""
    assert "run the same command to go on" in out
    assert not (tmp_path / "out").exists()
    out, err = start(*arguments).communicate(timeout=60)
    assert "kept from before" in out
    assert len(records(tmp_path / "out")) == 2000


class Late(threading.Event):
    """While it is set, there is one more request."""

    def set(self):
        signal.raise_signal(signal.SIGTERM)
        super().set()


def test_a_request_while_another_is_heard(monkeypatch):
    monkeypatch.setattr(signals.threading, "Event", Late)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), signals.interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_that_is_passed_on_counts_once(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    # Whatever other tests have asked for, by a clock that may be far ahead.
    monkeypatch.setattr(signals, "_last", float("-inf"))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with signals.interruptible() as stop:
        signal.raise_signal(signal.SIGINT)
        clock[0] += 0.01
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        clock[0] += 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    monkeypatch.delattr(sys, "frozen")
    with signals.interruptible():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_when_all_is_said(number):
    code = f"""
import atexit, signal
from rs_tensor_encoder import cli
cli.main = lambda: 0
atexit.register(signal.raise_signal, {number})
cli.run()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-number, b"")


def test_a_bar_on_a_terminal(roots, tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "rs_tensor_encoder", *roots, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1000)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    assert process.wait() == 0
    assert b"encode:" in shown
    assert b"/12" in shown
    # The bar is gone when all is done.
    assert shown.endswith(b"\r")
    process.stdout.close()
    os.close(ours)
