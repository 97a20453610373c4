"""What a target may be: a name that is free, in a place where there is room and permission."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress

from rs_tensor_encoder.errors import OutOfSpaceError, TargetError
from rs_tensor_encoder.storage.environment import DATA
from rs_tensor_encoder.util.disk_space import free_at
from rs_tensor_encoder.util.text import sized


def check_target(roots: Iterable[str], target: str) -> None:
    """Refuse a target that exists, cannot be made, or lies in a source.

    A directory without entries may be there: it is replaced.

    Parameters
    ----------
    roots : iterable of str
        The roots of the sources.
    target : str
        The directory to make.

    Raises
    ------
    TargetError
        With what to do instead.
    """
    if os.path.basename(target) in (".", ".."):
        raise TargetError(
            f"{target}: the target is made anew and cannot be the working directory; name it by "
            "its path, or name a directory inside"
        )
    require_free(target)
    parent = os.path.dirname(os.path.abspath(target))
    for path in (target, target + ".partial"):
        real = os.path.join(os.path.realpath(parent), os.path.basename(path))
        for given in roots:
            root = os.path.realpath(given)
            if os.path.commonpath([root, real]) == root:
                raise TargetError(f"{path}: lies inside the source {given}; choose a place outside")
    _require_writable(target)


def require_free(target: str) -> None:
    """Refuse the name of a target behind which there is something else than an empty directory."""
    if not os.path.lexists(target):
        return
    if os.path.islink(target) or not os.path.isdir(target):
        raise TargetError(f"{target}: exists already; choose another name, or remove it first")
    if os.path.ismount(target):
        raise TargetError(
            f"{target}: is a mount point, which cannot be replaced; name a directory inside"
        )
    try:
        empty = not os.listdir(target)
    except OSError as error:
        raise TargetError(f"{target}: cannot be looked into: {error.strerror}") from None
    if not empty:
        raise TargetError(
            f"{target}: exists already; choose another name, or remove it first (to compare it "
            "with the sources, use the verb check)"
        )


def _require_writable(target: str) -> None:
    """Refuse a target that could not be made: nobody should wait for a search to learn it."""
    partial = target + ".partial"
    if os.path.isdir(partial) and not os.access(partial, os.W_OK | os.X_OK):
        raise TargetError(f"{partial}: no permission to write there")
    parent = os.path.dirname(os.path.abspath(target))
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise TargetError(f"{partial}: cannot be made: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EROFS if _is_read_only(parent) else errno.EACCES)
        raise TargetError(f"{partial}: cannot be made: {reason}")


def _is_read_only(path: str) -> bool:
    """Tell whether a file system cannot be written to by anybody."""
    with suppress(OSError):
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return False


def free_space(target: str) -> int | None:
    """Bytes that a database may take: those free, and those of a partial one; None if unknown."""
    data = os.path.join(target + ".partial", DATA)
    used = os.stat(data).st_blocks * 512 if os.path.exists(data) else 0
    parent = os.path.dirname(os.path.abspath(target))
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    free = free_at(parent)
    return None if free is None else free + used


def check_space(target: str, size: int) -> None:
    """Refuse to begin what would not fit, as far as the file system says what is free.

    Raises
    ------
    OutOfSpaceError
        If fewer than ``size`` bytes are free.
    """
    free = free_space(target)
    if free is not None and free < size:
        raise OutOfSpaceError(
            f"{target}: the database will take about {sized(size)}, but only {sized(free)} are "
            "free; nothing was written"
        )
