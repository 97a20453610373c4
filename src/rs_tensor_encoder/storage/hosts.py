"""A partial target that a run on another machine has left, or still writes to.

Locks need not reach other machines: that of a directory of NFS or Lustre never does. So an encoder
renews the time of its manifest every few seconds, and another one that finds the manifest of
another machine waits until that time has not changed for a while before it touches anything.
Then it goes on with copies: should the other one have been suspended only, or its machine still
have something to write, that goes to files that nobody reads any more.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from rs_tensor_encoder.errors import TargetError, writing_failed
from rs_tensor_encoder.storage import journal, manifest
from rs_tensor_encoder.storage.environment import DATA
from rs_tensor_encoder.storage.manifest import Manifest
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.system import UNKNOWN
from rs_tensor_encoder.util.text import sized
from rs_tensor_encoder.util.thread_group import Alive

# Seconds between two renewals; and without one, after which an encoder counts as ended. A client
# of a network file system may be slow, and its machine be busy, for a while.
_RENEWAL = 5.0
_QUIET = 30.0

# Seconds between two looks while waiting.
_LOOK = 1.0

#: What is copied, to the same names with ".new" behind them first.
COPIED = (DATA, journal.NAME)

_PIECE = 16 << 20


class Heartbeat(Closing):
    """A thread that renews the time of a manifest; where there can be no thread, nobody does.

    Parameters
    ----------
    directory : str
        The partial target. It may be renamed or removed meanwhile.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, manifest.NAME)
        self._end: SimpleQueue[None] = SimpleQueue()
        self._alive = Alive()
        with suppress(MemoryError, RuntimeError):
            self._alive.start(self._serve, self._path)

    def close(self) -> None:
        """Have the thread leave, and wait until it has."""
        self._end.put(None)
        self._alive.join()

    def _serve(self, path: str) -> None:
        with suppress(MemoryError):
            while True:
                try:
                    self._end.get(timeout=_RENEWAL)
                except Empty:
                    with suppress(OSError):
                        os.utime(path)
                else:
                    return


def take_over(
    directory: str,
    here: Manifest,
    stop: threading.Event,
    tell: Callable[[str], object],
    *,
    copy: bool,
) -> None:
    """Make a partial target that a run on another machine may have left this machine's own.

    Parameters
    ----------
    directory : str
        The partial target, locked as far as locks reach.
    here : Manifest
        Of the run that begins.
    stop : threading.Event
        Set by others to end early; what is there stays as it is.
    tell : callable
        Called with what the user should know before there is a wait.
    copy : bool
        Replace what there is by copies, which only this machine has open.

    Raises
    ------
    OutOfSpaceError, TargetError
        If another encoder writes to it, or it cannot be copied.
    """
    try:
        old = Manifest.load(directory)
    except TargetError:
        return  # Whoever reads it next says so.
    if old is None or not _may_be_elsewhere(old, here):
        return
    _wait_until_quiet(directory, _where(old, here), stop, tell)
    if not copy or not is_elsewhere(old, here) or stop.is_set():
        return
    paths = [os.path.join(directory, name) for name in COPIED]
    paths = [path for path in paths if os.path.exists(path)]
    size = sum(os.path.getsize(path) for path in paths)
    tell(f"{directory}: copying {sized(size)} that were written on the host {old.host}")
    for path in paths:
        _replace_by_copy(path, stop)


def _wait_until_quiet(
    directory: str, where: str, stop: threading.Event, tell: Callable[[str], object]
) -> None:
    """Wait until the manifest has not been renewed for a while."""
    path = os.path.join(directory, manifest.NAME)
    seen = _state(path)
    # By the clock of the file system: those of two machines may differ.
    age = _now(path + ".new") - seen[1] / 1e9
    # A clock that was set back says nothing.
    left = _QUIET - age if age >= 0 else _QUIET
    if left > 0:
        tell(
            f"{directory}: the last run, {where}, wrote to it {max(age, 0):.0f} s ago; waiting "
            f"{left:.0f} s to see whether it still does"
        )
    while left > 0 and not stop.wait(min(left, _LOOK)):
        left -= _LOOK
        if _state(path) != seen:
            raise TargetError(
                f"{directory}: another encoder, {where}, is writing to it; wait until it has "
                "ended, or end it, and run the same command again"
            )


def _replace_by_copy(path: str, stop: threading.Event) -> None:
    new = path + ".new"
    try:
        with open(path, "rb", buffering=0) as old, open(new, "wb") as copy:
            while not stop.is_set() and (piece := old.read(_PIECE)):
                copy.write(piece)
        if not stop.is_set():
            os.replace(new, path)
    except OSError as error:
        raise writing_failed(new, error) from None
    finally:
        with suppress(OSError):
            os.remove(new)


def _may_be_elsewhere(old: Manifest, here: Manifest) -> bool:
    """Tell whether the last run may have been on a machine that locks of this one do not reach."""
    if old.boot is None or old.boot == here.boot != UNKNOWN:
        return False
    # Without an id of the boot, only the name tells: the same one is taken for the same machine.
    return UNKNOWN not in {old.boot, here.boot} or old.host != here.host


def is_elsewhere(old: Manifest, here: Manifest) -> bool:
    """Tell whether the last run is known to have been on another machine, and how it ended not."""
    known = (old.host, old.boot, here.host, here.boot)
    return (
        None not in known
        and UNKNOWN not in known
        and old.host != here.host
        and old.boot != here.boot
    )


def why_not_trusted(old: Manifest, here: Manifest) -> str:
    """Say what is known of the machine of a run whose data may not have reached the disk."""
    lost = "what the last run had written may not all have reached the disk: begun anew"
    if here.boot == UNKNOWN:
        return (
            "this system does not say whether it was restarted since the last run (there is no "
            f"/proc/sys/kernel/random/boot_id), and {lost}"
        )
    # A failed sync is noted as an unknown boot.
    if old.boot == UNKNOWN:
        return lost
    if UNKNOWN in {old.host, here.host} or old.host is None:
        return f"this machine was restarted since the last run, or is another one, and {lost}"
    return (
        "this machine was restarted since the last run, or is another one of the same name "
        f"({here.host}), and {lost}"
    )


def require_ours(directory: str, here: Manifest) -> None:
    """Refuse to finish a target that a run on another machine has taken over.

    It does so when nothing was heard of this one for a while, as when it was suspended.

    Raises
    ------
    TargetError
        If the manifest is not that of this run any more.
    """
    found = Manifest.load(directory)
    if found is None or (found.host, found.boot) != (here.host, here.boot):
        raise TargetError(
            f"{directory}: another encoder has taken it over"
            + (f" on the host {found.host}" if found is not None and found.host else "")
            + ", because this one had not been heard of for a while; it is left to that one"
        )


def _where(old: Manifest, here: Manifest) -> str:
    if old.host in {None, UNKNOWN}:
        return "on another machine or before this one was restarted"
    if old.host == here.host:
        return f"on this machine before it was restarted, or on another one called {old.host}"
    return f"on the host {old.host}"


def _state(path: str) -> tuple[int, int, int]:
    """What a write or a renewal changes; by opening it, since NFS asks its server only then."""
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
    except FileNotFoundError:
        return (0, 0, 0)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}") from None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _now(probe: str) -> float:
    """The time of a file system, by a file that is made and removed."""
    try:
        with open(probe, "wb") as file:
            file.write(b"\n")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise writing_failed(probe, error) from None
    finally:
        with suppress(OSError):
            os.remove(probe)
