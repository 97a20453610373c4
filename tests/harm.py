"""A harness that disturbs an encoder and proves what is left.

Every trial starts real processes on a source of its own kind, harms one, and
ends in `Range.prove`: the target is absent or complete, what is left is right,
and the same command without the harm ends with exactly the records of a run
that nobody disturbed, doing nothing twice.
"""

import itertools
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from oracles import problems, records
from rs_tensor_encoder.storage import journal, manifest
from tiff_factory import strips

#: Trials of each kind; those of a kind may be a part of it.
TRIALS = int(os.environ.get("RS_TENSOR_FAULTS", "6"))
SEED = int(os.environ.get("RS_TENSOR_SEED", random.randrange(10**6)))

#: What happened, by its name: shown at the end of the tests.
TALLY = Counter()

PATCHES = 160

#: Seconds after which a process counts as one that hangs: the machine may have slept.
PATIENCE = 600
SHIM = Path(__file__).parent / "shim.c"


class Ended(NamedTuple):
    """What a process said: exit code, its JSON object or None, and stderr."""

    code: int
    report: dict | None
    err: str


def trials(kind, part=1, *, harm=()):
    """So many numbers and sources of chance; the seed is shown where a test fails.

    Parameters
    ----------
    kind : str
        Of the harm; also its name in the tally.
    part : int
        Only the ``part``-th part of the usual number of trials is made.
    harm : sequence of str
        Names in the tally of what the harm must lead to. While one of them has not been counted
        during these trials, more follow, up to 40 or four times the usual number: a campaign that
        did no harm proves nothing, and fails.
    """
    number = max(2, TRIALS // part)
    before = TALLY.copy()
    for index in itertools.count():
        missing = [name for name in harm if TALLY[name] <= before[name]]
        if index >= number and not missing:
            return
        if index >= max(40, 4 * number):
            pytest.fail(f"{kind}: {index} trials, and not once: {', '.join(missing)}")
        print(f"RS_TENSOR_SEED={SEED}, {kind}, trial {index}")
        yield index, random.Random(f"{SEED}/{kind}/{index}")
        TALLY[kind] += 1


def spread(kind, first, rest):
    """Points for a campaign, in an order of chance: one of ``first``, one of ``rest``, in turn.

    A short campaign holds some of either sort, one with as many trials as there are points holds
    every one; the tally says how many there are.
    """
    chance = random.Random(f"{SEED}/{kind}")
    first, rest = (chance.sample(points, len(points)) for points in (first, rest))
    pairs = itertools.zip_longest(first, rest)
    points = [point for pair in pairs for point in pair if point is not None]
    TALLY[f"{kind}: points that there are"] = len(points)
    return points


def write_source(root, patches=PATCHES):
    """Sentinel-1 patches of the real size, each with pixels of its own; every other deflated."""
    for index in range(patches):
        tile = f"S1A_IW_GRDH_1SDV_20170613T{index // 50:06d}"
        name = f"{tile}_33UUP_{index % 50}_1"
        (root / tile / name).mkdir(parents=True)
        for band in ("VV", "VH"):
            chance = np.random.default_rng([index, band == "VV"])
            pixels = np.tile(chance.standard_normal((120, 15), "f4"), 8)
            tiff = strips(pixels, 17, compress=index % 2 == 1)
            tiff.write(root / tile / name / f"{name}_{band}.tif")
    return root


def without_privileges():
    """Start of a command that even root's processes cannot read everything in."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and there is no setpriv to change that")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def size_of(path):
    """Bytes of a file that others may rename meanwhile; -1 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def compiled(directory):
    """The shim that puts faults into system calls; None where it cannot be compiled."""
    library = directory / "shim.so"
    words = [os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", SHIM, "-o", library, "-ldl"]
    if sys.platform != "linux" or shutil.which(words[0]) is None:
        return None
    subprocess.run(words, check=True)
    return library


class Range:
    """Where trials take place.

    Parameters
    ----------
    root : Path
        The source.
    place : Path
        An empty directory that the target goes to.
    expected : dict
        The records of an undisturbed run.
    shim : Path
        The library that puts faults into system calls.
    """

    def __init__(self, root, place, expected, shim):
        self.root = root
        self.place = place
        self.expected = expected
        self.shim = shim
        self.target = place / "out"
        self.partial = place / "out.partial"
        self.data = self.partial / "data.mdb"
        self.log = place.parent / "log"

    def words(self, *options):
        command = [sys.executable, "-m", "rs_tensor_encoder", "--bigearthnet-s1-root"]
        return [*command, str(self.root), str(self.target), "-q", "--json", *options]

    def faults(self, **settings):
        """An environment in which the shim works: faults(calls="write", at=3, how=errno.EIO)."""
        self.log.unlink(missing_ok=True)
        chosen = {"UNDER": self.place, "LOG": self.log} | {
            name.upper(): value for name, value in settings.items()
        }
        named = {f"FAULT_{name}": str(value) for name, value in chosen.items()}
        return os.environ | named | {"LD_PRELOAD": str(self.shim)}

    def calls(self):
        """What the shim has seen: lists of kind, "1" for a call that was hit, and names."""
        if not self.log.exists():
            return []
        return [line.split("\t") for line in self.log.read_text().splitlines()]

    def start(self, *options, before=(), **how):
        return subprocess.Popen(
            [*before, *self.words(*options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
        )  # fmt: skip

    def end(self, process, *, nothing=()):
        """Wait for a process; whatever became of it, it must have said so like a tool."""
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        code = process.returncode
        assert code in {0, 1, 3, 4, 5, 130, *nothing}, (code, err)
        report = json.loads(out) if out else None
        if code in {3, 4, 5}:
            line = err.splitlines()[-1]
            # Where the interpreter itself ran out of memory, nothing may have been printed.
            assert report is None or report["exit_code"] == code
            assert line.startswith("Error: "), err
            assert report is None or line == f"Error: {report['error']}"
        elif code >= 0 and (code != 130 or "error" not in report):
            assert report["complete"] == (code == 0)
            assert report["exit_code"] == code
        return Ended(code, report, err)

    def run(self, *options, **how):
        return self.end(self.start(*options, **how))

    def wait_until(self, process, moment, *, size):
        """Wait until the database has reached a part of its final size, or the process ended."""
        while process.poll() is None and size_of(self.data) < moment * size:
            time.sleep(0.0002)

    def stop(self, process):
        """Have a process stand still, and wait until it does or has ended."""
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def rest(self, seconds=3600):
        """Let it seem that so much time has passed since the last run."""
        path = self.partial / manifest.NAME
        if path.exists():
            then = path.stat().st_mtime - seconds
            os.utime(path, (then, then))

    def left(self):
        """Records that the disturbed run has left in its partial target."""
        if not self.data.exists() or self.data.stat().st_size < 2 * mmap.PAGESIZE:
            # Not even the first pages were written.
            return {}
        assert not problems(self.data)
        return records(self.partial)

    def check_target(self):
        """Check that the target has the records of an undisturbed run."""
        assert not problems(self.target / self.data.name)
        assert records(self.target) == self.expected

    def prove(self, *, sound=True, anew=False, changed=(), env=None):
        """Prove what is left, and what the same command makes of it without the harm.

        Returns the number of records that were left and not done again; all where the target was
        there already.

        ``sound`` is False where what is left may be damaged, as behind a power
        loss; ``anew`` tells that the rerun may begin anew if it says so; ``changed``
        are keys of records that may be of other files, and are made again; ``env``
        is its environment.
        """
        if self.target.exists():
            self.check_target()
            assert not self.partial.exists()
            kept = len(self.expected)
            # Left by a kill in the very last step; nobody asks for it there.
            TALLY["journals left in a target"] += (self.target / journal.NAME).exists()
        else:
            left = self.left() if sound else None
            if sound:
                wrong = {key for key, value in left.items() if value != self.expected[key]}
                assert wrong <= set(changed)
            again = self.run(env=env)
            assert again.code == 0, again
            self.check_target()
            assert not (self.target / journal.NAME).exists()
            kept = again.report["kept"]
            assert kept + again.report["encoded"] == len(self.expected)
            if anew and any("begun anew" in note for note in again.report["notes"]):
                assert kept == 0
                TALLY["reruns that began anew and said so"] += 1
            elif not sound:
                TALLY["records that outlived a power loss and were kept"] += kept
            else:
                assert kept == len(left) - len(wrong)
                TALLY["records that a rerun did not do again"] += len(left)
        TALLY["targets proved complete and right"] += 1
        assert os.listdir(self.place) == ["out"]
        shutil.rmtree(self.target)
        return kept
