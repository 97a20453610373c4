"""What all verbs have in common: help, versions, progress."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import imagecodecs
import lmdb
import numpy as np
import pytest
import rasterio
import safetensors
import tifffile
import xxhash

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.cli import VERBS
from rs_tensor_encoder.cli.progress import Progress


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(run, verb):
    outcome = run(verb, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.out
    assert f"  rs-tensor-encoder {verb}" in outcome.out
    lines = outcome.out.splitlines()
    options = [line for line in lines if line.startswith("  -")]
    # Every option says what it does, on its line or on the next.
    for line in options:
        following = lines[lines.index(line) + 1] if line in lines[:-1] else ""
        assert "  " in line.strip() or following.startswith(" " * 10), line


def test_help_names_all_verbs(run):
    outcome = run("--help")
    assert outcome.code == 0
    for verb in VERBS:
        assert f"  {verb}" in outcome.out
    assert "..." not in outcome.out.partition("Commands:")[2].partition("Examples:")[0]


def test_version_names_the_libraries(run):
    outcome = run("--version")
    assert outcome.code == 0
    for name in ("rs-tensor-encoder 0.", "libtiff 4.", "libdeflate ", "lmdb ", "safetensors "):
        assert name in outcome.out
    assert "AdobeDeflate" in outcome.out
    python = f"Python {sys.version.split()[0]} with "
    packages = outcome.out.partition(python)[2].strip().split(", ")
    # Those of extras, too, which the tests need.
    for module in (imagecodecs, lmdb, np, rasterio, safetensors, tifffile):
        assert f"{module.__name__} {module.__version__}" in packages
    assert f"xxhash {xxhash.VERSION}" in packages
    assert any(package.startswith("google-re2 1.") for package in packages)
    bundled = _tiff.versions()["bundled"]
    assert all(f"{name} {number}" in outcome.out for name, number in bundled.items())
    assert ("(bundled, with " if bundled else "(of the system)") in outcome.out


def test_help_and_version_are_light():
    code = (
        "import sys\n"
        "from rs_tensor_encoder.cli import main\n"
        "main(sys.argv[1:])\n"
        "heavy = {'imagecodecs', 'lmdb', 'numpy', 'safetensors', 'tifffile', 'tqdm', 'xxhash'}\n"
        "heavy &= sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for arguments in (["--help"], ["--version"], ["encode", "--help"], ["check", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_without_a_terminal_no_bar_is_imported(roots, tmp_path):
    code = (
        "import sys\n"
        "from rs_tensor_encoder.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit('imported tqdm' if 'tqdm' in sys.modules else code)"
    )
    words = [sys.executable, "-c", code, *map(str, roots), tmp_path / "out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What a command ends with whose output nobody reads.
NOBODY_READS = 1


@pytest.mark.parametrize(
    "words", ["encode", "encode --json", "check", "info", "info --json", "layouts", "--help"]
)
def test_a_closed_pipe_is_no_traceback(roots, run, tmp_path, words):
    """As in `rs-tensor-encoder ... | true`; in a shell, $? would be the exit code of `true`."""
    verb, *options = words.split()
    target = tmp_path / "out"
    if verb in {"check", "info"}:
        assert run(*roots, target).code == 0
    about = {"encode": [*roots, target], "check": [*roots, target], "info": [target]}
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "rs_tensor_encoder", verb, *about.get(verb, []), *options],
            stdout=pipe, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    # A list that nobody reads is not given; what was to be done besides is done.
    assert done.returncode == (0 if verb in {"encode", "check"} else NOBODY_READS)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    if verb == "encode":
        # What it was to do is done.
        assert run("check", *roots, target).code == 0


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("rs_tensor_encoder.cli.progress.time.monotonic", lambda: clock[0])
    with Progress("encode", 10_000) as progress:
        progress.keep(4_000, 4_000_000)
        for _ in range(10):
            clock[0] += 4
            progress.update(400, 40_000_000)
    assert capsys.readouterr().err == (
        "encode: 7,200 of 10,000 patches (72.0%), 100 patches/s, 10.0 MB/s, 0:28 left\n"
    )
    with Progress("encode", 10, quiet=True) as progress:
        clock[0] += 100
        progress.update(5, 5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_bar_leaves_room_for_what_a_terminal_writes_of_ctrl_c(monkeypatch, columns):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with open(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress("encode", 549_488) as progress:
            for _ in range(3):
                time.sleep(0.11)  # the bar is drawn ten times a second
                progress.update(100_000, 10**10)
        monkeypatch.undo()
    written = b""
    with contextlib.suppress(OSError):  # what a terminal without a writer answers
        while True:
            written += os.read(master, 1 << 16)
    os.close(master)
    drawn = written.decode().split("\r")
    assert any("300000/549488" in line for line in drawn)
    assert all(len(line.rstrip()) <= columns - len("^C^C") for line in drawn)
    # All of the line is taken away at the end, but for the last column, which would break it.
    assert drawn[-3:] == [" " * (columns - 1), " " * (columns - 1), ""]
