"""A database on the disk: is it there, is it sound; opened with the engine of format 1."""

import os
import threading
from typing import Any

import lmdb

from rs_tensor_encoder.errors import StoppedError, TargetError, missing

# Addresses beyond the end of a file that is opened for reading, in bytes.
_GROWTH = 64 << 20

DATA = "data.mdb"
LOCK = "lock.mdb"


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
    if os.path.islink(directory) and not os.path.exists(directory):
        raise TargetError(f"{directory}: {missing(directory)}")
    try:
        os.stat(os.path.join(directory, DATA))
    except PermissionError as error:
        raise TargetError(f"{directory}: cannot be looked into: {error.strerror}") from None
    except OSError:
        # What is missing is said below.
        pass
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
        # Others may add to it before a transaction begins, and what they add must fit.
        size = os.path.getsize(os.path.join(path, DATA)) + _GROWTH
        return open_environment(path, map_size=size, readonly=True, lock=False, readahead=True)
    except lmdb.Error as error:
        raise TargetError(f"{path}: cannot be opened as an LMDB database: {error}") from None


def verify(
    directory: str,
    *,
    quick: bool = False,
    strict: bool = False,
    stop: threading.Event | None = None,
) -> list[str]:
    """Check the structure of a database without the engine, which damage could kill.

    Parameters
    ----------
    directory : str
        Where ``data.mdb`` lies.
    quick : bool
        Only compare the size of the file with what its meta pages say of it.
    strict : bool
        What cannot be proved is wrong.
    stop : threading.Event, optional
        Set by others to end early.

    Returns
    -------
    list of str
        What is wrong; also empty where ``lmdb`` is older than 3.0, which
        brought the verifier (see `can_verify`), and neither ``quick`` nor ``strict``
        is asked for.

    Raises
    ------
    TargetError
        If it cannot be read.
    StoppedError
        If it was ended early.
    """
    path = os.path.join(directory, DATA)
    try:
        return _check_size(path) if quick else _check_structure(path, stop, strict=strict)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}") from None


def _check_structure(path: str, stop: threading.Event | None, *, strict: bool) -> list[str]:
    # Not before it is needed: it takes numpy.
    from rs_tensor_encoder.storage.structure import proved

    # What is not proved at once may be sound all the same: then the verifier says so.
    if proved(path, stop):
        return []
    if strict and not can_verify():
        return ["its structure cannot be proved without lmdb 3.0 or newer"]
    if stop is None or not can_verify():
        return _ask_verifier(path)
    from rs_tensor_encoder.util.process_pool import Pool
    from rs_tensor_encoder.util.worker_process import StartError

    # It may take minutes, and it can only be ended with its process.
    try:
        with Pool(1, _ignore, (), _ask_verifier) as pool:
            for _, problems in pool.map([path], stop):
                return problems
    except StartError:
        return _ask_verifier(path)
    raise StoppedError


def _ignore() -> None:
    pass


def _ask_verifier(path: str) -> list[str]:
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
    try:
        problems = _ask_verifier(os.path.join(directory, DATA))
    except OSError as error:
        raise TargetError(f"{directory}: cannot be read: {error.strerror}") from None
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
        # In this order: the file may grow.
        head = file.read(2 << 16)
        size = os.fstat(file.fileno()).st_size
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
