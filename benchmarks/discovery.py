"""Searching for patches: against `find`, the memory of a plan, and the start of the command.

python benchmarks/discovery.py --patches 500000 --directory /dev/shm
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from datasets import layout_of
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source


def make(root, patches):
    """Make empty directories with the names of Sentinel-1 patches, 5,000 in a tile's."""
    for index in range(patches):
        tile, within = divmod(index, 5000)
        day, second = divmod(tile, 86400)
        scene = f"S1A_IW_GRDH_1SDV_201706{day + 1:02d}T{second:06d}"
        os.makedirs(os.path.join(root, scene, f"{scene}_33UUP_{within // 100}_{within % 100}"))


def alternate(root, runs):
    """Seconds of `find` and of our search, medians of alternating runs, and the plan."""
    seconds = {"find": [], "ours": []}
    source = Source(layout_of("bigearthnet-s1"), root)
    plan = None
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(["find", root, "-type", "d"], check=True, stdout=subprocess.DEVNULL)
        seconds["find"].append(time.perf_counter() - begun)
        del plan
        begun = time.perf_counter()
        plan = discover([source])
        seconds["ours"].append(time.perf_counter() - begun)
    # The first run of each has warmed the directories.
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}, plan


def memory_of(plan, patches):
    """Bytes per patch of a plan of so many patches, by what the process grows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(plan.patches)
    times = patches // len(found)
    # Each patch with a key of its own, as a search makes them.
    many = [
        type(patch)(bytes(bytearray(patch.key)), *patch[1:])
        for _ in range(times)
        for patch in found
    ]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    del many
    return 1024 * grown / (times * len(found))


def start_up(runs):
    """Milliseconds of `--version` and `--help`, medians."""
    found = {}
    for option in ("--version", "--help"):
        taken = []
        for _ in range(runs):
            begun = time.perf_counter()
            words = [sys.executable, "-m", "rs_tensor_encoder", option]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            taken.append(time.perf_counter() - begun)
        found[option] = 1000 * statistics.median(taken)
    return found


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=500_000)
    parser.add_argument("--planned", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", help="where to make the tree")
    options = parser.parse_args()
    for option, taken in start_up(9).items():
        print(f"{option}: {taken:.0f} ms")
    with tempfile.TemporaryDirectory(dir=options.directory) as root:
        make(root, options.patches)
        seconds, plan = alternate(root, options.runs)
        ratio = seconds["ours"] / seconds["find"]
        print(
            f"{options.patches:,} patches: find {seconds['find']:.2f} s, "
            f"ours {seconds['ours']:.2f} s, {ratio:.2f}x"
        )
        print(f"{memory_of(plan, options.planned):.0f} bytes per patch of {options.planned:,}")


if __name__ == "__main__":
    main()
