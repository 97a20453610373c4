"""The LMDB side, with real databases."""

import os
import subprocess
import sys

import lmdb
import pytest

from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage.environment import can_verify, open_reading, verify
from rs_tensor_encoder.storage.writer import Writer, space_for


def fill(directory, count, length=5000, size=1 << 20):
    with Writer(str(directory), size) as writer:
        for i in range(count):
            writer.append([(f"{i:06d}".encode(), memoryview(bytes([i % 256]) * length))])
        writer.sync()


def test_records_are_read_by_plain_lmdb(tmp_path):
    fill(tmp_path, 300)
    with lmdb.open(str(tmp_path), readonly=True, lock=False) as env, env.begin() as txn:
        assert env.stat()["entries"] == 300
        assert txn.get(b"000007") == b"\x07" * 5000
        assert len(list(txn.cursor())) == 300
    assert sorted(os.listdir(tmp_path)) == ["data.mdb", "lock.mdb"]
    # Data version 1, behind the magic number in the first meta page: LMDB 0.9.
    assert (tmp_path / "data.mdb").read_bytes()[16:24] == b"\xde\xc0\xef\xbe\x01\0\0\0"


def test_the_format_is_the_old_one_whatever_the_environment_says(tmp_path):
    code = (
        "import sys; from rs_tensor_encoder.storage.writer import Writer\n"
        "with Writer(sys.argv[1], 1 << 20) as writer: writer.append([(b'k', memoryview(b'v'))])"
    )
    environment = os.environ | {"LMDB_DEFAULT_LIB_VERSION": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert (tmp_path / "data.mdb").read_bytes()[20:24] == b"\x01\0\0\0"


@pytest.mark.parametrize("keys", [(b"a", b"a"), (b"b", b"c", b"a")])
def test_a_key_twice_or_out_of_order_is_never_dropped_silently(tmp_path, keys):
    with Writer(str(tmp_path), 1 << 20) as writer:
        with pytest.raises(TargetError, match="were not added"):
            writer.append([(key, memoryview(b"x")) for key in keys])
        assert writer.count() == 0
        writer.append([(b"b", memoryview(b"x"))])
        with pytest.raises(TargetError, match="were not added"):
            writer.append([(b"b", memoryview(b"y"))])
        assert list(writer.keys()) == [b"b"]
        assert [bytes(value) for _, value in writer.records()] == [b"x"]


def test_keys_may_come_late(tmp_path):
    with Writer(str(tmp_path), 1 << 20) as writer:
        for key in (b"d", b"b", b"e", b"a"):
            writer.append([(key, memoryview(key * 3000))])
        assert list(writer.keys()) == [b"a", b"b", b"d", b"e"]
    assert verify(str(tmp_path)) == []


def test_the_map_grows(tmp_path, monkeypatch):
    monkeypatch.setattr("rs_tensor_encoder.storage.writer._GROWTH", 1 << 20)
    with Writer(str(tmp_path), -(50 << 20)) as writer:
        for i in range(40):
            writer.append([(b"%04d" % i, memoryview(bytes(1 << 20)))])
        assert writer.count() == 40


def test_the_estimate_is_close(tmp_path):
    for length in (100, 1500, 5000, 160832):
        directory = tmp_path / str(length)
        directory.mkdir()
        fill(directory, 400, length)
        size = (directory / "data.mdb").stat().st_size
        assert 0.8 * size < space_for(400, length) < 1.4 * size + (1 << 18)


@pytest.mark.skipif(not can_verify(), reason="lmdb before 3.0 has no verifier")
def test_damage_to_the_structure_is_found(tmp_path):
    fill(tmp_path, 300)
    assert verify(str(tmp_path)) == []
    path = tmp_path / "data.mdb"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20000] = bytes(20000)
    path.write_bytes(data)
    assert verify(str(tmp_path)) != []


def test_a_file_cut_short_is_refused_before_it_can_kill(tmp_path):
    fill(tmp_path, 300)
    path = tmp_path / "data.mdb"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert verify(str(tmp_path), quick=True) != []
    with pytest.raises(TargetError, match="damaged"):
        open_reading(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\0" * 20000])
def test_files_that_are_no_database(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(TargetError, match="not an LMDB file"):
        open_reading(str(tmp_path))


def test_no_database_at_all(tmp_path):
    with pytest.raises(TargetError, match="no database here"):
        open_reading(str(tmp_path))
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(TargetError, match="is a symbolic link that leads nowhere"):
        open_reading(str(tmp_path / "link"))


def test_the_file_in_the_directory_will_do(tmp_path):
    fill(tmp_path, 3)
    with open_reading(str(tmp_path / "data.mdb")) as env:
        assert env.stat()["entries"] == 3


def test_removing_grows_a_map_that_is_full(tmp_path):
    """A database that outgrew its estimate is opened with a map that has no room left."""
    keys = [f"{i:06d}".encode() for i in range(30_000)]
    value = memoryview(bytes(3000))
    with Writer(str(tmp_path), 0) as writer:
        for at in range(0, len(keys), 1000):
            writer.append([(key, value) for key in keys[at : at + 1000]])
    with Writer(str(tmp_path), 0) as writer:
        writer.remove(keys[::40])
        assert writer.count() == 30_000 - 750
