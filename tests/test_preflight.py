"""What a target may be, and what is looked at before a search begins."""

import json
import os
import stat
import subprocess
import sys

import pytest

from harm import without_privileges
from oracles import records
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import preflight


def test_an_empty_directory_is_replaced(run, roots, tmp_path):
    """As mktemp makes one; its mode stays."""
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    outcome = run(*roots, out, "-q")
    assert outcome.code == 0, outcome
    assert len(records(out)) == 12
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert os.listdir(tmp_path) == ["out"]
    # Now it is not empty any more.
    assert run(*roots, out).code == 4


def test_a_directory_that_fills_meanwhile_is_not_replaced(bigearthnet, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    original = os.rename

    def rename(one, other):
        (out / "theirs").touch()
        return original(one, other)

    monkeypatch.setattr("rs_tensor_encoder.storage.target.os.rename", rename)
    with pytest.raises(TargetError, match="Directory not empty"):
        encode(bigearthnet, str(out))
    assert os.listdir(out) == ["theirs"]
    monkeypatch.undo()
    (out / "theirs").unlink()
    assert encode(bigearthnet, str(out)).kept == 12


@pytest.mark.parametrize("kind", ["file", "full", "link", "dangling", "working", "above"])
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_what_is_no_free_name(run, roots, tmp_path, monkeypatch, kind, more):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "full" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path / "empty")
    name = {"working": ".", "above": ".."}.get(kind, tmp_path / kind)
    outcome = run(*roots, name, "-q", *more)
    assert outcome.code == 4
    assert len(outcome.err.splitlines()) == 1
    reason = "cannot be the working directory" if kind in ("working", "above") else "exists already"
    assert reason in outcome.err
    assert sorted(os.listdir(tmp_path)) == ["dangling", "empty", "file", "full", "link"]


def test_a_mount_point_is_told_at_once(run, roots, small_disk):
    for more in ([], ["--dry-run"]):
        outcome = run(*roots, small_disk, "-q", *more)
        assert outcome.code == 4
        assert "is a mount point, which cannot be replaced; name a directory inside" in outcome.err
    assert run(*roots, small_disk / "out", "-q").code == 0


def test_the_target_is_looked_at_before_the_search(run, made_up, tmp_path, monkeypatch):
    """Of two mistakes, the one that is found at once."""
    monkeypatch.setattr("rs_tensor_encoder.sources.discover.discover", None)
    (tmp_path / "out" / "x").mkdir(parents=True)
    for more in ([], ["--dry-run"]):
        outcome = run("--bigearthnet-s1-root", made_up.sentinel_1, tmp_path / "out", *more)
        assert outcome.code == 4, outcome


def unprivileged(*words):
    command = [*without_privileges(), sys.executable, "-m", "rs_tensor_encoder", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_dry_run_fails_where_the_run_does(roots, tmp_path):
    readonly = tmp_path / "readonly"
    (readonly / "begun.partial").mkdir(parents=True)
    (readonly / "begun.partial").chmod(0o555)
    (readonly / "locked").mkdir(mode=0)
    (tmp_path / "file").touch()
    readonly.chmod(0o555)
    denied = os.strerror(13)
    places = {
        readonly / "out": f"{readonly}/out.partial: cannot be made: {denied}",
        readonly / "a" / "b": f"{readonly}/a/b.partial: cannot be made: {denied}",
        readonly / "begun": f"{readonly}/begun.partial: no permission to write there",
        readonly / "locked": f"{readonly}/locked: cannot be looked into: {denied}",
        tmp_path / "file" / "out": f"cannot be made: {tmp_path}/file is not a directory",
        "/proc/out": "/proc/out.partial: cannot be made: ",
    }
    for target, reason in places.items():
        for more in ([], ["--dry-run"]):
            code, err = unprivileged(*roots, target, "-q", *more)
            assert (code, len(err.splitlines())) == (4, 1), (target, err)
            assert reason in err


def test_a_read_only_file_system_is_told(run, roots, small_disk):
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    for more in ([], ["--dry-run"]):
        outcome = run(*roots, small_disk / "out", "-q", *more)
        assert outcome.code == 4
        assert f"{small_disk}/out.partial: cannot be made: Read-only file system" in outcome.err


def test_a_dry_run_refuses_what_other_sources_have_begun(run, made_up, own_sample, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "out.partial").mkdir()
    source = ["--bigearthnet-s1-root", own_sample.sentinel_1, out, "-q"]
    next(iter(sorted(tmp_path.rglob("*_VV.tif")))).write_bytes(b"")
    assert run(*source).code == 1
    other = ["--bigearthnet-s1-root", made_up.sentinel_1, out, "-q"]
    for more in ([], ["--dry-run"]):
        outcome = run(*other, *more)
        assert outcome.code == 4
        assert "was begun from other sources" in outcome.err
    assert run(*other, "--dry-run", "--restart").code == 0


def test_a_file_system_that_does_not_say_what_it_is(tmp_path, monkeypatch):
    def no(_):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("rs_tensor_encoder.storage.preflight.os.statvfs", no)
    monkeypatch.setattr("rs_tensor_encoder.storage.preflight.os.access", lambda *_: False)
    with pytest.raises(TargetError, match="Permission denied"):
        preflight.check_target([], str(tmp_path / "out"))


# ---- words that a shell, or another tool, would have understood -------------


@pytest.mark.parametrize("word", ["~/out", "~nobody/out", "$HOME/out", "${TMPDIR}/out", "~"])
def test_what_a_shell_has_not_replaced(run, roots, tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    first = word.partition("/")[0]
    for words in ([*roots, word], ["check", *roots, word], ["--hyspecnet", word, "out"]):
        outcome = run(*words)
        assert outcome.code == 2
        assert f"is '{word}': that names a directory called '{first}' here" in outcome.err
    assert os.listdir(tmp_path) == []
    # Whoever has such a directory may name it.
    assert run(*roots, f"./{word}", "-q").code == 0
    if "/" in word:
        assert run(*roots, f"{word}2", "-q").code == 0


@pytest.mark.parametrize("word", ["s3://bucket/out", "https://host/out.tar", "file:///tmp/out"])
def test_urls_are_no_directories(run, roots, tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    for words in ([*roots, word], ["--hyspecnet", word, "out"], ["info", word]):
        outcome = run(*words)
        assert outcome.code == 2
        assert f"is a URL ({word}): download the dataset" in outcome.err
    assert os.listdir(tmp_path) == []


ARCHIVES = {
    "a.zip": (b"PK\x03\x04", "a zip archive"),
    "a.tar": (bytes(257) + b"ustar\x0000", "a tar archive"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    "a.tgz": (b"\x1f\x8b\x08", "a gzip archive"),
    "a.tar.xz": (b"\xfd7zXZ\0", "an xz archive"),
    "a.tar.bz2": (b"BZh9", "a bzip2 archive"),
    "a.parquet": (b"PAR1", "a Parquet file"),
    "renamed": (b"PK\x03\x04", "a zip archive"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_to_be_unpacked(run, tmp_path, name):
    start, kind = ARCHIVES[name]
    (tmp_path / name).write_bytes(start + bytes(1000))
    text = f"{tmp_path}/{name}: is {kind}: unpack it first, and name the directory"
    for words in (
        ["--hyspecnet", tmp_path / name, tmp_path / "out"],
        ["--hyspecnet", tmp_path / name, tmp_path / "out", "--dry-run"],
        ["check", "--hyspecnet", tmp_path / name, tmp_path / "out"],
        ["layouts", "--try", "hyspecnet", tmp_path / name],
        ["layouts", "--guess", tmp_path / name],
    ):
        outcome = run(*words)
        assert outcome.code == 3
        assert text in outcome.err


def test_places_without_permission_are_not_missing(roots, tmp_path):
    locked = tmp_path / "locked"
    (locked / "root").mkdir(parents=True)
    locked.chmod(0)
    for words, code in (
        (["--hyspecnet", locked / "root", tmp_path / "out"], 3),
        (["info", locked / "out"], 4),
        (["info", locked], 4),
        (["check", "--digests", locked / "out"], 4),
        (["check", *roots, locked], 4),
    ):
        found, err = unprivileged(*words)
        assert found == code, err
        assert "Permission denied" in err, err
        assert "no database here" not in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["hyspecnet-11k"], "rs-tensor-encoder --hyspecnet DIR TARGET"),
        (["hyspecnet-11k", "--dataset-dir", "a", "--target-dir", "b"], "--hyspecnet DIR TARGET"),
        (["bigearthnet", "--bigearthnet-s1-dir=a", "--target-dir=b"], "--bigearthnet-s1-root S1"),
        (["--hyspecnet", "a", "--target-dir", "b"], "the target stands without an option"),
        (["--dataset-dir", "a", "b"], "the option names the dataset"),
        (["--bigearthnet-s2-dir", "a", "b"], "is called --bigearthnet-s2-root here"),
        (["--hyspecnet", "a", "b", "--num-workers", "4"], "is called --workers here"),
        (["ssl4eo-s12", "--s2-l1c-dir", "a"], "--ssl4eo-s12-s2-l1c L1C"),
    ],
)
def test_words_of_the_original_tool(run, words, text):
    for verb in ([], ["encode"]):
        outcome = run(*verb, *words, "--json")
        assert outcome.code == 2
        assert text in json.loads(outcome.out)["error"]


def test_a_target_may_be_called_like_a_dataset(run, roots, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("hydro", *roots, "-q").code == 0
    assert len(records(tmp_path / "hydro")) == 12
