"""A database that is not complete: whether an encoder is writing it, and what it holds so far.

It is read page by page, without the engine. A reader that does not lock would be handed pages
that are overwritten while it looks at them; one that locks would keep the encoder from using
pages again, so that the file came out otherwise than without the reader.

LMDB (0.9) writes to a page again, at the earliest, in the third commit behind the last one that
has it in its tree. So what was read of a tree is right if, afterwards, not more than one commit
has come since. Every leaf is read like that, in the newest tree that there is.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage import pages
from rs_tensor_encoder.storage.environment import DATA
from rs_tensor_encoder.storage.safetensors_header import LONGEST_HEADER, header_of
from rs_tensor_encoder.util.closeable import Closing

#: What is put behind the name of a target until it is complete.
PARTIAL = ".partial"

# Seconds after which a leaf that has changed each time it was read is given up.
_PATIENCE = 10.0

# Bytes of a value that are read to find its header.
_FIRST = 4096

# Bytes of the smallest page.
_SMALLEST = 256


def being_written(directory: str) -> bool | None:
    """Ask whether an encoder is writing to a partial target.

    Its lock is asked for, and let go of at once. An encoder that begins at that moment tries
    again (see `locking.exclusive`).

    Returns
    -------
    bool or None
        None where it cannot be told: the file system has no locks, or the
        directory cannot be opened.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def partial_of(target: str) -> str | None:
    """Name the directory that has what there is of a target so far, if the target is not there."""
    partial = target + PARTIAL
    there = os.path.lexists(os.path.join(target, DATA))
    return partial if not there and os.path.isdir(partial) else None


class Record(NamedTuple):
    """A record: its key, the length of its value, the header of that if it has one."""

    key: bytes
    size: int
    header: bytes | None


class Unfinished(Closing):
    """The records of a database to which others may append, or which they change.

    Parameters
    ----------
    directory : str
        Where ``data.mdb`` lies; there may be none yet.

    Raises
    ------
    TargetError
        If it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        try:
            self._file = os.open(os.path.join(directory, DATA), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = -1
        except OSError as error:
            raise TargetError(f"{directory}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file).st_size if self._file >= 0 else 0

    def count(self) -> int:
        """Number of records in the newest commit."""
        return self._newest().entries if self._has_commit() else 0

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of their keys, up to what is the last one now.

        Raises
        ------
        TargetError
            If the database is damaged.
        """
        found, _ = self._leaf(None) if self._has_commit() else ([], None)
        if not found:
            return
        end = found[-1].key
        after: bytes | None = b""
        while after is not None:
            found, following = self._leaf(after)
            for record in found:
                if record.key > end:
                    return
                if record.key >= after:
                    yield record
            after = following

    def _has_commit(self) -> bool:
        """Tell whether the first two pages are there, which are written at once."""
        return self.size() >= 2 * _SMALLEST

    def _newest(self) -> pages.Meta:
        try:
            return pages.newest(self._file)
        except pages.DoubtError:
            raise TargetError(f"{self._directory}: the database is damaged") from None
        except OSError as error:
            raise TargetError(f"{self._directory}: cannot be read: {error.strerror}") from None

    def _leaf(self, key: bytes | None) -> tuple[list[Record], bytes | None]:
        """Read the leaf that a key belongs to, or the last one.

        Returns
        -------
        records : list of Record
            All that are in the leaf.
        following : bytes or None
            Where the next leaf begins, if there is one.
        """
        patience = time.monotonic() + _PATIENCE
        while True:
            meta = self._newest()
            try:
                found = self._descend(meta, key)
            except pages.DoubtError:
                found = None
            except OSError as error:
                raise TargetError(f"{self._directory}: cannot be read: {error.strerror}") from None
            behind = self._newest().transaction - meta.transaction
            if found is not None and behind <= 1:
                return found
            if behind == 0:
                raise TargetError(f"{self._directory}: the database is damaged")
            if time.monotonic() > patience:
                raise TargetError(f"{self._directory}: changes too fast to be read; try again")

    def _descend(self, meta: pages.Meta, key: bytes | None) -> tuple[list[Record], bytes | None]:
        following = None
        number = meta.root
        for level in range(meta.depth):
            is_leaf, nodes = pages.nodes(self._file, meta, number)
            pages.require(is_leaf == (level == meta.depth - 1))
            if is_leaf:
                return [self._record(meta, node) for node in nodes], following
            at = len(nodes) - 1
            # The first node of a branch has no key.
            while key is not None and at > 0 and nodes[at].key > key:
                following = nodes[at].key
                at -= 1
            number = nodes[at].child
        return [], None

    def _record(self, meta: pages.Meta, node: pages.Node) -> Record:
        """Read what is told of a value: that of a leaf itself, or that of pages of its own."""
        value = node.data
        if value is None:
            value = pages.value_on_pages(self._file, meta, node, _FIRST)
            length = 8 + int.from_bytes(value[:8], "little")
            if len(value) < length <= min(node.size, 8 + LONGEST_HEADER):
                value = pages.value_on_pages(self._file, meta, node, length)
        return Record(node.key, node.size, header_of(value))
