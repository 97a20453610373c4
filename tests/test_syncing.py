"""Directories and files that cannot be forced to the disk."""

import errno
import os
import subprocess
import sys

import pytest

from harm import Range, compiled, without_privileges, write_source
from oracles import records
from rs_tensor_encoder.util import sync

NOTE = "cannot be synced, so a power loss"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A source of few patches, and the shim."""
    shim = compiled(tmp_path_factory.mktemp("shim"))
    if shim is None:
        pytest.skip("faults in system calls need Linux and a C compiler")
    return write_source(tmp_path_factory.mktemp("source"), 3), shim


@pytest.fixture
def field(small, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return Range(small[0], place, {}, small[1])


NUMBERS = [
    errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EISDIR,
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_directories_that_cannot_be_synced_are_a_note(field, number):
    ended = field.run(env=field.faults(lacks=f"dirsync={number}"))
    assert ended.code == 0
    assert len(records(field.target)) == 3
    (note,) = ended.report["notes"]
    assert note.startswith(f"{field.target}: the directory that it is in {NOTE}")


def test_no_note_where_directories_can_be_synced(field):
    assert field.run().report["notes"] == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_sync_of_a_directory_that_fails_is_an_error(field, number):
    ended = field.run(env=field.faults(lacks=f"dirsync={number}"))
    assert ended.code == (4 if number == errno.EIO else 5)
    assert os.strerror(number) in ended.err
    assert not field.target.exists()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_files_that_cannot_be_synced_are_refused_before_work_begins(field, number):
    ended = field.run(env=field.faults(lacks=f"filesync={number}"))
    assert ended.code == 4
    assert "this file system cannot force a file to the disk" in ended.err
    assert "choose a target on another one" in ended.err
    assert not (field.partial / "data.mdb").exists()


def test_a_sync_of_a_file_that_fails_is_what_the_system_says(field):
    ended = field.run(env=field.faults(lacks=f"filesync={errno.EIO}"))
    assert ended.code == 4
    assert "cannot be written: Input/output error" in ended.err


def test_a_directory_that_may_not_be_read(tmp_path):
    """Whoever may write to a directory, but not read it, cannot open it."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o300)
    program = (
        "import sys; from rs_tensor_encoder.util.sync import sync_directory\n"
        "print(sync_directory(sys.argv[1]))"
    )
    for path, answer in ((closed, "False"), (tmp_path, "True")):
        words = [*without_privileges(), sys.executable, "-c", program, path]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == answer
    with pytest.raises(NotADirectoryError):
        sync.sync_directory(__file__)
    closed.chmod(0o700)
