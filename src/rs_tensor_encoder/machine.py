"""What the machine says of itself."""

import contextlib
import os


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def boot_id() -> str:
    """Identify the running boot of this machine; "unknown" where the system does not say."""
    with (
        contextlib.suppress(OSError),
        open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file,
    ):
        return file.read().strip()
    return "unknown"
