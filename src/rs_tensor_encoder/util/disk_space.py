"""How much room a file system has, where it says so."""

import os


def free_at(path: str) -> int | None:
    """Bytes that this user may still write.

    Returns
    -------
    int or None
        None where the file system does not say: the call fails, or it claims to have no
        blocks at all, as some in user space do.
    """
    try:
        stat = os.statvfs(path)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize if stat.f_blocks else None
