"""The LMDB side: create, append, commit, finish, open for reading.

The file is in the format of LMDB 0.9 (data version 1), the records are in the
unnamed database, and nothing else is in it.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import lmdb

from rs_tensor_encoder.errors import EncoderError, OutOfSpaceError, SourceError, TargetError

DATA = "data.mdb"
LOCK = "lock.mdb"

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


def open_environment(directory: str, **options: Any) -> lmdb.Environment:
    """Open an LMDB directory with the engine that writes format 1.

    ``lmdb`` 3 holds two engines, of which an environment variable may choose
    the other one; earlier versions know no such choice.
    """
    # Bytes, because a name need not be valid in the user's encoding.
    path = os.fsencode(directory)
    try:
        return lmdb.open(path, lib_version=0, **options)
    except TypeError:
        return lmdb.open(path, **options)


def require(directory: str) -> None:
    """Refuse a directory without a database.

    Raises
    ------
    TargetError
        If there is no ``data.mdb`` in it.
    """
    if not os.path.isfile(os.path.join(directory, DATA)):
        raise TargetError(f"{directory}: no database here (a directory with {DATA} is expected)")


def open_reading(path: str) -> lmdb.Environment:
    """Open a database for reading: the directory, or the ``data.mdb`` in it.

    Raises
    ------
    TargetError
        If it is not there or not a database.
    """
    if os.path.basename(path) == DATA and os.path.isfile(path):
        path = os.path.dirname(path) or "."
    require(path)
    problems = verify(path, quick=True)
    if problems:
        raise TargetError(f"{path}: the database is damaged: {problems[0]}")
    try:
        return open_environment(path, readonly=True, lock=False, readahead=True)
    except lmdb.Error as error:
        raise TargetError(f"{path}: cannot be opened as an LMDB database: {error}") from None


def verify(directory: str, *, quick: bool = False) -> list[str]:
    """Check the structure of a database without the engine, which damage could kill.

    Parameters
    ----------
    directory : str
        Where ``data.mdb`` lies.
    quick : bool
        Only compare the size of the file with what its meta pages say of it.

    Returns
    -------
    list of str
        What is wrong; also empty where ``lmdb`` is older than 3.0, which
        brought the verifier (see `can_verify`), and ``quick`` is not asked for.

    Raises
    ------
    TargetError
        If it cannot be read.
    """
    path = os.path.join(directory, DATA)
    try:
        return _check_size(path) if quick else _check_structure(path)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}") from None


def _check_structure(path: str) -> list[str]:
    try:
        from lmdb.verify import VerifyError
        from lmdb.verify import verify as check
    except ImportError:
        return _check_size(path)
    try:
        return [str(problem) for problem in check(path, subdir=False)]  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return [str(error)]


def require_sound(directory: str) -> None:
    """Refuse a database whose structure is not known to be sound all through.

    Raises
    ------
    TargetError
        If there is none, if it is damaged, or if the installed ``lmdb`` has no verifier.
    """
    require(directory)
    if not can_verify():
        raise TargetError(
            f"{directory}: cannot be verified: --untrusted needs lmdb 3.0 or newer (pip install -U "
            "lmdb)"
        )
    problems = verify(directory)
    if problems:
        raise TargetError(f"{directory}: the database is damaged: {problems[0]}")


def can_verify() -> bool:
    """Tell whether the installed ``lmdb`` has a verifier."""
    try:
        import lmdb.verify  # noqa: F401
    except ImportError:
        return False
    return True


def _check_size(path: str) -> list[str]:
    # The two meta pages (LMDB 0.9, struct MDB_meta behind a page header of 16
    # bytes): magic, version, ..., and at byte 120 the last page in use. The
    # newer transaction (at byte 128) counts.
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(2 << 16)
    magic = int.from_bytes(head[16:20], "little")
    page = int.from_bytes(head[40:44], "little")
    if magic != 0xBEEFC0DE or not 256 <= page <= 1 << 16 or len(head) < 2 * page:
        return ["it is not an LMDB file"]
    metas = [head[16:page], head[page + 16 : 2 * page]]
    newest = max(metas, key=lambda meta: int.from_bytes(meta[128:136], "little"))
    last = int.from_bytes(newest[120:128], "little")
    if (last + 1) * page > size:
        return [f"{size} bytes, but pages up to byte {(last + 1) * page} are in use"]
    return []


class Writer:
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
            self._env = open_environment(
                directory, map_size=size, sync=False, max_spare_txns=1, meminit=True
            )
        except lmdb.Error as error:
            raise self._translated(error, 0) from None
        with self._env.begin() as txn, txn.cursor() as cursor:
            self._last = cursor.key() if cursor.last() else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        self._commit(self._put, records, sum(len(value) for _, value in records))
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
            self._commit(self._delete, keys[at : at + _REMOVED], 0)

    def _delete(self, keys: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as txn:
            for key in keys:
                txn.delete(key)

    def _commit(
        self, change: Callable[[Sequence[Any]], None], items: Sequence[Any], size: int
    ) -> None:
        """Make a change in one commit, in a larger map if it does not fit."""
        while True:
            try:
                change(items)
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] + _GROWTH)
            except lmdb.Error as error:
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
        stat = os.statvfs(self.directory)
        free = stat.f_bavail * stat.f_frsize
        if free < 2 * size + (1 << 20) or os.strerror(errno.ENOSPC) in str(error):
            return OutOfSpaceError(
                f"{self.directory}: the disk is full, or the quota used up; make room and run the "
                "same command again"
            )
        return TargetError(
            f"{self.directory}: the database cannot be written: {error} (an exceeded quota or "
            "file size limit looks like this, too)"
        )
