"""Encoding from a slow file system: how the rate grows with the number of workers.

    python benchmarks/slow.py --milliseconds 10

Each open takes so much longer (a library of our own is preloaded, slow.c). The ideal is that all
workers wait at the same time and nothing else takes any time: workers / (opens of a patch x time).
Then one patch takes far longer than the others: how much longer does all of it take?
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from datasets import have_memory, make

HERE = Path(__file__).parent

# Workers that form by themselves, at most.
MOST = 64


def encode(dataset, target, library, workers=None, **slow):
    """Seconds of an encoding, without the search; ``slow`` is what the library is told."""
    shutil.rmtree(target, ignore_errors=True)
    have_memory(os.path.dirname(target), 2 * dataset.bytes())
    words = [sys.executable, str(HERE / "ours.py"), dataset.root, dataset.name, target]
    words += [str(workers)] if workers else []
    env = os.environ | {"LD_PRELOAD": library} | {key: str(value) for key, value in slow.items()}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=env)
    said = json.loads(done.stdout)
    return said["seconds"] - said["plan"]


def prepare(options, scratch, workers):
    """A dataset, the patches per second that would be ideal, and what the library is told."""
    # Two files a patch, and their directory.
    ideal = workers / (3 * options.milliseconds / 1000)
    dataset = make(scratch, "bigearthnet-s1", int(ideal * options.seconds))
    slow = {
        "SLOW_UNDER": dataset.root,
        "SLOW_MICROSECONDS": int(1000 * options.milliseconds),
    }
    return dataset, ideal, slow


def grow(options, scratch, target, library):
    """How the rate grows with the workers."""
    print("| workers | patches | ideal, patches/s | measured | of the ideal |")
    print("|--:|--:|--:|--:|--:|")
    for workers in [*options.workers, None]:
        dataset, ideal, slow = prepare(options, scratch, workers or MOST)
        seconds = [encode(dataset, target, library, workers, **slow) for _ in range(options.runs)]
        rate = dataset.patches / statistics.median(seconds)
        name = workers or "default"
        print(f"| {name} | {dataset.patches:,} | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.2f} |")
        shutil.rmtree(dataset.root)


def straggle(options, scratch, target, library):
    """What one patch costs that takes far longer than the others, with the default of workers."""
    dataset, _, slow = prepare(options, scratch, MOST)
    key = dataset.plan().patches[dataset.patches // 2].key.decode()
    one = {"SLOW_NAME": "/" + key, "SLOW_NAME_MICROSECONDS": int(1e6 * options.straggler)}
    found = {"without": [], "with": []}
    for _ in range(options.runs):
        found["without"].append(encode(dataset, target, library, **slow))
        found["with"].append(encode(dataset, target, library, **slow | one))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(
        f"\n{dataset.patches:,} patches: {medians['without']:.2f} s; with one among them that "
        f"takes {options.straggler:g} s: {medians['with']:.2f} s"
    )


def main():
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--milliseconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 128, 256])
    parser.add_argument("--seconds", type=float, default=6.0, help="of an ideal run")
    parser.add_argument("--straggler", type=float, default=0.5, help="seconds of the slow patch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", help="directory for the databases")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory(dir=options.output) as output,
    ):
        library = os.path.join(scratch, "slow.so")
        words = ["cc", "-O2", "-shared", "-fPIC", str(HERE / "slow.c"), "-o", library, "-ldl"]
        subprocess.run(words, check=True)
        target = os.path.join(output, "database")
        grow(options, scratch, target, library)
        straggle(options, scratch, target, library)


if __name__ == "__main__":
    main()
