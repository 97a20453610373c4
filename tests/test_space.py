"""Room that the file system does not tell."""

import errno
import json
import os
from types import SimpleNamespace

import lmdb
import pytest

from rs_tensor_encoder.errors import OutOfSpaceError, TargetError
from rs_tensor_encoder.storage.writer import Writer
from rs_tensor_encoder.util import disk_space


@pytest.fixture(params=[errno.ENOSYS, errno.EACCES, errno.EOPNOTSUPP, errno.EIO, 0])
def untold(request, monkeypatch):
    """Statvfs fails, or says that there is not a single block."""

    def statvfs(_):
        if request.param:
            raise OSError(request.param, os.strerror(request.param))
        return SimpleNamespace(f_blocks=0, f_bavail=0, f_frsize=4096)

    monkeypatch.setattr(disk_space.os, "statvfs", statvfs)


@pytest.mark.usefixtures("untold")
def test_nothing_is_refused_for_room_that_is_not_told(run, roots, tmp_path):
    outcome = run(*roots, tmp_path / "out", "--dry-run")
    assert outcome.code == 0
    assert "the file system does not say how much is free" in outcome.out
    outcome = run(*roots, tmp_path / "out", "--dry-run", "--json")
    assert (outcome.code, json.loads(outcome.out)["free"]) == (0, None)
    assert run(*roots, tmp_path / "out", "-q").code == 0


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    ("text", "kind"), [("Input/output error", TargetError), ("No space left", OutOfSpaceError)]
)
def test_a_commit_that_fails_says_what_lmdb_says(tmp_path, text, kind):
    with Writer(str(tmp_path), 1 << 20) as writer:
        error = writer._translated(lmdb.Error(f"{text} on device"), 0)
    assert type(error) is kind


def test_room_is_what_this_user_may_take(tmp_path):
    stat = os.statvfs(tmp_path)
    assert abs(disk_space.free_at(str(tmp_path)) - stat.f_bavail * stat.f_frsize) < 1 << 30
