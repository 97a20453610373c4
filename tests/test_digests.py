"""The evidence beside a database: whole, or an error."""

import hashlib
import struct

import pytest
from xxhash import xxh3_128

from rs_tensor_encoder.errors import EncoderError, TargetError
from rs_tensor_encoder.storage import digest_file
from rs_tensor_encoder.storage.digest_file import Digests, Entry, digest_of

ENTRIES = [Entry(f"key {i:03}".encode(), 7 * i, digest_of(bytes(7 * i))) for i in range(5)]


@pytest.fixture
def path(tmp_path):
    digest_file.write(str(tmp_path / "x"), ENTRIES, len(ENTRIES))
    return tmp_path / "x"


def test_what_is_written_is_read(path):
    found = Digests(str(path))
    assert list(found) == list(found) == ENTRIES
    assert found.count == 5
    assert [entry.name for entry in path.parent.iterdir()] == ["x"]


def test_the_format_is_the_documented_one(path):
    expected = struct.pack("<16sI12sQ", b"rs-tensor-digest", 1, b"xxh3-128", 5)
    for i in range(5):
        key = f"key {i:03}".encode()
        expected += xxh3_128(bytes(7 * i)).digest() + struct.pack("<QH", 7 * i, len(key)) + key
    whole = hashlib.sha256(expected)
    assert path.read_bytes() == expected + whole.digest()
    assert Digests(str(path)).whole == whole.hexdigest()


def test_every_flipped_bit_and_every_cut_is_an_error(path):
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(TargetError, match=r"torn or edited|not a file of digests|version"):
            Digests(str(path))
        path.write_bytes(data[:at])
        with pytest.raises(TargetError, match=r"torn or edited|cut short"):
            Digests(str(path))
    path.write_bytes(data + b"\0")
    with pytest.raises(TargetError, match="torn or edited"):
        Digests(str(path))


def signed(head, *records):
    data = struct.pack("<16sI12sQ", *head) + b"".join(records)
    return data + hashlib.sha256(data).digest()


def record(key, size=None):
    return struct.pack("<16sQH", bytes(16), 1, len(key) if size is None else size) + key


@pytest.mark.parametrize(
    ("count", "records"),
    [
        (2, [record(b"a")]),
        (1, [record(b"a"), record(b"b")]),
        (2, [record(b"b"), record(b"a")]),
        (2, [record(b"a"), record(b"a")]),
        (1, [record(b"")]),
        (1, [record(b"a", 500)]),
        (1 << 63, [record(b"a")]),
    ],
)
def test_what_is_signed_but_wrong(path, count, records):
    path.write_bytes(signed((b"rs-tensor-digest", 1, b"xxh3-128", count), *records))
    with pytest.raises(TargetError, match="torn or edited"):
        list(Digests(str(path)))


def test_other_versions(path):
    for version, algorithm in ((2, b"xxh3-128"), (1, b"sha256")):
        path.write_bytes(signed((b"rs-tensor-digest", version, algorithm, 0)))
        with pytest.raises(TargetError, match="another version"):
            Digests(str(path))


def test_entries_that_must_not_be_written(tmp_path):
    for entries, count, reason in (
        (ENTRIES[::-1], 5, "must be sorted"),
        (ENTRIES[:1] * 2, 2, "must be sorted"),
        (ENTRIES, 4, "digests of 5 records, not of 4"),
        (ENTRIES, 6, "digests of 5 records, not of 6"),
    ):
        with pytest.raises(EncoderError, match=reason):
            digest_file.write(str(tmp_path / "x"), entries, count)
        assert not (tmp_path / "x").exists()


def test_no_file(tmp_path):
    with pytest.raises(TargetError, match="No such file"):
        Digests(str(tmp_path / "x"))
    with pytest.raises(TargetError, match="not a regular file"):
        Digests(str(tmp_path))
