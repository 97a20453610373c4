"""The LMDB side of writing: create, append, commit, finish.

The file is in the format of LMDB 0.9 (data version 1), the records are in the
unnamed database, and nothing else is in it.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import lmdb

from rs_tensor_encoder.errors import (
    EncoderError,
    OutOfSpaceError,
    SourceError,
    TargetError,
    writing_failed,
)
from rs_tensor_encoder.storage.environment import LOCK, open_environment
from rs_tensor_encoder.storage.locking import NOT_SUPPORTED
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.disk_space import free_at

#: What a database is grown by when it turns out larger than planned, in bytes.
_GROWTH = 1 << 30
_PAGE = 4096

# Records that are removed in one commit.
_REMOVED = 1000

Record = tuple[bytes, memoryview]


def space_for(records: int, length: float) -> int:
    """Bytes that a database of ``records`` values of ``length`` bytes takes.

    A value of more than half a page lies on pages of its own behind a header
    of 16 bytes; keys lie on leaf pages (LMDB 0.9, ``mdb.c``: PAGEHDRSZ).
    """
    pages = -(-(length + 16) // _PAGE) if length > _PAGE // 2 else length / _PAGE
    return int(records * (pages * _PAGE + 160)) + 16 * _PAGE


class Writer(Closing):
    """Appends records to a database and commits them; the only writer there is.

    Parameters
    ----------
    directory : str
        Existing directory, with or without a database in it.
    size : int
        Bytes that the database is expected to take. More is possible.
    """

    def __init__(self, directory: str, size: int) -> None:
        self.directory = directory
        size = -(-int(size * 1.25 + (64 << 20)) // _PAGE) * _PAGE
        try:
            self._env = self._open(size)
        except lmdb.Error as error:
            raise self._translated(error, 0) from None
        with self._env.begin() as txn, txn.cursor() as cursor:
            self._last = cursor.key() if cursor.last() else b""

    def _open(self, size: int) -> lmdb.Environment:
        """Open the database; without LMDB's own locks where the file system has none."""
        arguments = {"map_size": size, "sync": False, "max_spare_txns": 1, "meminit": True}
        try:
            return open_environment(self.directory, **arguments)
        except lmdb.Error as error:
            if not any(os.strerror(number) in str(error) for number in NOT_SUPPORTED):
                raise
        # There is no other writer: the directory is held against other encoders.
        env = open_environment(self.directory, lock=False, **arguments)
        # Readers with locks expect the file; they fill it themselves.
        try:
            with open(os.path.join(self.directory, LOCK), "ab"):
                pass
        except OSError as error:
            env.close()
            raise writing_failed(os.path.join(self.directory, LOCK), error) from None
        return env

    def keys(self) -> Iterator[bytes]:
        """Keys of all records, in order."""
        with self._env.begin() as txn, txn.cursor() as cursor:
            yield from cursor.iternext(keys=True, values=False)

    def records(self) -> Iterator[Record]:
        """All records, in the order of the keys; a value is valid until the next one."""
        with self._env.begin(buffers=True) as txn, txn.cursor() as cursor:
            for key, value in cursor:
                yield bytes(key), memoryview(value)

    def count(self) -> int:
        """Return the number of records."""
        return int(self._env.stat()["entries"])

    def append(self, records: Sequence[Record]) -> None:
        """Add records in the order of their keys and commit them.

        The pages of a small commit stay in the processor's cache, so commits
        of a few megabytes are the fast ones. Nothing is forced to the disk
        before `sync`.

        Raises
        ------
        OutOfSpaceError
            If the disk is full. The writer must not be used any more: LMDB
            would let a later commit succeed over the hole.
        TargetError
            If the database cannot be written, or has one of the keys.
        """
        if not records:
            return
        self._commit(partial(self._put, records), records)
        self._last = max(self._last, records[-1][0])

    def _put(self, records: Sequence[Record]) -> None:
        # Keys come in order but for those that a rerun adds in between.
        append = records[0][0] > self._last
        with self._env.begin(write=True) as txn, txn.cursor() as cursor:
            _, added = cursor.putmulti(records, append=append, overwrite=False)
            if added != len(records):
                raise TargetError(
                    f"{self.directory}: {len(records) - added} of {len(records)} records were not "
                    f"added because their keys were there already or out of order (from "
                    f"{records[0][0].decode()} on)"
                )

    def remove(self, keys: Sequence[bytes]) -> None:
        """Remove records and commit that.

        Raises
        ------
        OutOfSpaceError, TargetError
            If the database cannot be written.
        """
        for at in range(0, len(keys), _REMOVED):
            self._commit(partial(self._delete, keys[at : at + _REMOVED]))

    def _delete(self, keys: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as txn:
            for key in keys:
                txn.delete(key)

    def _commit(self, change: Callable[[], None], records: Sequence[Record] = ()) -> None:
        """Make a change, that adds records, in one commit; in a larger map if it does not fit."""
        while True:
            try:
                change()
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] + _GROWTH)
            except lmdb.Error as error:
                size = sum(len(value) for _, value in records)
                raise self._translated(error, size) from None
            else:
                return

    def sync(self) -> None:
        """Force all that is committed to the disk."""
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            raise self._translated(error, 0) from None

    def close(self) -> None:
        """Close the database; what was not committed is not in it."""
        self._env.close()

    def _translated(self, error: lmdb.Error, size: int) -> EncoderError:
        if os.strerror(errno.ENOMEM) in str(error):
            return SourceError(
                f"{self.directory}: out of memory: the database is mapped into the address space "
                "as a whole, and that is limited here (ulimit -v)"
            )
        # LMDB reports a full disk as an input/output error: ask the file system.
        free = free_at(self.directory)
        full = free is not None and free < 2 * size + (1 << 20)
        if full or os.strerror(errno.ENOSPC) in str(error):
            return OutOfSpaceError(
                f"{self.directory}: the disk is full, or the quota used up; make room and run the "
                "same command again"
            )
        return TargetError(
            f"{self.directory}: the database cannot be written: {error} (an exceeded quota or "
            "file size limit looks like this, too)"
        )
