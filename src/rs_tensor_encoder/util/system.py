"""What the machine says of itself, and of the processes on it."""

import contextlib
import os
from typing import NamedTuple

#: What stands for a fact that the system does not tell.
UNKNOWN = "unknown"


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def boot_id() -> str:
    """Identify the running boot of this machine; "unknown" where the system does not say."""
    return _text("/proc/sys/kernel/random/boot_id")


def host_name() -> str:
    """Return the name of this machine; "unknown" where it has none."""
    name = os.uname().nodename
    # The kernel's own, before any is set.
    return UNKNOWN if name in {"", "(none)"} else name


class Process(NamedTuple):
    """What tells a process from all others: in which boot, which table, and since when.

    Any of the texts may be "unknown".
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


def this_process() -> Process:
    """Identify this process."""
    pid = os.getpid()
    return Process(host_name(), boot_id(), _namespace(), pid, _started(pid))


def has_ended(process: Process) -> bool:
    """Tell whether a process is known to have ended; False where that cannot be known."""
    here = this_process()
    if process.host != here.host or process.host == UNKNOWN:
        return False
    if UNKNOWN in {process.boot, here.boot}:
        return False
    if process.boot != here.boot:
        return True
    # A number means something only to those who share a table of processes.
    if process.namespace != here.namespace or process.namespace == UNKNOWN:
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # It is another user's.
    # Its number may have been given to another one meanwhile.
    return UNKNOWN not in {started := _started(process.pid), process.started} and (
        started != process.started
    )


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return str(os.stat("/proc/self/ns/pid").st_ino)
    return UNKNOWN


def _started(pid: int) -> str:
    """When a process was started, in ticks since the boot."""
    # Behind the name, which is in parentheses and may hold any character.
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else UNKNOWN


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip() or UNKNOWN
    return UNKNOWN
