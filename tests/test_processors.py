"""How many processors this process may use."""

import os
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from rs_tensor_encoder.util import system
from rs_tensor_encoder.util.cpu_quota import cpu_quotas
from rs_tensor_encoder.util.system import processors

# Before any test pretends otherwise.
AVAILABLE = processors()

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


@pytest.fixture(autouse=True)
def _affinity(monkeypatch):
    """Sixteen processors, and no Slurm."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


@pytest.fixture
def tree(tmp_path):
    """Write files of a made-up system; return its root."""

    def write(files):
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content + "\n", encoding="utf-8")
        return str(tmp_path)

    return write


def system_v2(group, quotas, mount=V2):
    files = {
        "proc/self/cgroup": f"0::{group}",
        "proc/self/mountinfo": f"1 0 8:1 / / rw - ext4 x rw\n{mount}",
    }
    return files | {f"sys/fs/cgroup/{path}cpu.max": text for path, text in quotas.items()}


def system_v1(group, quotas, controllers="cpu,cpuacct", mount=V1):
    files = {
        "proc/self/cgroup": f"5:memory:/elsewhere\n4:{controllers}:{group}\n0::/",
        "proc/self/mountinfo": f"{mount}\n33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup m memory",
    }
    for path, (quota, period) in quotas.items():
        directory = f"sys/fs/cgroup/cpu,cpuacct/{path}"
        files[f"{directory}cpu.cfs_quota_us"] = quota
        files[f"{directory}cpu.cfs_period_us"] = period
    return files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("400000 100000", 4),
        ("150000 100000", 2),  # rounded up
        ("300001 100000", 4),
        ("1000 100000", 1),  # at least one
        ("50000 10000", 5),
        ("max 100000", 16),
        ("6400000 100000", 16),  # more than the affinity allows
        # What no kernel writes sets no limit.
        ("", 16),
        ("400000", 16),
        ("0 100000", 16),
        ("400000 0", 16),
        ("-1 100000", 16),
        ("4e5 100000", 16),
        ("9" * 5000 + " 100000", 16),
    ],
)
def test_a_quota_of_version_2(tree, text, expected):
    assert processors(tree(system_v2("/job", {"job/": text}))) == expected


@pytest.mark.parametrize("limited", ["", "a/", "a/b/", "a/b/c/"])
def test_a_quota_anywhere_on_the_path_holds(tree, limited):
    quotas = dict.fromkeys(["", "a/", "a/b/", "a/b/c/"], "max 100000")
    # Of a group that is not this process's.
    others = {"a/x/": "100000 100000", "a/b/c/d/": "100000 100000"}
    root = tree(system_v2("/a/b/c", quotas | others | {limited: "300000 100000"}))
    assert processors(root) == 3


def test_the_smallest_quota_on_the_path_decides(tree):
    root = tree(system_v2("/a/b", {"a/": "200000 100000", "a/b/": "700000 100000"}))
    assert sorted(cpu_quotas(root)) == [2, 7]
    assert processors(root) == 2


@pytest.mark.parametrize(
    ("group", "mount_root", "expected"),
    [
        ("/docker/abc", "/docker/abc", [1]),  # a container without a cgroup namespace
        ("/docker/abc/job", "/docker/abc", [1, 2]),
        ("/docker/abcd", "/docker/abc", []),  # its name only begins like it
        ("/", "/docker/abc", []),
        ("/", "/", [1]),  # with one
        ("/../job", "/", []),  # outside of it
        ("/../job", "/..", [1, 2]),
        ("/a b/job", r"/a\040b", [1, 2]),
    ],
)
def test_a_part_of_the_hierarchy_is_mounted(tree, group, mount_root, expected):
    quotas = {"": "100000 100000", "job/": "200000 100000", "abcd/": "300000 100000"}
    root = tree(system_v2(group, quotas, V2.replace(" / ", f" {mount_root} ")))
    # Where a path that leaves the mount would lead.
    tree({"sys/fs/job/cpu.max": "100000 100000"})
    assert list(cpu_quotas(root)) == expected


def test_names_with_spaces_and_colons(tree):
    mount = V2.replace("/sys/fs/cgroup", r"/sys/fs/cgroup/my\040mount")
    root = tree(system_v2("/a b:c", {"my mount/a b:c/": "300000 100000"}, mount))
    assert processors(root) == 3


def test_names_in_no_encoding(tree, tmp_path):
    root = tree(system_v2("/", {"": "300000 100000"}))
    for name in ("cgroup", "mountinfo"):
        path = tmp_path / "proc/self" / name
        path.write_bytes(b"7:\xff:/\xfe\n9 9 9:9 / /\xff rw - ext4 \xff rw\n" + path.read_bytes())
    assert processors(root) == 3


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        ("400000", "100000", 4),
        ("250000", "100000", 3),
        ("-1", "100000", 16),
        ("400000", "", 16),
        ("", "100000", 16),
    ],
)
@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpu", "cpuacct,cpu"])
def test_a_quota_of_version_1(tree, quota, period, expected, controllers):
    files = system_v1("/job", {"": ("-1", "100000"), "job/": (quota, period)}, controllers)
    assert processors(tree(files)) == expected


def test_only_the_hierarchy_with_the_cpu_controller_counts(tree):
    root = tree(system_v1("/job", {"job/": ("400000", "100000")}, "cpuacct"))
    assert processors(root) == 16
    # Its mount has the controller's name as one of the options, not as a part of one.
    mount = V1.replace("rw,cpu,cpuacct", "rw,cpuset,cpuacct")
    root = tree(system_v1("/job", {}, mount=mount))
    assert processors(root) == 16


def test_versions_side_by_side(tree):
    files = system_v1("/job", {"job/": ("400000", "100000")})
    files["proc/self/mountinfo"] += "\n" + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    assert processors(tree(files)) == 4
    # The group in version 2 is another one: the root.
    assert processors(tree({"sys/fs/cgroup/unified/cpu.max": "300000 100000"})) == 3


@pytest.mark.parametrize("missing", ["proc/self/cgroup", "proc/self/mountinfo", "sys"])
@pytest.mark.parametrize("unreadable", [False, True])
def test_missing_files_set_no_limit(tree, tmp_path, missing, unreadable):
    files = system_v2("/job", {"job/": "400000 100000"})
    files = {path: text for path, text in files.items() if not path.startswith(missing)}
    if unreadable:
        # A directory fails to be read for root, too.
        (tmp_path / (missing if missing != "sys" else "sys/fs/cgroup/job/cpu.max")).mkdir(
            parents=True
        )
    assert processors(tree(files)) == 16


def test_no_part_of_a_version_1_quota_is_enough(tree):
    files = system_v1("/job", {"job/": ("400000", "100000")})
    for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"):
        root = tree(files)
        os.remove(f"{root}/sys/fs/cgroup/cpu,cpuacct/job/{name}")
        assert processors(root) == 16


@pytest.mark.parametrize(
    "line", ["", "0:", "nonsense", "1 2 3 - cgroup2 x rw", "1 2 3 / / - cgroup2", " - cgroup2 x rw"]
)
def test_lines_of_no_known_format_are_passed_over(tree, line):
    files = system_v2("/job", {"job/": "400000 100000"})
    for name in ("proc/self/cgroup", "proc/self/mountinfo"):
        files[name] = f"{line}\n{files[name]}"
    assert processors(tree(files)) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("64", 16),
        ("0", 16),
        ("-2", 16),
        ("", 16),
        ("4(x2)", 16),
        ("\u0664", 16),
        ("9" * 5000, 16),
    ],
)
def test_slurm(tree, monkeypatch, text, expected):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert processors(tree({})) == expected


def test_the_smallest_limit_decides(tree, monkeypatch):
    root = tree(system_v2("/job", {"job/": "400000 100000"}))
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert processors(root) == 4
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert processors(root) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 9}, raising=False)
    assert processors(root) == 2


@pytest.mark.parametrize(("count", "expected"), [(10, 10), (None, 1)])
def test_a_system_without_affinity(tree, monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(system.os, "cpu_count", lambda: count)
    assert processors(tree({})) == expected


def cpu_hierarchy(version):
    """Find where a hierarchy with quotas is mounted; skip where none is."""
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8") as mountinfo:
        for line in mountinfo:
            fields = line.split()
            kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
            if version == 2 and kind == "cgroup2":
                return fields[4]
            if version == 1 and kind == "cgroup" and "cpu" in options:
                return fields[4]
    return pytest.skip(f"no cgroup v{version} hierarchy with CPU quotas is mounted")


def write(path, text):
    # Without O_CREAT: a setting that does not exist is not to be had.
    with open(path, "r+", encoding="ascii") as file:
        file.write(text)


@contextmanager
def real_group(version):
    """Make a group with a quota of half a processor; skip where that is not possible."""
    mount = cpu_hierarchy(version)
    group = os.path.join(mount, f"rs-tensor-test-{uuid.uuid4().hex}")
    settings = {"cpu.max": "50000 100000"}
    if version == 1:
        settings = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    with ExitStack() as undo:
        try:
            if version == 2:
                control = f"{mount}/cgroup.subtree_control"
                if "cpu" not in Path(control).read_text(encoding="ascii").split():
                    write(control, "+cpu")
                    undo.callback(write, control, "-cpu")
            os.mkdir(group)
            undo.callback(os.rmdir, group)
            for name, text in settings.items():
                write(f"{group}/{name}", text)
        except OSError as error:
            pytest.skip(f"no group with a CPU quota can be made: {error}")
        yield group


@pytest.mark.skipif(AVAILABLE < 2, reason="only one processor: a quota would not be seen")
@pytest.mark.parametrize("version", [1, 2])
def test_a_real_quota(version):
    code = (
        "import sys; open(sys.argv[1] + '/cgroup.procs', 'w').write('0')\n"
        "from rs_tensor_encoder.util.system import processors; print(processors())"
    )
    with real_group(version) as group:
        found = subprocess.run(
            [sys.executable, "-c", code, group], capture_output=True, text=True, check=True
        )
    assert found.stdout == "1\n"
