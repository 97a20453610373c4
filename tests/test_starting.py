"""Started in odd ways: under nohup, without an environment, in a C locale, with closed streams."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oracles import problems, records

COMMAND = [sys.executable, "-m", "rs_tensor_encoder"]


@pytest.fixture(scope="module")
def expected(roots, tmp_path_factory):
    """Records of the sample, encoded in the usual way."""
    target = tmp_path_factory.mktemp("usual") / "out"
    subprocess.run([*COMMAND, *roots, target, "-q"], check=True, stdout=subprocess.DEVNULL)
    return records(target)


def ignores(pid, number):
    """Whether a process ignores a signal, by what the kernel says."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("SigIgn:")[2].split()[0], 16) >> (number - 1) & 1


def hang_up(words, ready):
    """Start a command and send SIGHUP to all of its processes until it has ended."""
    process = subprocess.Popen(
        list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    sent = 0
    while process.poll() is None:
        if sent or ready(process.pid):
            os.killpg(process.pid, signal.SIGHUP)
            sent += 1
        time.sleep(0.002)
    out, err = process.communicate()
    assert sent > 10
    return process.returncode, out, err


def test_under_nohup_a_closed_terminal_is_no_matter(many_patches, tmp_path):
    """What nohup ignores stays ignored: by the encoder, and by the workers of a check."""
    source = ["--bigearthnet-s1-root", many_patches]

    def ready(pid):
        return ignores(pid, signal.SIGHUP)

    code, out, err = hang_up(["nohup", *COMMAND, *source, tmp_path / "out"], ready)
    assert (code, "verified, 2,000 patches encoded" in out) == (0, True), err
    check = ["check", *source, tmp_path / "out", "--sample", "400", "--workers", "2"]
    code, out, err = hang_up(["nohup", *COMMAND, *check], ready)
    assert (code, "no differences; 400 of 2,000 patches" in out) == (0, True), err
    code, out, err = hang_up(["nohup", *COMMAND, "info", tmp_path / "out"], ready)
    assert (code, "2,000 patches" in out) == (0, True), err


def test_without_nohup_the_same_signal_ends_it(many_patches, tmp_path):
    """Else the test before would prove nothing."""
    words = [*COMMAND, "--bigearthnet-s1-root", many_patches, tmp_path / "out"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) != 0


SURROUNDINGS = {
    "nothing": {},
    "demoted C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "demoted POSIX locale": {"LANG": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "locale that is not there": {"LC_ALL": "xx_YY.UTF-8"},
    "ASCII streams": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_all_verbs_work_with_a_poor_environment(command, roots, expected, tmp_path, surroundings):
    """As `env -i` starts them: neither PATH nor HOME, nor a locale."""
    options = {"env": SURROUNDINGS[surroundings]}
    target = tmp_path / "out"
    encoded = command(*roots, target, **options)
    assert encoded.code == 0, encoded.err
    assert records(target) == expected
    checked = command("check", *roots, target, **options)
    assert checked.code == 0, checked.err
    assert "no differences; 12 of 12 patches" in checked.out
    for words in (("info", target), ("layouts",), ("--help",), ("--version",)):
        here = command(*words, **options)
        assert here.code == 0, here.err
        usual = command(*words)
        assert here.out == usual.out
    told = command("info", target, "--json", **options)
    assert json.loads(told.out)["patches"] == 12
    missing = command("check", *roots, tmp_path / "none", **options)
    assert missing.code == 4
    assert str(tmp_path / "none") in missing.err
    assert "Traceback" not in missing.err


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_standard_streams_do_no_harm(roots, expected, tmp_path, closed):
    """Files get the numbers 0 to 2 then: what is printed must not go into them."""
    target = tmp_path / "out"

    def call(*words):
        done = subprocess.run(
            ["bash", "-c", f'exec "$@" {closed}', "bash", *COMMAND, *map(str, words)],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode >= 0, done.returncode
        assert "Traceback" not in done.stderr
        return done

    encoded = call(*roots, target)
    assert encoded.returncode == 0, encoded.stderr
    whole(target, expected)
    checked = call("check", *roots, target, "--workers", "2")
    assert checked.returncode == 0, checked.stderr
    told = call("info", target)
    assert told.returncode == 0, told.stderr
    if ">&-" not in closed:
        assert "12 patches encoded" in encoded.stdout
        assert "no differences; 12 of 12 patches" in checked.stdout
        assert "12 patches" in told.stdout
    # What is said to the user in an error, and of progress, goes nowhere else.
    assert call("--bigearthnet-s1-root", tmp_path / "none", tmp_path / "other").returncode == 3
    assert not (tmp_path / "other").exists()
    # A patch that fails is named, and the others are whole.
    damaged = sorted(Path(roots[1]).rglob("*.tif"))[0]
    source = tmp_path / "damaged"
    subprocess.run(["cp", "-r", roots[1], source], check=True)
    (source / damaged.relative_to(roots[1])).write_bytes(b"II*\0 not a directory")
    failed = call("--bigearthnet-s1-root", source, tmp_path / "some", "--skip-failed")
    assert failed.returncode == 1
    assert ("2>&-" in closed) != (damaged.name in failed.stderr)
    lost = damaged.parent.name.encode()
    assert lost in expected
    kept = {k: v for k, v in expected.items() if k.startswith(b"S1") and k != lost}
    whole(tmp_path / "some", kept)


def whole(target, expected):
    """A target is all there, and nothing but what it holds was written to its files."""
    assert records(target) == expected
    assert not problems(target / "data.mdb")
    done = subprocess.run(
        [*COMMAND, "check", "--digests", target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in target.iterdir()} == {
        "data.mdb", "lock.mdb", "rs-tensor-encoder.digests", "rs-tensor-encoder.json",
    }  # fmt: skip
