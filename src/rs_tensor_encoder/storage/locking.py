"""The lock on a partial target: one encoder at a time may write to it.

File systems differ in the locks that they have, so that several kinds are tried:

1. ``flock`` on the directory. For directories of NFS and Lustre, Linux keeps it on the machine
   itself: it works there, but other machines do not see it.
2. ``fcntl`` on the file ``rs-tensor-encoder.lock``. On NFS, and on Lustre where it is mounted
   with ``flock``, it holds against other machines, too.
3. Where neither is supported, the file ``rs-tensor-encoder.owner``, which only one process can
   create. It says whose it is, so that another run on the same machine can tell that the process
   has ended. A killed process leaves it behind; it cannot be known from other machines.

The files are removed at the end. What becomes of an encoder on another machine that none of
these locks reach is the subject of `hosts`.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rs_tensor_encoder.errors import TargetError, writing_failed
from rs_tensor_encoder.util.system import Process, has_ended, this_process

LOCK_FILE = "rs-tensor-encoder.lock"
OWNER = "rs-tensor-encoder.owner"
# Held while the owner is changed.
_CHANGE = OWNER + ".new"

#: All files that may be left by an encoder that was killed.
NAMES = (LOCK_FILE, OWNER, _CHANGE)

# How often a lock is asked for that others have, and the seconds in between.
_TRIES = 40
_MOMENT = 0.005

#: What systems say where there are no locks of the kind that was asked for: Lustre without
#: -o flock (ENOSYS), NFS without a lock daemon (ENOLCK), FUSE and others.
NOT_SUPPORTED = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.EINVAL,
    errno.EBADF,
    errno.EISDIR,
    errno.ENOTTY,
    errno.EPERM,
)


@contextmanager
def exclusive(directory: int, path: str) -> Iterator[None]:
    """Hold a directory against other encoders; remove it at the end if nothing is in it.

    Parameters
    ----------
    directory : int
        Descriptor of the directory, which must not be closed before the end.
    path : str
        Its name, which it may lose meanwhile.

    Raises
    ------
    TargetError
        If another encoder holds it, or it cannot be locked.
    """
    flocked = _take(fcntl.flock, directory, path)
    _require_at(directory, path)
    file = _open_lock_file(directory, path)
    try:
        locked = _take(fcntl.lockf, file, path)
        if locked and not _is_same(file, directory):
            raise _just_ended(path)
        made = [LOCK_FILE]
        try:
            if not (flocked or locked):
                _own(directory, path)
                made.append(OWNER)
            _require_at(directory, path)
            yield
        finally:
            for name in made:
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
            if _is_at(directory, path):
                with suppress(OSError):
                    os.rmdir(path)
    finally:
        os.close(file)


def _take(lock: Callable[[int, int], None], file: int, path: str) -> bool:
    """Take a lock; tell whether there is one of this kind."""
    try:
        for _ in range(_TRIES):
            # Whoever only asks whether the lock is held has it for a moment (see `unfinished`).
            with suppress(BlockingIOError):
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(_MOMENT)
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # POSIX has two numbers for a lock that another process holds.
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise _busy(path) from None
        if error.errno in NOT_SUPPORTED:
            return False
        raise TargetError(f"{path}: cannot be locked: {error.strerror}") from None
    return True


def _open_lock_file(directory: int, path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(LOCK_FILE, flags, 0o666, dir_fd=directory)
    except FileNotFoundError:
        # The directory itself was removed.
        raise _just_ended(path) from None
    except OSError as error:
        raise writing_failed(os.path.join(path, LOCK_FILE), error) from None


def _own(directory: int, path: str) -> None:
    """Create the file that says who the owner is; take it over from one that has ended."""
    text = json.dumps(this_process()._asdict() | {"time": time.strftime("%Y-%m-%d %H:%M:%S %z")})
    if not _create(OWNER, text, directory, path):
        _remove_if_ended(directory, path)
        if not _create(OWNER, text, directory, path):
            raise _busy(path)


def _create(name: str, text: str, directory: int, path: str) -> bool:
    """Create a file unless there is one; tell whether this process did it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        file = os.open(name, flags, 0o666, dir_fd=directory)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise _just_ended(path) from None
    except OSError as error:
        raise writing_failed(os.path.join(path, name), error) from None
    try:
        with open(file, "w", encoding="ascii") as stream:
            stream.write(text)
    except OSError as error:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise writing_failed(os.path.join(path, name), error) from None
    return True


def _remove_if_ended(directory: int, path: str) -> None:
    text = _read_owner(directory, path)
    if text is None:
        return
    _require_ended(text, path)
    if not _create(_CHANGE, "", directory, path):
        raise TargetError(
            f"{path}: another encoder is beginning to write to it; if none is running, remove "
            f"{os.path.join(path, _CHANGE)}"
        )
    try:
        # Another one may have removed it, and made its own, before this one was allowed to.
        if _read_owner(directory, path) == text:
            os.unlink(OWNER, dir_fd=directory)
    except OSError as error:
        raise writing_failed(os.path.join(path, OWNER), error) from None
    finally:
        with suppress(OSError):
            os.unlink(_CHANGE, dir_fd=directory)


def _read_owner(directory: int, path: str) -> str | None:
    try:
        file = os.open(OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with open(file, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 16)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise TargetError(f"{os.path.join(path, OWNER)}: {reason}") from None


def _require_ended(text: str, path: str) -> None:
    """Refuse to go on unless the owner, by its own description, is known to have ended."""
    file = os.path.join(path, OWNER)
    advice = f"this file system has no locks to prove it: if none is running, remove {file}"
    try:
        found = json.loads(text)
        owner = Process(*(found[name] for name in Process._fields))
        ended = has_ended(owner)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise TargetError(f"{path}: another encoder may be writing to it; {advice}") from None
    if not ended:
        where = f"process {owner.pid} on the host {owner.host!r}, since {found.get('time')!r}"
        raise TargetError(f"{path}: another encoder is writing to it ({where}); {advice}")


def _require_at(directory: int, path: str) -> None:
    if not _is_at(directory, path):
        raise _just_ended(path)


def _is_at(directory: int, path: str) -> bool:
    """Tell whether an open directory still has its name."""
    try:
        return os.path.samestat(os.fstat(directory), os.stat(path))
    except OSError:
        return False


def _is_same(file: int, directory: int) -> bool:
    """Tell whether an open lock file is still the one in the directory."""
    try:
        found = os.stat(LOCK_FILE, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(os.fstat(file), found)


def _busy(path: str) -> TargetError:
    return TargetError(f"{path}: another encoder is writing to it")


def _just_ended(path: str) -> TargetError:
    return TargetError(
        f"{path}: another encoder was writing to it a moment ago; run the same command again"
    )
