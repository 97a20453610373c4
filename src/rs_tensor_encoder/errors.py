"""What can go wrong, as exceptions: each knows the exit code of the command."""

import enum
import errno
import os


class EncoderError(Exception):
    """Root of all errors that the user can do something about."""

    exit_code = 1


class Kind(enum.IntEnum):
    """Kinds of patch errors that something is to be done about (the same as in ``problem.pxd``)."""

    OTHER = 0
    #: The file does not begin like a TIFF file.
    NOT_TIFF = 1
    #: The file has another number of bands than its layout says.
    OTHER_BANDS = 2
    #: The file is a symbolic link to a place outside of its source.
    OUTSIDE = 3


class PatchError(EncoderError, ValueError):
    """A file of a patch cannot be encoded.

    Parameters
    ----------
    path : str or bytes
        The file, or the directory, at fault.
    reason : str
        What is wrong with it.
    errno : int
        The system's number for it, 0 where the system is not to blame.
    kind : Kind
        What kind of error it is.

    Attributes
    ----------
    path : str
        The path in UTF-8, whatever the locale: for people and for JSON.
    """

    def __init__(
        self, path: str | bytes, reason: str, errno: int = 0, kind: int = Kind.OTHER
    ) -> None:
        self.path = os.fsencode(path).decode("utf-8", "surrogateescape").rstrip("/")
        self.reason = reason
        self.errno = errno
        self.kind = Kind(kind)
        super().__init__(f"{self.path}: {reason}")


class LayoutError(EncoderError, ValueError):
    """The description of a dataset is not valid."""

    exit_code = 2


class SourceError(EncoderError, OSError):
    """A source cannot be read, or holds no patches."""

    exit_code = 3


class NotUtf8Error(SourceError):
    """The name of a patch is not valid UTF-8, so that it cannot be a key."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: the name is not valid UTF-8, so it cannot be a key; rename it")


class TargetError(EncoderError, OSError):
    """The target exists, or does not match what was asked for."""

    exit_code = 4


class OutOfSpaceError(EncoderError, OSError):
    """The disk of the target is full, or would be."""

    exit_code = 5


class StoppedError(Exception):
    """Work was ended early, because whoever had asked for it asked to stop."""


def writing_failed(path: str, error: OSError, what: str = "written") -> EncoderError:
    """Say in our terms why something cannot be written: the disk is full, or what it is."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpaceError(f"{path}: {reason}; make room and run the same command again")
    return TargetError(f"{path}: cannot be {what}: {reason}")


def missing(path: str) -> str:
    """Say of a path behind which there is nothing why that is so."""
    if os.path.islink(path):
        return f"is a symbolic link that leads nowhere (to {os.readlink(path)})"
    return "does not exist"
