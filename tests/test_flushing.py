"""Writing back: the file's new parts, each once, whatever the system allows."""

import os
import resource

import pytest

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.storage import writeback
from rs_tensor_encoder.storage.writeback import WriteBack

STEP = 16 << 20


@pytest.fixture
def parts(monkeypatch):
    """The parts that were asked to be written back."""
    found = []

    def write_back(file, begin, end):
        found.append((begin, end))
        original(file, begin, end)

    original = _tiff.write_back
    monkeypatch.setattr(writeback._tiff, "write_back", write_back)
    return found


def grow(path, disk, size):
    with path.open("ab") as file:
        file.truncate(os.path.getsize(path) + size)
    disk.grown(size)


def test_parts_follow_each_other_behind_the_first_pages(tmp_path, parts):
    path = tmp_path / "file"
    path.touch()
    with WriteBack(str(path)) as disk:
        for _ in range(100):
            grow(path, disk, 1 << 20)
            while disk._ends.qsize():
                pass
    assert parts[0][0] == 8192
    assert [begin for begin, _ in parts[1:]] == [end for _, end in parts[:-1]]
    # What comes last is left to the sync, and so is what was not begun when it ended.
    assert 5 <= len(parts) <= 6
    assert all(end % STEP == 0 for _, end in parts)


def test_a_disk_that_is_slow_is_asked_for_all_that_has_come_meanwhile(tmp_path, parts):
    path = tmp_path / "file"
    path.touch()
    disk = WriteBack(str(path))
    disk._ends.put(None)
    disk._alive.join()
    for _ in range(3):
        grow(path, disk, STEP)
    assert disk._latest() == 3 * STEP
    disk.close()
    assert parts == []


def test_it_goes_on_without_descriptors_or_threads(tmp_path, parts, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    before = sorted(os.listdir("/proc/self/fd"))

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    for _ in range(2):
        with WriteBack(str(path)) as disk:
            grow(path, disk, STEP)
        monkeypatch.setattr(writeback.Alive, "start", refuse)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        disk = WriteBack(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    disk.grown(STEP)
    disk.close()
    assert len(parts) <= 1
    assert sorted(os.listdir("/proc/self/fd")) == before
