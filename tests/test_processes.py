"""Verbs, signals, and to whom they are sent: all processes end together, and leave nothing."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harm import size_of
from oracles import records

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="without /proc, processes cannot be watched"
)

#: Seconds after which something that should have happened counts as not happening.
PATIENCE = 60

COMMAND = [sys.executable, "-m", "rs_tensor_encoder"]


def wait_for(what):
    """Wait until a call returns something true; return that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("it has not come about")


def children(number):
    """The processes that a process has started, and those that these have started."""
    found = []
    try:
        tasks = list(Path(f"/proc/{number}/task").iterdir())
        started = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []
    for child in started:
        found += [child, *children(child)]
    return found


def lives(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def namespaces():
    """Whether mount namespaces can be made here."""
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"]  # noqa: S108
    return bool(
        shutil.which("unshare")
        and subprocess.run(words, capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def shared_memory(tmp_path, namespaces):
    """Start of a command that has an empty /dev/shm of its own, and the directory that it is."""
    place = tmp_path / "shm"
    place.mkdir()
    if not namespaces:
        return [], place
    script = 'mount --bind "$0" /dev/shm && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(place)], place


@pytest.fixture(scope="module")
def source(many_patches):
    return ["--bigearthnet-s1-root", str(many_patches)]


@pytest.fixture(scope="module")
def target(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("processes") / "out"
    subprocess.run([*COMMAND, *source, str(place), "-q"], check=True, capture_output=True)
    return str(place)


def start(*words, before=(), **options):
    """Start a command in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [*before, *COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def end(process):
    """Wait for a process; say how it ended, what it said, and that it said it like a tool."""
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode, out, err


ASKING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
KILLING = [signal.SIGKILL, signal.SIGUSR1]


@pytest.mark.parametrize("whom", ["parent", "group"])
@pytest.mark.parametrize("number", [*ASKING, *KILLING])
def test_a_check_ends_with_its_workers(source, target, shared_memory, number, whom):
    before, place = shared_memory
    process = start("check", *source, target, "--workers", 2, "--json", before=before)
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    (os.kill if whom == "parent" else os.killpg)(process.pid, number)
    code, out, err = end(process)
    if number in ASKING:
        assert (code, err) == (130, "")
        report = json.loads(out)
        assert report["interrupted"]
        assert report["exit_code"] == 130
        assert report["differences"] == []
        assert report["checked"] < 2000
    else:
        assert (code, out) == (-number, "")
    wait_for(lambda: not any(map(lives, workers)))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", KILLING)
def test_a_worker_that_is_killed_ends_the_check(source, target, shared_memory, number):
    before, place = shared_memory
    process = start("check", *source, target, "--workers", 2, before=before)
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    os.kill(workers[0], number)
    code, out, err = end(process)
    assert (code, out) == (3, "")
    assert err.startswith(f"Error: {target}: ")
    assert f"a worker process was killed by {number.name}, perhaps for want of memory" in err
    assert len(err.splitlines()) == 1
    wait_for(lambda: not any(map(lives, workers)))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", ASKING)
def test_a_worker_leaves_it_to_its_parent_what_is_asked_for(source, target, number):
    process = start("check", *source, target, "--workers", 2, "--json")
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    os.kill(workers[0], number)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{workers[0]}/status").read_text().splitlines()
    )
    # It waits, for ever, and is not only about to arrive.
    assert int(status["ShdPnd"], 16) == 1 << (number - 1)
    assert int(status["SigBlk"], 16) & 1 << (number - 1)
    assert lives(workers[0])
    process.terminate()
    code, out, _ = end(process)
    assert code == 130
    assert json.loads(out)["interrupted"]
    wait_for(lambda: not any(map(lives, workers)))


def test_a_second_request_interrupts_at_once(source, target):
    # The first is heard, but nobody ever acts on it: only the second can end this.
    code = f"""
import sys, threading
from rs_tensor_encoder.cli import main, signals
class Unheard(threading.Event):
    def is_set(self):
        return False
signals.threading.Event = Unheard
sys.exit(main({["check", *source, target, "--workers", "2", "--json"]!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    process.send_signal(signal.SIGINT)
    handled = Path(f"/proc/{process.pid}/status")
    wait_for(lambda: "ShdPnd:\t0000000000000000" in handled.read_text())
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    report = json.loads(out)
    assert report["interrupted"]
    assert report["checked"] == 0
    wait_for(lambda: not any(map(lives, workers)))


def test_a_hangup_that_is_ignored_stays_ignored(source, target):
    process = start("check", *source, target, "--workers", 2, "--sample", 300, before=["nohup"])
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    os.killpg(process.pid, signal.SIGHUP)
    code, out, _ = end(process)
    assert code == 0
    assert "no differences; 300 of 2,000 patches" in out
    wait_for(lambda: not any(map(lives, workers)))


SLOW = """
import os, signal, sys, time
from rs_tensor_encoder.{package} import {module}
from rs_tensor_encoder.cli import main
function = {module}.{name}
def asked(*words, **options):
    os.kill(os.getpid(), {number})
    # Long enough that what goes on afterwards is seen, not that it is waited for.
    time.sleep(0.2)
    return function(*words, **options)
{module}.{name} = asked
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        pytest.param("sources", "discover", "_check_keys", id="search"),
        pytest.param("storage", "environment", "_check_structure", id="structure"),
        pytest.param("checking", "against_sources", "_check_keys", id="keys"),
    ],
)
@pytest.mark.parametrize("number", ASKING)
def test_a_check_can_be_interrupted_in_every_part(source, target, package, module, name, number):
    code = SLOW.format(package=package, module=module, name=name, number=int(number))
    words = [sys.executable, "-c", code, "check", *source, target]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    report = json.loads(done.stdout)
    assert report["interrupted"]
    assert report["exit_code"] == 130
    assert (report["checked"], report["differences"]) == (0, [])
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "interrupted" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [*ASKING, *KILLING])
def test_an_encoder_starts_no_processes_and_can_go_on(source, tmp_path, shared_memory, number):
    before, place = shared_memory
    words = [*source, tmp_path / "out", "--workers", 1, "--json"]
    process = start(*words, before=before)
    data = tmp_path / "out.partial" / "data.mdb"
    wait_for(lambda: process.poll() is not None or size_of(data) > 8e6)
    assert children(process.pid) == []
    os.killpg(process.pid, number)
    code, out, err = end(process)
    if number in ASKING:
        assert code == 130, err
        report = json.loads(out)
        assert report["interrupted"]
        assert 0 < report["encoded"] < 2000
    else:
        assert (code, out) == (-number, "")
    code, out, err = end(start(*words))
    assert code == 0, err
    assert json.loads(out)["kept"] > 0
    assert len(records(tmp_path / "out")) == 2000
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [*ASKING, *KILLING])
@pytest.mark.parametrize("verb", ["info", "layouts", "digests", "demo"])
def test_other_verbs_leave_nothing(source, target, tmp_path, shared_memory, verb, number):
    before, place = shared_memory
    words = {
        "info": ["info", target],
        "layouts": ["layouts", "--try", "bigearthnet-s1", source[1]],
        "digests": ["check", "--digests", target],
        "demo": ["demo", tmp_path / "demo"],
    }[verb]
    process = start(*words, before=before)
    # At any moment: only what is left behind is asked for, and no traceback. Not so early that
    # it is Python that is interrupted, before it is the command.
    wait_for(
        lambda: (
            process.poll() is not None
            or b"_tiff" in Path(f"/proc/{process.pid}/maps").read_bytes()
            or b"numpy" in Path(f"/proc/{process.pid}/maps").read_bytes()
        )
    )
    started = children(process.pid)
    if process.poll() is None:
        os.killpg(process.pid, number)
    code, _, _ = end(process)
    assert code in (0, 130, -number)
    wait_for(lambda: not any(map(lives, started)))
    assert list(place.iterdir()) == []


# ---- a terminal that is closed -----------------------------------------------

ON_A_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.executable, sys.argv[1:])"


def on_a_terminal(*words):
    """Start a command on a terminal of its own; the process, and what closes the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *COMMAND, *map(str, words)], stdin=theirs
    )
    os.close(theirs)
    return process, ours


def test_a_check_whose_terminal_is_closed(source, target):
    process, terminal = on_a_terminal("check", *source, target, "--workers", 2)
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    os.close(terminal)
    assert process.wait(PATIENCE) > 0
    wait_for(lambda: not any(map(lives, workers)))


def test_an_encoder_whose_terminal_is_closed(source, tmp_path):
    words = [*source, tmp_path / "out", "--workers", 1]
    process, terminal = on_a_terminal(*words)
    data = tmp_path / "out.partial" / "data.mdb"
    wait_for(lambda: process.poll() is not None or size_of(data) > 8e6)
    os.close(terminal)
    assert process.wait(PATIENCE) > 0
    assert not (tmp_path / "out").exists()
    manifest = json.loads((tmp_path / "out.partial" / "rs-tensor-encoder.json").read_text())
    # A clean end: all that is committed is on the disk.
    assert manifest["boot"] is None
    code, out, err = end(start(*words, "--json"))
    assert code == 0, err
    assert json.loads(out)["kept"] > 0


def test_an_encoder_goes_on_where_only_the_terminal_is_gone(source, tmp_path):
    # Without a signal, as a process that has been disowned: the bar cannot be shown any more.
    code = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code + ON_A_TERMINAL, *COMMAND, *source, str(tmp_path / "out")],
        stdin=theirs,
    )
    os.close(theirs)
    data = tmp_path / "out.partial" / "data.mdb"
    wait_for(lambda: process.poll() is not None or size_of(data) > 1e6)
    os.close(ours)
    process.wait(PATIENCE)
    assert len(records(tmp_path / "out")) == 2000


# ---- where the system lacks something ----------------------------------------

LACKING = {
    "read-only": "mount -t tmpfs -o ro none /dev/shm",
    "missing": "mount -t tmpfs none /dev",
    "full": "mount -t tmpfs -o nr_inodes=1 none /dev/shm",
}


@pytest.mark.parametrize("lack", LACKING)
def test_a_check_needs_no_shared_memory(roots, run, tmp_path, namespaces, lack):
    if not namespaces:
        pytest.skip("making mount namespaces needs root")
    run(*roots, tmp_path / "out", "-q")
    script = f'{LACKING[lack]} && exec "$0" "$@"'
    process = start("check", *roots, tmp_path / "out", "--workers", 2,
                    before=["unshare", "-m", "sh", "-c", script])  # fmt: skip
    code, out, err = end(process)
    assert (code, err) == (0, "")
    assert "no differences; 12 of 12 patches" in out


def test_a_check_needs_no_working_directory(roots, run, tmp_path):
    run(*roots, tmp_path / "out", "-q")
    (tmp_path / "gone").mkdir()
    script = 'rmdir ../gone && exec "$0" "$@"'
    # Not by -m, which has Python look into the working directory itself.
    words = [sys.executable, "-c", "from rs_tensor_encoder.cli import run; run()", "check"]
    done = subprocess.run(
        ["sh", "-c", script, *words, *roots, str(tmp_path / "out"), "--workers", "2"],
        cwd=tmp_path / "gone", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "no differences; 12 of 12 patches" in done.stdout


def test_a_bar_takes_no_semaphore():
    code = """
import sys
sys.stderr.isatty = lambda: True
from rs_tensor_encoder.cli.progress import Progress
with Progress("check", 10) as progress:
    progress.update(1, 1)
assert progress._bar is not None
assert "multiprocessing.synchronize" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
