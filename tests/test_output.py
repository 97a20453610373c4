"""What is printed, in any message of any verb: it helps, and commands no terminal."""

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rs_tensor_encoder.cli import VERBS
from rs_tensor_encoder.cli.progress import Progress
from tiff_factory import ramp, strips

# What a hostile name may hold: colours, a title, a newline, a tab, the other direction, a bell.
EVIL = "e\x1b[31m\x1b]0;t\x07\n\t\u202e\x9b2J\x7f"
LAYOUT = """
patch = "file"
path = '[^/]+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["A"]
"""


def harmless(text):
    """Nothing but characters that a terminal shows, in lines."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def evil(tmp_path):
    """A tree whose names, layout and targets all try to command the terminal."""
    root = tmp_path / f"root{EVIL}"
    root.mkdir()
    strips(ramp()).write(root / f"good{EVIL}.tif")
    (root / f"bad{EVIL}.tif").write_bytes(b"<html>")
    (root / f"loop{EVIL}.tif").symlink_to(f"loop{EVIL}.tif")
    (root / f"link{EVIL}").symlink_to(tmp_path)
    (root / f"text{EVIL}.txt").touch()
    layout = tmp_path / f"own{EVIL}.toml"
    layout.write_text(LAYOUT)
    return root, layout, tmp_path / f"out{EVIL}"


def test_names_command_no_terminal_in_any_verb(run, evil, tmp_path):
    root, layout, out = evil
    source = ["--layout", layout, root]
    calls = [
        [*source, out],
        [*source, out, "--dry-run"],
        [*source, out, "-v", "--skip-failed"],
        [*source, out],
        ["check", *source, out, "--workers", "1"],
        ["check", *source, out, "--workers", "2", "-v"],
        ["check", "--digests", out],
        ["check", "--digests", "--against", root, out],
        ["info", out],
        ["info", root],
        ["info", tmp_path / f"nothing{EVIL}"],
        ["layouts", "--try", layout, root],
        ["layouts", "--try", root, root],
        ["layouts", "--guess", root],
        ["layouts", "--guess", tmp_path / f"nothing{EVIL}"],
        ["layouts", f"name{EVIL}"],
        ["demo", out],
        ["demo", tmp_path / f"nothing{EVIL}" / "demo"],
        ["--hyspecnet", root, tmp_path / "two"],
        ["--hyspecnet", tmp_path / f"nothing{EVIL}", tmp_path / "two"],
        ["--layout", tmp_path / f"nothing{EVIL}", root, out],
        [*source, out, f"--no-such{EVIL}"],
        [*source, out, "--with", f"mask{EVIL}"],
        [*source, out, "--workers", f"2{EVIL}"],
        [*source, out, "--max-file-size", f"2{EVIL}"],
        [*source, out, root, layout],
        [f"verb{EVIL}"],
        [root],
        [*source, f"~{EVIL}/out"],
        [*source, f"s3://{EVIL}/out"],
        [*source, root / "out"],
    ]
    seen = ""
    for words in calls:
        outcome = run(*words)
        assert harmless(outcome.out), words
        assert harmless(outcome.err), words
        assert "Traceback" not in outcome.err
        seen += outcome.out + outcome.err
    # The names were there, in characters that are harmless.
    for part in ("root", "good", "bad", "loop", "link", "out", "nothing", "no-such", "mask"):
        assert f"{part}e\\x1b[31m\\x1b]0;t\\x07\\n\\t\\u202e\\x9b2J\\x7f" in seen, part


def test_names_command_no_terminal_in_damaged_databases(run, evil):
    root, layout, out = evil
    source = ["--layout", layout, root]
    assert run(*source, out, "-q", "--skip-failed").code == 1
    data = out / "data.mdb"
    whole = data.read_bytes()
    manifest = (out / "rs-tensor-encoder.json").read_text()
    changes = [
        lambda: data.write_bytes(whole[:5000]),
        lambda: data.write_bytes(b"\x1b[31m" * 9000),
        lambda: (out / "rs-tensor-encoder.json").write_text("\x1b[31m"),
        lambda: (out / "rs-tensor-encoder.json").write_text(manifest.replace("own", "\x1b[31m")),
        lambda: (out / "rs-tensor-encoder.digests").write_bytes(b"\x1b[31m" * 99),
    ]
    for change in changes:
        change()
        for words in (["info", out], ["check", *source, out], ["check", "--digests", out]):
            outcome = run(*words)
            assert outcome.code in (0, 1, 4)
            assert harmless(outcome.out + outcome.err), words
        data.write_bytes(whole)
        (out / "rs-tensor-encoder.json").write_text(manifest)


# ---- what cannot be printed -------------------------------------------------


def shell(line):
    """Run a line of bash in which ``rte`` is the command; it prints the exit code of that."""
    script = f'set -u; rte() {{ {sys.executable} -m rs_tensor_encoder "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("more", ["", "--json"])
@pytest.mark.parametrize("sink", ["> /dev/full", "| true", ">&-"])
def test_a_report_that_cannot_be_printed_is_no_failure(roots, tmp_path, sink, more):
    """The exit code is that of the work; what was asked for and not done would be one."""
    out = tmp_path / "out"
    source = " ".join(roots)
    done = shell(f"rte {source} {out} {more} {sink}; echo ${{PIPESTATUS[0]}} >&2")
    assert done.stderr.splitlines()[-1] == "0", done.stderr
    assert (out / "data.mdb").exists()
    assert ("Note: the report could not be printed" in done.stderr) == (sink != ">&-")
    done = shell(f"rte check {source} {out} {more} {sink}; echo ${{PIPESTATUS[0]}} >&2")
    assert done.stderr.splitlines()[-1] == "0", done.stderr
    # A list that is not printed is not done.
    for words in (f"info {out} {more}", f"layouts {more}", "layouts hyspecnet"):
        done = shell(f"rte {words} > /dev/full; echo $? >&2")
        assert done.stderr.splitlines() == [
            "Error: standard output: No space left on device",
            "1",
        ]


def test_errors_are_lost_with_stderr_and_the_work_is_not(roots, tmp_path):
    out = tmp_path / "out"
    for sink in ("2> /dev/full", "2>&-"):
        done = shell(f"rte {' '.join(roots)} {out} {sink}; echo $?")
        assert done.stdout.splitlines()[-1] == "0"
        assert f"{out}: verified, 12 patches encoded" in done.stdout
        done = shell(f"rte {' '.join(roots)} {out} {sink}; echo $?")
        assert done.stdout.splitlines()[-1] == "4"
        done = shell(f"rm -r {out}")
        assert done.returncode == 0


def test_the_work_goes_on_without_its_terminal(monkeypatch):
    """A terminal that was closed answers with EIO: the bar is given up."""

    class Closed:
        encoding = "utf-8"

        def __init__(self, writes):
            self.writes = writes

        def write(self, text):
            self.writes.append(text)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def flush(self):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def fileno(self):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    clock = "rs_tensor_encoder.cli.progress.time.monotonic"
    monkeypatch.setattr(clock, iter(range(0, 10**6, 40)).__next__)
    for is_terminal in (True, False):
        writes = []
        Closed.isatty = lambda _, answer=is_terminal: answer
        monkeypatch.setattr(sys, "stderr", Closed(writes))
        with Progress("encode", 10) as progress:
            for _ in range(5):
                progress.keep(1, 1)
                progress.update(1, 1)
        # It was tried.
        assert writes


# ---- errors as JSON ---------------------------------------------------------


def test_errors_before_the_run_are_an_object_too(run, roots, tmp_path):
    full = tmp_path / "full"
    (full / "x").mkdir(parents=True)
    cases = {
        (*roots, full): 4,
        ("--hyspecnet", tmp_path / "nowhere", tmp_path / "out"): 3,
        ("--no-such-option", tmp_path / "out"): 2,
        (tmp_path / "out",): 2,
        ("--layout", full, full, tmp_path / "out"): 2,
        ("check", *roots, tmp_path / "out"): 4,
        ("check", "--digests", tmp_path / "out"): 4,
        ("info", tmp_path / "out"): 4,
        ("layouts", "no-such-name"): 2,
        ("layouts", "--guess", full): 3,
        ("layouts", "--try", "hyspecnet", full): 3,
    }
    for words, code in cases.items():
        plain = run(*words)
        assert (plain.code, plain.out) == (code, "")
        outcome = run(*words, "--json")
        found = json.loads(outcome.out)
        assert found.keys() == {"error", "exit_code"}
        assert outcome.code == found["exit_code"] == code
        assert plain.err.endswith(f"Error: {found['error']}\n")
        assert outcome.err == plain.err


def test_every_echo_is_behind_one_door():
    """Nothing but `output` prints, so that nothing is forgotten to be escaped."""
    import rs_tensor_encoder

    package = Path(rs_tensor_encoder.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text()
        if path.name != "output.py":
            calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
            assert not {"print", "click.echo"} & {ast.unparse(call) for call in calls}, path
    assert set(VERBS) == {"encode", "check", "info", "layouts", "demo"}
    assert click.echo
