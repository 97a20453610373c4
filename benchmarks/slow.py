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


def grow(options, scratch, target, library):
    """How the rate grows with the workers."""
    print("| workers | patches | ideal, patches/s | measured | of the ideal |")
    print("|--:|--:|--:|--:|--:|")
    for workers in [*options.workers, None]:
        # Two files a patch, and their directory.
        ideal = (workers or 64) / (3 * options.milliseconds / 1000)
        count = int(ideal * options.seconds)
        dataset = make(scratch, "bigearthnet-s1", count)
        seconds = [
            encode(
                dataset, target, library, workers,
                SLOW_UNDER=dataset.root, SLOW_MICROSECONDS=int(1000 * options.milliseconds),
            )
            for _ in range(options.runs)
        ]  # fmt: skip
        rate = count / statistics.median(seconds)
        name = workers or "default"
        print(f"| {name} | {count:,} | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.2f} |")
        shutil.rmtree(dataset.root)


def straggle(options, scratch, target, library):
    """What one patch costs that takes far longer than the others, with the default of workers."""
    milliseconds = options.milliseconds
    count = int(64 / (3 * milliseconds / 1000) * options.seconds)
    dataset = make(scratch, "bigearthnet-s1", count)
    key = dataset.plan().patches[count // 2].key.decode()
    slow = {"SLOW_UNDER": dataset.root, "SLOW_MICROSECONDS": int(1000 * milliseconds)}
    one = {"SLOW_NAME": "/" + key, "SLOW_NAME_MICROSECONDS": int(1e6 * options.straggler)}
    found = {"without": [], "with": []}
    for _ in range(options.runs):
        found["without"].append(encode(dataset, target, library, **slow))
        found["with"].append(encode(dataset, target, library, **slow | one))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(
        f"\n{count:,} patches: {medians['without']:.2f} s; with one among them that takes "
        f"{options.straggler:g} s: {medians['with']:.2f} s"
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
