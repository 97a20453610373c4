"""A quick proof that a database is sound, for those that this package writes.

`lmdb.verify` walks any database, byte by byte. It takes 10 us for a record of 115 KB, a
tenth of what encoding it takes. Here, all nodes of a page are looked at at once, and
pages that follow each other are one extent. What is asked for is the same, and more
narrow: one unnamed database without duplicates, in pages of 4 KiB. Whatever is
otherwise is not proved here; it may be sound all the same.

The format is that of LMDB 0.9 (``mdb.c``: MDB_meta, MDB_page, MDB_node, MDB_db).
"""

import os
import struct
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rs_tensor_encoder.errors import StoppedError

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_PAGE = 4096
_HEAD = 16
_METAS = 2
_NO_PAGE = (1 << 64) - 1

# Flags of pages, of nodes and of databases.
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_BIG = 1
_INTEGER_KEY = 8

# The deepest tree that LMDB walks.
_DEEP = 32

_HEADER = struct.Struct("<QHHHH")
_METADATA = struct.Struct("<IIQQ48s48sQQ")
_DATABASE = struct.Struct("<IHHQQQQQ")


class _DoubtError(Exception):
    """Something is not as it was written, or not as this package writes it."""


class _Database(NamedTuple):
    pad: int
    flags: int
    depth: int
    branches: int
    leaves: int
    overflow: int
    entries: int
    root: int


class _Nodes(NamedTuple):
    """The nodes of a page: per node where it begins, its flags and sizes (int64)."""

    page: Any
    kind: int
    reverse: bool
    begins: Any
    flags: Any
    key_sizes: Any
    sizes: Any

    def keys(self) -> list[bytes]:
        """The keys as bytes that sort as they do; numbers, little-endian, from their end."""
        data = self.page.tobytes()
        begins = (self.begins + 8).tolist()
        sizes = self.key_sizes.tolist()
        keys = [data[at : at + size] for at, size in zip(begins, sizes, strict=True)]
        return [key[::-1] for key in keys] if self.reverse else keys

    def data(self) -> Any:
        """Where the data of each node begin."""
        return self.begins + 8 + self.key_sizes


def proved(path: str, stop: threading.Event | None = None) -> bool:
    """Prove that the structure of a database is sound.

    Parameters
    ----------
    path : str
        The file, which nobody else writes to.
    stop : threading.Event, optional
        Set by others to end early.

    Returns
    -------
    bool
        True if `lmdb.verify` would not find anything wrong. False says nothing.

    Raises
    ------
    OSError
        If it cannot be read.
    StoppedError
        If it was ended early.
    """
    with open(path, "rb", buffering=0) as file:
        try:
            _Proof(file.fileno(), stop).run()
        except _DoubtError:
            return False
    return True


def _require(condition: Any) -> None:
    if not condition:
        raise _DoubtError


class _Proof:
    def __init__(self, file: int, stop: threading.Event | None) -> None:
        self.file = file
        self.stop = stop
        # First page and number of pages of all that is in use, or free.
        self.firsts: list[Any] = []
        self.counts: list[Any] = []

    def run(self) -> None:
        metas = [self._meta(index) for index in range(_METAS)]
        transactions = [meta[7] for meta in metas]
        _require(transactions[0] % 2 == 0)
        _require(transactions[1] % 2 == 1 or transactions[1] == 0)
        _, _, _, _, free, main, last, self.transaction = metas[transactions[0] < transactions[1]]
        self.end = last + 1
        _require(self.end >= _METAS)
        _require(self.end * _PAGE <= os.fstat(self.file).st_size)
        self._main(_Database(*_DATABASE.unpack(main)))
        self._free(_Database(*_DATABASE.unpack(free)))
        self._cover()

    def _meta(self, index: int) -> tuple[Any, ...]:
        page = self._bytes(index * _PAGE, _HEAD + _METADATA.size)
        found = _METADATA.unpack_from(page, _HEAD)
        _require(_HEADER.unpack_from(page) == (index, 0, _META, 0, 0))
        _require(found[:2] == (_MAGIC, _VERSION))
        # The size of a page stands where the free database has its padding.
        _require(_DATABASE.unpack(found[4])[0] == _PAGE)
        return found

    def _bytes(self, at: int, size: int) -> bytes:
        data = os.pread(self.file, size, at)
        _require(len(data) == size)
        return data

    def _cover(self) -> None:
        """All extents together must be all pages behind the first two, each of them once."""
        if not self.firsts:
            _require(self.end == _METAS)
            return
        firsts = np.concatenate(self.firsts)
        order = np.argsort(firsts)
        firsts = firsts[order]
        ends = firsts + np.concatenate(self.counts)[order]
        _require(firsts[0] == _METAS)
        _require(ends[-1] == self.end)
        _require((firsts[1:] == ends[:-1]).all())

    def _in_use(self, firsts: Any, counts: Any) -> None:
        self.firsts.append(firsts.astype(np.int64))
        self.counts.append(counts.astype(np.int64))

    def _leaves(self, database: _Database) -> Iterator[_Nodes]:
        """Walk a tree; yield its leaves from left to right."""
        if database.root == _NO_PAGE:
            _require(database[2:7] == (0, 0, 0, 0, 0))
            return
        pages: list[int] = []
        branches = depth = 0
        ahead = [(database.root, 1)]
        while ahead:
            if self.stop is not None and self.stop.is_set():
                raise StoppedError
            number, level = ahead.pop()
            # There are not more pages than all: one that is met again may lead round for ever.
            _require(_METAS <= number < self.end and level <= _DEEP and len(pages) < self.end)
            pages.append(number)
            depth = max(depth, level)
            reverse = database.flags == _INTEGER_KEY
            nodes = _nodes(self._bytes(number * _PAGE, _PAGE), number, reverse=reverse)
            if nodes.kind == _LEAF:
                yield nodes
                continue
            branches += 1
            # The first node of a branch has no key.
            _ascending(nodes.keys()[1:], b"")
            children = (nodes.sizes | nodes.flags << 32).tolist()
            ahead += [(child, level + 1) for child in reversed(children)]
        _require(database.depth == depth)
        _require((database.branches, database.leaves) == (branches, len(pages) - branches))
        self._in_use(np.array(pages), np.ones(len(pages)))

    def _main(self, database: _Database) -> None:
        _require((database.pad, database.flags) == (0, 0))
        last = b""
        entries = overflow = 0
        for leaf in self._leaves(database):
            keys = leaf.keys()
            last = _ascending(keys, last)
            entries += len(keys)
            overflow += self._values(leaf)
        _require((database.entries, database.overflow) == (entries, overflow))

    def _values(self, leaf: _Nodes) -> int:
        """Look at where the values of a leaf are; say how many pages of their own they have."""
        data = leaf.data()
        big = leaf.flags == _BIG
        _require((big | (leaf.flags == 0)).all())
        _require((data + np.where(big, 8, leaf.sizes) <= _PAGE).all())
        if not big.any():
            return 0
        firsts = leaf.page[data[big, None] + np.arange(8)].view("<u8")[:, 0]
        _require((firsts < self.end).all())
        firsts = firsts.astype(np.int64)
        counts = (_HEAD - 1 + leaf.sizes[big]) // _PAGE + 1
        _require((firsts + counts <= self.end).all())
        heads = np.frombuffer(
            b"".join(self._bytes(first * _PAGE, _HEAD) for first in firsts.tolist()),
            np.dtype([("number", "<u8"), ("pad", "<u2"), ("flags", "<u2"), ("pages", "<u4")]),
        )
        _require((heads["number"] == firsts).all())
        _require((heads["flags"] == _OVERFLOW).all())
        _require((heads["pages"] == counts).all())
        self._in_use(firsts, counts)
        return int(counts.sum())

    def _free(self, database: _Database) -> None:
        """Collect the pages that are free, which a tree of its own lists by transaction."""
        _require(database.flags == _INTEGER_KEY)
        # Of transactions, the first of which has the number 1.
        last = bytes(8)
        entries = overflow = 0
        for leaf in self._leaves(database):
            keys = leaf.keys()
            _require(all(len(key) == 8 for key in keys))
            last = _ascending(keys, last)
            _require(int.from_bytes(last) <= self.transaction)
            entries += len(keys)
            overflow += self._values(leaf)
            page = leaf.page.tobytes()
            data = leaf.data().tolist()
            for at, big, size in zip(data, leaf.flags.tolist(), leaf.sizes.tolist(), strict=True):
                if big:
                    first = int.from_bytes(page[at : at + 8], "little")
                    self._list(self._bytes(first * _PAGE + _HEAD, size))
                else:
                    self._list(page[at : at + size])
        _require((database.entries, database.overflow) == (entries, overflow))

    def _list(self, data: bytes) -> None:
        """Take the pages of a list: how many, then their numbers, descending."""
        _require(len(data) >= 8 and len(data) % 8 == 0)
        numbers = np.frombuffer(data, "<u8")
        _require(numbers[0] == len(numbers) - 1)
        pages = numbers[1:]
        _require((pages >= _METAS).all() and (pages < self.end).all())
        _require((pages[1:] < pages[:-1]).all())
        self._in_use(pages, np.ones(len(pages)))


def _nodes(data: bytes, number: int, *, reverse: bool) -> _Nodes:
    """Take a page of a tree apart."""
    found, _, kind, lower, upper = _HEADER.unpack_from(data)
    _require(found == number and kind in (_BRANCH, _LEAF))
    _require(_HEAD + 2 <= lower <= upper <= _PAGE)
    page = np.frombuffer(data, np.uint8)
    begins = page[_HEAD : _HEAD + (lower - _HEAD) // 2 * 2].view("<u2").astype(np.int64)
    _require(begins.min() >= upper and begins.max() + 8 <= _PAGE)
    # The size of the data in two halves (in a branch, with the flags, the child's number), the
    # flags, the size of the key.
    heads = page[begins[:, None] + np.arange(8)].view("<u2").astype(np.int64)
    key_sizes = heads[:, 3]
    _require((begins + 8 + key_sizes <= _PAGE).all())
    return _Nodes(
        page, kind, reverse, begins, heads[:, 2], key_sizes, heads[:, 0] | heads[:, 1] << 16
    )


def _ascending(keys: list[bytes], last: bytes) -> bytes:
    """Require keys to ascend, behind another one; return the last of them."""
    for key in keys:
        _require(key > last)
        last = key
    return last
