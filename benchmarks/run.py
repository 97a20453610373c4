"""Measure encoding: against other ways to do it, and against the floors.

    python benchmarks/run.py --runs 5 --output /dev/shm
    python benchmarks/run.py --runs 5 --datasets bigearthnet-s1 --ways ours write
    python benchmarks/run.py --runs 3 --datasets bigearthnet-s1 --ways ours c-read --cold --scale 3

Everything runs in turn, several times; the tables give medians and, in brackets, the slowest and
the fastest run, in patches per second. Before each run the sources are read into the page cache
(--cold drops it instead), and as much memory is written and freed as the database takes, so that
none of it has to be found by the host of a virtual machine first. The final sync is always
included. Our seconds are those of the encoding, the search for patches and the verification
included, without the start of the interpreter; those of peers and floors are the whole process,
without the preparation of their list of files.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import COUNTS, FEW, have_memory, make

HERE = Path(__file__).parent
CPUS = len(os.sched_getaffinity(0))

#: The ways to measure: name, and what it is.
WAYS = {
    "ours": "rs-tensor-encoder",
    "usual": "the usual way: rasterio in a process pool, a file opened for each band",
    "rasterio-once": "rasterio in a process pool, a file opened once",
    "tifffile": "tifffile in threads",
    "imagecodecs": "imagecodecs in threads",
    "pillow": "Pillow in threads",
    "c-loop": "bare C loop: read, libtiff, LMDB",
    "c-decode": "floor: read and decode through libtiff",
    "c-read": "floor: read",
    "write": "floor: write as many bytes, and sync",
}

# What these peers cannot read: bands interleaved or planar of more than 8 bits.
IMPOSSIBLE = {("pillow", name) for name in ("hyspecnet", "interleaved", "tiled-lzw")}


def build_floor(directory):
    """Compile the C program; None where a compiler or a library is missing."""
    binary = os.path.join(directory, "floor")
    words = [
        "cc",
        "-O3",
        str(HERE / "floor.c"),
        "-o",
        binary,
        "-ltiff",
        "-ldeflate",
        "-llmdb",
        "-lpthread",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        print("no floors: they need liblmdb-dev and libtiff-dev", file=sys.stderr)
        return None
    return binary


class Bench:
    """Runs ways on datasets and keeps their seconds."""

    def __init__(self, options, scratch, output):
        self.options = options
        self.target = os.path.join(output, "database")
        self.scratch = scratch
        self.floor = build_floor(scratch)
        self.size = 0

    def ways(self, dataset):
        """Which ways there are for a dataset."""
        wanted = self.options.ways or list(WAYS)
        return [
            way
            for way in wanted
            if (way, dataset.name) not in IMPOSSIBLE and (self.floor or not way.startswith("c-"))
        ]

    def once(self, way, dataset, patches, bands):
        """Seconds of one run, and what the way says of itself."""
        # Asked before the page cache is dropped: it looks at the directories.
        size = dataset.bytes()
        for path in (self.target, self.target + ".partial"):
            shutil.rmtree(path, ignore_errors=True)
        os.sync()
        if self.options.cold:
            Path("/proc/sys/vm/drop_caches").write_text("3")
        else:
            for _, paths in patches:
                for path in paths:
                    Path(path).read_bytes()
        have_memory(os.path.dirname(self.target), 2 * size)
        if way == "ours":
            words = [sys.executable, str(HERE / "ours.py"), dataset.root, dataset.name, self.target]
            words += [str(self.options.workers)] if self.options.workers else []
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            said = json.loads(done.stdout)
            self.size = os.path.getsize(os.path.join(self.target, "data.mdb"))
            return said["seconds"], said
        if way == "write":
            return self.merely_written(), {}
        stdin = None
        scale = 1.0
        if way.startswith("c-"):
            listing = os.path.join(self.scratch, f"{dataset.name}.list")
            # Cold files are waited for: the more threads, the better.
            threads = 64 if self.options.cold else 2 * CPUS
            words = [self.floor, {"c-loop": "write"}.get(way, way[2:]), str(threads), listing]
            words.append(self.target)
            os.mkdir(self.target)
        else:
            few = patches[: max(1, int(FEW[dataset.name] * self.options.scale))]
            scale = len(patches) / len(few)
            stdin = json.dumps([few, bands])
            words = [sys.executable, str(HERE / "peers.py"), way, str(CPUS), self.target]
        begun = time.perf_counter()
        subprocess.run(words, check=True, input=stdin, text=True)
        return (time.perf_counter() - begun) * scale, {}

    def merely_written(self):
        """Seconds that it takes to write as many bytes as our last database has, and to sync."""
        piece = os.urandom(1 << 20)
        with tempfile.TemporaryFile(dir=os.path.dirname(self.target), buffering=0) as file:
            begun = time.perf_counter()
            for _ in range(self.size >> 20):
                file.write(piece)
            os.fsync(file.fileno())
            return time.perf_counter() - begun

    def calls(self, dataset, patches, bands):
        """System calls per file of an encoding of ours, the start of the interpreter left out."""
        if not shutil.which("strace") or self.options.cold:
            return None
        counts = []
        for plan_only in (True, False):
            shutil.rmtree(self.target, ignore_errors=True)
            log = os.path.join(self.scratch, "strace.log")
            words = ["strace", "-f", "-c", "-S", "calls", "-o", log, sys.executable]
            words += [str(HERE / "ours.py"), dataset.root, dataset.name, self.target]
            words += ["plan"] if plan_only else [str(self.options.workers or 2)]
            subprocess.run(words, check=True, capture_output=True)
            total = Path(log).read_text(encoding="utf-8").splitlines()[-1].split()
            counts.append(int(total[3]))
        return (counts[1] - counts[0]) / (len(patches) * len(bands))

    def measure(self, name):
        """All runs of one dataset: seconds per way, and our last words."""
        count = max(1, int(COUNTS[name] * self.options.scale))
        dataset = make(self.scratch, name, count)
        patches = dataset.files()
        bands = [file.bands for file in dataset.layout.files]
        with open(os.path.join(self.scratch, f"{name}.list"), "w", encoding="utf-8") as file:
            file.writelines("\t".join([key, *paths]) + "\n" for key, paths in patches)
        ways = self.ways(dataset)
        self.once("ours", dataset, patches, bands)  # the page cache, and the processor's clock
        seconds = {way: [] for way in ways}
        said = {}
        for _ in range(self.options.runs):
            for way in ways:
                taken, words = self.once(way, dataset, patches, bands)
                seconds[way].append(taken)
                said = words or said
        said["calls"] = self.calls(dataset, patches, bands)
        shutil.rmtree(dataset.root)
        return {"patches": count, "seconds": seconds, "ours": said}


def rates(count, seconds):
    """Slowest, median and fastest rate."""
    found = sorted(count / s for s in seconds)
    return found[0], statistics.median(found), found[-1]


def table(results):
    """Markdown: a column per dataset, a row per way, and our ratios to them."""
    names = list(results)
    lines = ["| patches/s | " + " | ".join(names) + " |", "|---" + "|--:" * len(names) + "|"]
    for way, title in WAYS.items():
        cells = []
        for name in names:
            found = results[name]["seconds"].get(way)
            if not found:
                cells.append("-")
                continue
            low, middle, high = rates(results[name]["patches"], found)
            digits = 0 if middle >= 100 else 1
            cell = f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"
            ours = results[name]["seconds"].get("ours")
            if way != "ours" and ours:
                cell += f", {statistics.median(found) / statistics.median(ours):.1f}x"
            cells.append(cell)
        if any(cell != "-" for cell in cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    ours = [results[name]["ours"] for name in names]
    if all("memory" in words for words in ours):
        rows = {
            "our peak memory, anonymous": [f"{words['memory'][0]:.0f} MB" for words in ours],
            "our peak memory, mapped files with it": [
                f"{words['memory'][1]:.0f} MB" for words in ours
            ],
            "our processor time": [f"{words['cpu']:.2f} s" for words in ours],
            "our system calls per file": [
                "-" if words["calls"] is None else f"{words['calls']:.1f}" for words in ours
            ],
        }
        lines += [f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows.items()]
    return "\n".join(lines)


def chart(results):
    """SVG: a bar per dataset, how many times as fast as the usual way we are."""
    names = [n for n in results if {"ours", "usual"} <= results[n]["seconds"].keys()]
    ratio = {
        n: statistics.median(results[n]["seconds"]["usual"])
        / statistics.median(results[n]["seconds"]["ours"])
        for n in names
    }
    most = max(ratio.values(), default=1)
    rows = []
    for index, name in enumerate(names):
        y = 34 + 26 * index
        width = 380 * ratio[name] / most
        rows.append(
            f'<text x="150" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="158" y="{y}" width="{width:.0f}" height="18" rx="3" fill="#2a78b5"/>'
            f'<text x="{164 + width:.0f}" y="{y + 13}">{ratio[name]:.0f}x</text>'
        )
    height = 44 + 26 * len(names)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="{height}" '
        f'font-family="sans-serif" font-size="13">'
        f'<rect width="600" height="{height}" fill="white"/>'
        '<text x="12" y="20" font-weight="bold">Times as fast as the usual way '
        "(rasterio in a process pool)</text>" + "".join(rows) + "</svg>\n"
    )


def main():
    """Measure, and write table, JSON and chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=list(COUNTS), choices=COUNTS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="only these")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of patches")
    parser.add_argument("--workers", type=int, help="of ours; by default its own choice")
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each run")
    parser.add_argument("--sources", help="directory for the datasets")
    parser.add_argument("--output", help="directory for the databases")
    parser.add_argument("--save", help="directory for results.md, results.json and chart.svg")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.sources) as scratch,
        tempfile.TemporaryDirectory(dir=options.output) as output,
    ):
        bench = Bench(options, scratch, output)
        results = {}
        for name in options.datasets:
            results[name] = bench.measure(name)
            print(table({name: results[name]}), flush=True)
            print()
    machine = {
        "cpus": CPUS,
        "system": platform.platform(),
        "load": os.getloadavg(),
        "cold": options.cold,
    }
    if options.save:
        place = Path(options.save)
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath("results.md").write_text(table(results) + "\n")
        place.joinpath("results.json").write_text(
            json.dumps({"machine": machine, "results": results}, indent=1) + "\n"
        )
        place.joinpath("chart.svg").write_text(chart(results))
    print(table(results))
    print(machine)


if __name__ == "__main__":
    main()
