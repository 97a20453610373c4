"""Sidecars and databases that take more than one piece: digests, and pages of a tree."""

import struct
from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy

from oracles import problems
from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import digest_file
from rs_tensor_encoder.storage.digest_file import Digests, Entry, digest_of
from rs_tensor_encoder.storage.environment import DATA, open_environment
from rs_tensor_encoder.storage.safetensors_header import header_of
from rs_tensor_encoder.storage.structure import proved

ENTRIES = [Entry(f"key {i:05}".encode(), i, digest_of(str(i).encode())) for i in range(400)]


@pytest.mark.parametrize("piece", [1, 33, 35, 36, 1000, 14_000, 1 << 20])
def test_digests_are_the_same_whatever_the_pieces(tmp_path, monkeypatch, piece):
    whole = digest_file.write(str(tmp_path / "whole"), ENTRIES, len(ENTRIES))
    monkeypatch.setattr(digest_file, "_PIECE", piece)
    assert digest_file.write(str(tmp_path / "x"), ENTRIES, len(ENTRIES)) == whole
    data = (tmp_path / "x").read_bytes()
    assert data == (tmp_path / "whole").read_bytes()
    found = Digests(str(tmp_path / "x"))
    assert (list(found), found.whole) == (ENTRIES, whole)
    for at in (45, len(data) // 2, len(data) - 40, len(data) - 1):
        (tmp_path / "x").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(TargetError, match="torn or edited"):
            Digests(str(tmp_path / "x"))


# ---- pages of a tree -------------------------------------------------------------------


KEY = 94


@pytest.fixture
def tree(tmp_path):
    """A database of several leaves, with values of their own pages, and its pages by kind."""
    with (
        open_environment(str(tmp_path), map_size=1 << 28) as env,
        env.begin(write=True) as txn,
    ):
        for number in range(300):
            size = 9000 if number % 3 else 9
            key = (b"%04d" % (2 * number)).ljust(KEY, b".")
            txn.put(key, bytes([1 + number % 250]) * size)
    data = (tmp_path / DATA).read_bytes()
    kinds = {2: [], 4: []}
    for at in range(2 * 4096, len(data), 4096):
        number, _, kind = struct.unpack_from("<QHH", data, at)
        if number == at // 4096 and kind in kinds:
            kinds[kind].append(at)
    leaves = sorted(kinds[2], key=lambda at: keys_of(data, at)[0][1])
    assert len(leaves) > 4
    assert proved(str(tmp_path / DATA))
    return tmp_path / DATA, data, leaves, kinds[4]


def keys_of(data, leaf):
    """Where the keys of a leaf stand in the file, and how they begin: in that they differ."""
    (lower,) = struct.unpack_from("<H", data, leaf + 12)
    nodes = struct.unpack_from(f"<{(lower - 16) // 2}H", data, leaf + 16)
    return [(leaf + node + 8, data[leaf + node + 8 : leaf + node + 12]) for node in nodes]


def refused(path, data, changes):
    """Require that neither we nor lmdb's verifier takes a changed file for sound."""
    changed = bytearray(data)
    for at, new in changes:
        assert changed[at : at + len(new)] != new
        changed[at : at + len(new)] = new
    path.write_bytes(changed)
    assert not proved(str(path))
    assert problems(path) != []


def test_a_key_that_stands_twice_is_not_proved(tree):
    path, data, leaves, _ = tree
    for leaf in leaves:
        keys = keys_of(data, leaf)
        refused(path, data, [(keys[1][0], keys[0][1])])


def test_keys_that_descend_from_leaf_to_leaf_are_not_proved(tree):
    """Within each leaf they ascend: the last of one is larger than the first of the next."""
    path, data, leaves, _ = tree
    for one, other in pairwise(leaves):
        refused(path, data, [(keys_of(data, one)[-1][0], b"9999")])
        last = keys_of(data, one)[-1][1]
        refused(path, data, [(keys_of(data, other)[0][0], last)])


def test_two_records_that_share_pages_are_not_proved(tree):
    """A value lies where the value of another record lies, which is as long."""
    path, data, leaves, _ = tree
    shared = 0
    for leaf in leaves:
        big = [
            at
            for at, _ in keys_of(data, leaf)
            if struct.unpack_from("<H", data, at - 8 + 4) == (1,)
        ]
        for one, other in pairwise(big):
            refused(path, data, [(one + KEY, data[other + KEY : other + KEY + 8])])
            shared += 1
            if shared > 20:
                return
    pytest.fail("there were too few large values")


def newest_meta(data):
    """Where the newer of the two metas begins to describe the records."""
    transactions = [struct.unpack_from("<Q", data, at + 16 + 128)[0] for at in (0, 4096)]
    return 4096 * (transactions[1] > transactions[0]) + 16 + 24 + 48


def with_overflow(data, by):
    """The change that counts more or fewer pages of values, so that only they are wrong."""
    at = newest_meta(data) + 24
    (count,) = struct.unpack_from("<Q", data, at)
    return at, struct.pack("<Q", count + by)


def test_pages_that_no_record_has_are_not_proved(tree):
    """A value is made one of eight bytes, which are the number of the page that it had."""
    path, data, leaves, _ = tree
    made = 0
    for leaf in leaves:
        for at, _ in keys_of(data, leaf):
            if struct.unpack_from("<H", data, at - 4) == (1,):
                small = struct.pack("<HHH", 8, 0, 0)
                refused(path, data, [(at - 8, small), with_overflow(data, -3)])
                made += 1
                break
    assert made == len(leaves)


def test_pages_that_are_free_and_in_use_are_not_proved(tree, tmp_path):
    """A value lies in pages that the list of free ones has, too."""
    path, _, _, _ = tree
    with open_environment(str(tmp_path), map_size=1 << 28) as env:
        with env.begin(write=True) as txn:
            txn.put(b"5000", bytes(9000))
        whole = path.read_bytes()
        first = whole.rindex(b"5000") + 4
        with env.begin(write=True) as txn:
            txn.delete(b"5000")
            txn.put(b"6000", bytes(8))
    data = path.read_bytes()
    assert proved(str(path))
    page = struct.unpack_from("<Q", whole, first)[0]
    assert struct.unpack_from("<QHHI", data, 4096 * page) == (page, 0, 4, 3)
    at = data.rindex(b"6000" + bytes(8))
    large = struct.pack("<HHHH4sQ", 9000, 0, 1, 4, b"6000", page)
    refused(path, data, [(at - 8, large), with_overflow(data, 3)])


def test_a_header_that_ends_behind_its_value():
    """There are no pixels: all that is claimed too much is behind the end."""
    value = safetensors.numpy.save({"A": np.zeros((0, 4), "u2")})
    (length,) = struct.unpack_from("<Q", value)
    assert header_of(value) == value
    for more in range(1, 20):
        assert header_of(struct.pack("<Q", length + more) + value[8:]) is None


def test_pages_of_values_that_are_not_theirs_are_not_proved(tree):
    """The head of a value's first page: its number, its flags, its pages."""
    path, data, _, values = tree
    assert len(values) > 100
    for at in values[::9]:
        number, _, flags, pages = struct.unpack_from("<QHHI", data, at)
        assert (flags, pages) == (4, 3)
        refused(path, data, [(at, struct.pack("<Q", number + 1))])
        refused(path, data, [(at + 10, b"\2\0")])
        refused(path, data, [(at + 12, struct.pack("<I", pages + 1))])
        refused(path, data, [(at + 12, struct.pack("<I", pages - 1))])


@pytest.mark.parametrize("pages", [1, 2, 3, 10])
def test_a_file_without_its_last_pages_is_not_proved(tree, pages):
    path, data, _, _ = tree
    path.write_bytes(data[: len(data) - pages * 4096])
    assert not proved(str(path))
    path.write_bytes(data[: len(data) - pages * 4096 + 1])
    assert not proved(str(path))


def test_the_newer_of_the_two_metas_counts(tree, tmp_path):
    """Only what the newest transaction says is proved: the older one is still sound."""
    path, _, _, _ = tree
    for number in range(4):
        with (
            open_environment(str(tmp_path), map_size=1 << 28) as env,
            env.begin(write=True) as txn,
        ):
            txn.put(b"%04d" % (2 * number + 1), bytes(20_000))
        data = path.read_bytes()
        assert proved(str(path))
        # The number of records that the newest one says there are.
        at = newest_meta(data) + 32
        assert struct.unpack_from("<Q", data, at) == (301 + number,)
        refused(path, data, [(at, struct.pack("<Q", 300 + number))])
        path.write_bytes(data)
