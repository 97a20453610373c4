"""Pages of an LMDB file, read one at a time while others may write to the file.

The format is that of LMDB 0.9 (``mdb.c``: MDB_meta, MDB_page, MDB_node, MDB_db). Nothing is
believed that is read: what does not fit together raises `DoubtError`.
"""

import os
import struct
from typing import NamedTuple

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_HEAD = struct.Struct("<QHHHH")
_META = struct.Struct("<IIQQ48s48sQQ")
_DATABASE = struct.Struct("<IHHQQQQQ")
_NODE = struct.Struct("<HHHH")
_NO_PAGE = (1 << 64) - 1

# Flags of pages and of nodes.
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG = 1

# The deepest tree that LMDB walks.
_DEEP = 32

# A meta page is read until it is the same twice; it changes in every second commit only.
_TRIES = 1000


class DoubtError(Exception):
    """Pages do not fit together: they are damaged, or were written to meanwhile."""


class Meta(NamedTuple):
    """What a commit says of the tree of records."""

    page_size: int
    root: int
    depth: int
    entries: int
    end: int
    transaction: int


class Node(NamedTuple):
    """A key of a page with what stands behind it.

    In a branch, that is the number of a page (``child``); in a leaf, a value of
    ``size`` bytes, which is in the page (``data``) or begins at another one (``child``).
    """

    key: bytes
    size: int
    data: bytes | None
    child: int


def newest(file: int) -> Meta:
    """Read the newest of the two meta pages."""
    size = int.from_bytes(os.pread(file, 4, 40), "little")
    require(256 <= size <= 1 << 16)
    metas = [_meta(file, at, size) for at in (0, size)]
    return max(metas, key=lambda meta: meta.transaction)


def _meta(file: int, at: int, page_size: int) -> Meta:
    data = b""
    for _ in range(_TRIES):
        last, data = data, os.pread(file, _META.size, at + _HEAD.size)
        if data == last:
            break
    require(len(data) == _META.size)
    magic, version, _, _, _, main, last_page, transaction = _META.unpack(data)
    require((magic, version) == (_MAGIC, _VERSION))
    _, flags, depth, _, _, _, entries, root = _DATABASE.unpack(main)
    require(flags == 0 and depth <= _DEEP)
    require((depth == 0) == (root == _NO_PAGE))
    return Meta(page_size, root, depth, entries, last_page + 1, transaction)


def nodes(file: int, meta: Meta, number: int) -> tuple[bool, list[Node]]:
    """Read a page of the tree.

    Returns
    -------
    is_leaf : bool
        Whether it is a leaf.
    nodes : list of Node
        In the order of their keys; the first one of a branch has no key.
    """
    require(number < meta.end)
    size = meta.page_size
    page = os.pread(file, size, number * size)
    require(len(page) == size)
    found, _, kind, lower, upper = _HEAD.unpack_from(page)
    require(found == number and kind in (_BRANCH, _LEAF))
    require(_HEAD.size + 2 <= lower <= upper <= size)
    offsets = struct.unpack_from(f"<{(lower - _HEAD.size) // 2}H", page, _HEAD.size)
    return kind == _LEAF, [_node(page, at, upper, is_leaf=kind == _LEAF) for at in offsets]


def _node(page: bytes, at: int, upper: int, *, is_leaf: bool) -> Node:
    require(upper <= at <= len(page) - _NODE.size)
    low, high, flags, key_size = _NODE.unpack_from(page, at)
    begin = at + _NODE.size + key_size
    require(begin <= len(page))
    key = page[at + _NODE.size : begin]
    size = low | high << 16
    if not is_leaf:
        # The number of a page has its highest bits where a leaf has the flags.
        return Node(key, 0, None, size | flags << 32)
    require(flags in (0, _BIG))
    end = begin + (8 if flags == _BIG else size)
    require(end <= len(page))
    if flags == _BIG:
        return Node(key, size, None, int.from_bytes(page[begin:end], "little"))
    return Node(key, size, page[begin:end], 0)


def value_on_pages(file: int, meta: Meta, node: Node, length: int) -> bytes:
    """Read the first bytes of a value that has pages of its own."""
    size = meta.page_size
    count = (_HEAD.size - 1 + node.size) // size + 1
    require(node.child + count <= meta.end)
    data = os.pread(file, _HEAD.size + min(length, node.size), node.child * size)
    require(len(data) == _HEAD.size + min(length, node.size))
    found, _, kind, low, high = _HEAD.unpack_from(data)
    require((found, kind) == (node.child, _OVERFLOW))
    # More than it takes, where it was longer at first, and changed within the commit.
    require(low | high << 16 >= count)
    return data[_HEAD.size :]


def require(condition: bool) -> None:
    """Raise `DoubtError` unless a condition holds."""
    if not condition:
        raise DoubtError
