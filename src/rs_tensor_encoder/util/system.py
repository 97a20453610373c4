"""What the machine says of itself, and of the processes on it."""

import contextlib
import os
from typing import NamedTuple

from rs_tensor_encoder.util.cpu_quota import cpu_quotas, positive

#: What stands for a fact that the system does not tell.
UNKNOWN = "unknown"


def processors(root: str = "/") -> int:
    """Return the number of processors that this process may use.

    It is the minimum of three limits, of which each may be absent:

    - the CPU affinity (``sched_getaffinity(2)``); where the system has none, as macOS, the
      number of processors of the machine;
    - the CPU quotas of the control groups of this process, see `cpu_quota`;
    - ``SLURM_CPUS_PER_TASK``, which Slurm sets for a job that was submitted with
      ``--cpus-per-task`` (``sbatch(1)``, "Output Environment Variables"), and which no file
      tells where Slurm confines jobs neither by affinity nor by control groups.

    Nothing is cached, and files of ``/proc`` and ``/sys`` are read in each call: call it once
    per run, not once per patch.

    Parameters
    ----------
    root : str
        Directory that holds ``proc`` and ``sys``.

    Returns
    -------
    int
        At least 1. A quota of one and a half processors counts as 2.
    """
    limits = [*cpu_quotas(root)]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    else:
        limits.append(os.cpu_count() or 1)
    requested = positive(os.environ.get("SLURM_CPUS_PER_TASK", ""))
    if requested is not None:
        limits.append(requested)
    return min(limits)


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
