"""Encoding from a slow file system: how the rate grows with the number of workers.

    python benchmarks/slow.py --milliseconds 10

Each open takes so much longer (a library of our own is preloaded, slow.c). The ideal is that all
workers wait at the same time and nothing else takes any time: workers / (opens of a patch x time).
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

from datasets import make

HERE = Path(__file__).parent


def main():
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--milliseconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 128, 256])
    parser.add_argument("--seconds", type=float, default=6.0, help="of an ideal run")
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
        print("| workers | patches | ideal, patches/s | measured | of the ideal |")
        print("|--:|--:|--:|--:|--:|")
        for workers in [*options.workers, None]:
            # Two files a patch, and their directory.
            ideal = (workers or 64) / (3 * options.milliseconds / 1000)
            count = int(ideal * options.seconds)
            dataset = make(scratch, "bigearthnet-s1", count)
            env = os.environ | {
                "LD_PRELOAD": library,
                "SLOW_UNDER": dataset.root,
                "SLOW_MICROSECONDS": str(int(1000 * options.milliseconds)),
            }
            rates = []
            for _ in range(options.runs):
                target = os.path.join(output, "database")
                shutil.rmtree(target, ignore_errors=True)
                words = [sys.executable, str(HERE / "ours.py"), dataset.root, dataset.name, target]
                words += [str(workers)] if workers else []
                done = subprocess.run(words, check=True, capture_output=True, text=True, env=env)
                said = json.loads(done.stdout)
                rates.append(count / (said["seconds"] - said["plan"]))
            rate = statistics.median(rates)
            name = workers or "default"
            print(f"| {name} | {count:,} | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.2f} |")
            shutil.rmtree(dataset.root)


if __name__ == "__main__":
    main()
