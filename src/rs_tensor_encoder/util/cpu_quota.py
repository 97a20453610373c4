r"""CPU quotas that control groups (cgroups) set on this process.

A container or a batch system often limits the processor time of a job and leaves the affinity
alone: a process with a quota of two processors sees all 64 of its machine, and is suspended for
most of each period when it starts 64 threads.

The formats of the files that are read here are described in

- ``cgroups(7)``: ``/proc/self/cgroup``, and which versions may be mounted side by side;
- ``proc_pid_mountinfo(5)``: where a hierarchy is mounted, from which of its directories on, and
  the octal escapes (``\040`` for a space) in the names;
- Linux ``Documentation/admin-guide/cgroup-v2.rst``, "CPU Interface Files": ``cpu.max`` is
  ``$MAX $PERIOD`` in microseconds, and ``max`` where there is no limit;
- Linux ``Documentation/scheduler/sched-bwc.rst``: ``cpu.cfs_quota_us`` is -1 where there is no
  limit, and a group gets no more than those above it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress


def cpu_quotas(root: str = "/") -> Iterator[int]:
    """Yield every CPU quota that holds for this process.

    A quota of any group on the path from the mounted root of the hierarchy down to the group of
    this process holds; the smallest is the one that matters. What is missing, unreadable or in
    an unknown format sets no limit.

    Parameters
    ----------
    root : str
        Directory that holds ``proc`` and ``sys``.

    Yields
    ------
    int
        Processors, rounded up: at least 1.
    """
    groups = _groups(root)
    for version, controllers, mount_root, mount_point in _mounts(root):
        # Version 2 has one hierarchy, listed without controllers.
        group = groups.get("" if version == 2 else "cpu")
        if group is None or (version == 1 and "cpu" not in controllers):
            continue
        below = _relative(group, mount_root)
        if below is None:
            continue
        directory = os.path.join(root, mount_point.lstrip("/"))
        for name in ["", *below]:
            directory = os.path.join(directory, name)
            yield from _quota_v2(directory) if version == 2 else _quota_v1(directory)


def positive(text: str) -> int | None:
    """Parse a positive decimal number; None where the text is anything else."""
    # So short that it is a number of microseconds or processors; int() refuses very long ones.
    return int(text) or None if re.fullmatch(r"[0-9]{1,20}", text) else None


def _groups(root: str) -> dict[str, str]:
    """Map each controller ("" for version 2) to the group of this process."""
    groups = {}
    for line in _lines(os.path.join(root, "proc/self/cgroup")):
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups.update(dict.fromkeys(fields[1].split(","), fields[2]))
    return groups


def _mounts(root: str) -> Iterator[tuple[int, list[str], str, str]]:
    """Yield version, options, mounted directory and mount point of each cgroup hierarchy."""
    for line in _lines(os.path.join(root, "proc/self/mountinfo")):
        # A variable number of optional fields ends with a lone hyphen.
        mount, _, file_system = line.partition(" - ")
        fields, kind = mount.split(" "), file_system.split(" ")
        if len(fields) >= 5 and len(kind) == 3 and kind[0] in {"cgroup", "cgroup2"}:
            version = 2 if kind[0] == "cgroup2" else 1
            yield version, kind[2].split(","), _unescape(fields[3]), _unescape(fields[4])


def _relative(group: str, mount_root: str) -> list[str] | None:
    """Return the names from a mounted directory down to a group; None if it is not below."""
    names, above = group.strip("/").split("/"), mount_root.strip("/").split("/")
    if above == [""]:
        above = []
    if names == [""]:
        names = []
    below = names[len(above) :]
    # A group outside this process's cgroup namespace has a path that begins with "/..".
    return below if names[: len(above)] == above and ".." not in below else None


def _quota_v2(directory: str) -> Iterator[int]:
    for line in _lines(os.path.join(directory, "cpu.max")):
        yield from _processors(*line.partition(" ")[::2])


def _quota_v1(directory: str) -> Iterator[int]:
    quota = _lines(os.path.join(directory, "cpu.cfs_quota_us"))
    period = _lines(os.path.join(directory, "cpu.cfs_period_us"))
    if quota and period:
        yield from _processors(quota[0], period[0])


def _processors(quota: str, period: str) -> Iterator[int]:
    time, every = positive(quota), positive(period)
    if time is not None and every is not None:
        yield -(-time // every)


def _unescape(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _lines(path: str) -> list[str]:
    # Names of groups and mount points are bytes, in no certain encoding.
    with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()
    return []
