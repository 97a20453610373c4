"""What a process may find lacking around it: every verb works, or says what is missing."""

import os
import shutil
import subprocess
import sys

import pytest

from harm import compiled
from rs_tensor_encoder.demo.sample import write_sample

LAYOUT = """\
patch = "file"
path = '[^/]+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["A"]
"""


@pytest.fixture
def tree(tmp_path):
    """A source and a layout of one's own, in a directory that all may read."""
    write_sample(str(tmp_path / "sample"), patches=1, hyspecnet=0)
    (tmp_path / "source").mkdir()
    file = min((tmp_path / "sample").rglob("*_VV.tif"))
    shutil.copy(file, tmp_path / "source" / "a.tif")
    (tmp_path / "own.toml").write_text(LAYOUT)
    (tmp_path / "empty").mkdir()
    return tmp_path


def verbs(tree):
    """Every verb but the demo, which calls them, with absolute paths."""
    source = ["--layout", tree / "own.toml", tree / "source"]
    yield [*source, tree / "out", "-q", "--workers", "2"]
    yield [*source, tree / "other", "-q", "--dry-run"]
    yield ["info", tree / "out", "-q"]
    yield ["check", "--digests", tree / "out", "-q"]
    yield ["layouts"]
    yield ["layouts", "--guess", tree / "source"]
    yield ["layouts", "hyspecnet"]
    yield ["check", *source, tree / "out", "-q", "--workers", "1"]


def namespace(script):
    """Start of a command in mounts of its own, which a line of shell has changed."""
    words = ["unshare", "-m"]
    if shutil.which("unshare") is None:
        pytest.skip("mount namespaces need Linux and unshare")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    return [*words, "sh", "-ec", script + '; exec "$0" "$@"']


def run(words, *, before=(), **how):
    command = [*before, sys.executable, "-m", "rs_tensor_encoder", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **how)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize(
    "changes",
    [{"HOME": None, "TMPDIR": None}, {"HOME": "/proc", "TMPDIR": "/proc/no such directory"}],
)
def test_no_home_and_no_place_for_temporary_files(tree, changes):
    env = {name: value for name, value in (os.environ | changes).items() if value is not None}
    for words in verbs(tree):
        done = run(words, env=env)
        assert done.returncode == 0, (words, done.stderr)


def test_no_environment_at_all(tree):
    for words in verbs(tree):
        done = run(words, env={})
        assert done.returncode == 0, (words, done.stderr)


def test_no_proc(tree):
    before = namespace(f"mount --bind '{tree}/empty' /proc")
    for words in [*verbs(tree), ["demo", tree / "demo"]]:
        done = run(words, before=before)
        assert done.returncode == 0, (words, done.stderr)


def test_a_source_that_is_mounted_for_reading_only(tree):
    place = f"'{tree}/source'"
    before = namespace(f"mount --bind {place} {place} && mount -o remount,bind,ro {place}")
    for words in verbs(tree):
        done = run(words, before=before)
        assert done.returncode == 0, (words, done.stderr)


def test_a_target_on_a_file_system_for_reading_only(tree):
    (tree / "place").mkdir()
    place = f"'{tree}/place'"
    before = namespace(f"mount --bind {place} {place} && mount -o remount,bind,ro {place}")
    for words in (
        ["--layout", tree / "own.toml", tree / "source", tree / "place" / "out", "-q"],
        ["demo", tree / "place" / "demo"],
    ):
        done = run(words, before=before)
        assert done.returncode == 4
        assert done.stderr.startswith(f"Error: {tree}/place/")
        assert done.stderr.endswith("Read-only file system\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("left", ["partial", "complete"])
def test_a_database_on_a_file_system_for_reading_only(tree, left):
    (tree / "place").mkdir()
    source = ["--layout", tree / "own.toml", tree / "source"]
    out = tree / "place" / "out"
    assert run([*source, out, "-q"]).returncode == 0
    if left == "partial":
        out.rename(tree / "place" / "out.partial")
    place = f"'{tree}/place'"
    before = namespace(f"mount --bind {place} {place} && mount -o remount,bind,ro {place}")
    assert run(["info", out, "-q"], before=before).returncode == 0
    done = run([*source, out, "-q"], before=before)
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: {out}")
    assert done.stderr.count("\n") == 1
    if left == "complete":
        assert run(["check", *source, out, "-q"], before=before).returncode == 0
        assert run(["check", "--digests", out, "-q"], before=before).returncode == 0


@pytest.fixture
def deleted(tree):
    """Start of a command in a directory that is deleted then."""
    (tree / "gone").mkdir()
    return ["sh", "-c", f"cd '{tree}/gone' && rmdir '{tree}/gone' && exec \"$0\" \"$@\""]


def test_a_deleted_working_directory_and_absolute_paths(tree, deleted):
    for words in verbs(tree):
        (tree / "gone").mkdir(exist_ok=True)
        done = run(words, before=deleted)
        assert done.returncode == 0, (words, done.stderr)


def test_a_deleted_working_directory_and_relative_paths(tree, deleted):
    layout = ["--layout", tree / "own.toml"]
    for words in (
        ["--layout", "own.toml", tree / "source", tree / "out"],
        [*layout, "source", tree / "out"],
        [*layout, tree / "source", "out"],
        [*layout, tree / "source", "out", "--dry-run"],
        ["info", "out"],
        ["check", "--digests", "out"],
        ["check", *layout, "source", tree / "out"],
        ["layouts", "--guess", "source"],
        ["demo", "demo"],
    ):
        (tree / "gone").mkdir(exist_ok=True)
        done = run(words, before=deleted)
        assert done.returncode in {2, 3, 4}, words
        error = done.stderr.splitlines()[-1]
        assert error.startswith("Error: "), words
        assert "the working directory was deleted: change to another one" in error, words
        assert "[Errno" not in error, words


def test_relative_paths_fail_as_ever_where_there_is_a_directory(tree):
    done = run(["info", "out"], cwd=tree / "empty")
    assert "the working directory" not in done.stderr


def test_a_system_without_calls_that_only_help(tree):
    """The size of the disk, writing back early, locks and the sync of names: together."""
    shim = compiled(tree)
    if shim is None:
        pytest.skip("a shim needs Linux and a C compiler")
    lacks = "flock=38,locks=38,dirsync=38,statvfs=38,range=38"
    env = os.environ | {"LD_PRELOAD": str(shim), "FAULT_LACKS": lacks}
    for words in verbs(tree):
        done = run(words, env=env)
        assert done.returncode == 0, (words, done.stderr)
