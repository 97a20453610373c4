"""Forcing files and directories to the disk, on file systems that may not know how."""

import errno
import os

# What systems say where something cannot be synced at all, in contrast to a sync that failed:
# EINVAL (CIFS before Linux 4.17, 9p), ENOSYS and EOPNOTSUPP (file systems in user space),
# EBADF and EISDIR (those that want a file, or one that is open for writing).
_NOT_SUPPORTED = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.EBADF,
    errno.EISDIR,
}


def sync_file(file: int) -> None:
    """Force a file to the disk.

    Raises
    ------
    OSError
        If that fails, or the file system does not support it: then nothing that is written
        there could be relied on, and the sources may be removed because of it.
    """
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            raise OSError(
                error.errno,
                f"this file system cannot force a file to the disk (fsync: {error.strerror}), so "
                "no database on it would be sure to last; choose a target on another one",
            ) from None
        raise


def sync_directory(path: str) -> bool:
    """Force the names in a directory to the disk, so that a rename outlives a power loss.

    Returns
    -------
    bool
        False where the file system does not support it, or the directory may be written to
        but not read, and so not be opened.

    Raises
    ------
    OSError
        If it fails.
    """
    try:
        directory = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED | {errno.EACCES, errno.EPERM}:
            return False
        raise
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            return False
        raise
    finally:
        os.close(directory)
    return True
