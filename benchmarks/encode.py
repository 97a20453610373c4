"""Measure encoding against the usual way: rasterio in a process pool and one LMDB writer.

Runs alternate; the table gives the median, and the slowest and fastest run. Sources are read
from the page cache, the final sync is included::

    python benchmarks/encode.py --patches 2000 --runs 5 --output /dev/shm
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from rs_tensor_encoder.layout import builtin
from rs_tensor_encoder.sample import write_sample
from rs_tensor_encoder.sources import Source, discover

LAYOUTS = {layout.name: layout for layout in builtin()}


# ---- the usual way ----------------------------------------------------------


def read_patch(bands, files):
    """One patch as people read it: every band through rasterio, then safetensors."""
    import rasterio
    import safetensors.numpy

    tensors = {}
    for names, path in zip(bands, files, strict=True):
        with rasterio.open(path) as file:
            for index, name in enumerate(names, 1):
                tensors[name] = file.read(index)
    return safetensors.numpy.save(tensors)


def usual_way(layout, root, target):
    """Encode with rasterio in as many processes as processors, and one LMDB writer."""
    import lmdb

    plan = discover([Source(layout, root)])
    bands = [file.bands for file in layout.files]
    files = []
    for patch in plan.patches:
        _, directory, names = plan.files(patch)
        ending = ".TIF" if layout.name == "hyspecnet" else ".tif"
        stems = os.fsdecode(names).split("\0")[:-1]
        files.append([os.path.join(os.fsdecode(directory), stem + ending) for stem in stems])
    with (
        ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        lmdb.open(target, map_size=1 << 40) as env,
    ):
        for begin in range(0, len(files), 512):
            chunk = files[begin : begin + 512]
            values = pool.map(partial(read_patch, bands), chunk, chunksize=8)
            with env.begin(write=True) as txn:
                for patch, value in zip(plan.patches[begin:], values, strict=False):
                    txn.put(patch.key, value, append=True)


def ours(layout, root, target):
    """Encode as the command does; it is started as a process, so start-up is included."""
    command = [sys.executable, "-m", "rs_tensor_encoder", layout.option, root, target, "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


# ---- the data ---------------------------------------------------------------


def make_dataset(directory, name, patches):
    """Make a dataset of copies: of the real sample where there is one, else of the demo's."""
    samples = os.environ.get("RS_TENSOR_SAMPLES")
    if samples:
        roots = dict.fromkeys(LAYOUTS, samples)
    else:
        made = write_sample(os.path.join(directory, "sample"), patches=1, hyspecnet=1)
        roots = {
            "bigearthnet-s1": made.sentinel_1,
            "bigearthnet-s2": made.sentinel_2,
            "hyspecnet": made.hyspecnet,
        }
    plan = discover([Source(LAYOUTS[name], roots[name])])
    patch = plan.patches[0]
    original = patch.key.decode()
    place = os.fsdecode(plan.files(patch).directory)
    content = {file.name: file.read_bytes() for file in Path(place).iterdir()}
    wanted = set(os.fsdecode(plan.files(patch).names).split("\0"))
    root = os.path.join(directory, name)
    for index in range(patches):
        tile, key = numbered(name, index)
        os.makedirs(os.path.join(root, tile, key))
        for file, data in content.items():
            if os.path.splitext(file)[0] in wanted:
                path = os.path.join(root, tile, key, file.replace(original, key))
                Path(path).write_bytes(data)
    return root


def numbered(name, index):
    """Name of the tile and of the patch with a number."""
    tile, within = divmod(index, 900)
    row, column = divmod(within, 30)
    if name == "bigearthnet-s1":
        scene = f"S1A_IW_GRDH_1SDV_20170613T1650{tile:02d}"
        return scene, f"{scene}_33UUP_{row}_{column}"
    if name == "bigearthnet-s2":
        scene = f"S2A_MSIL2A_20170613T1010{tile:02d}_N9999_R022_T33UUP"
        return scene, f"{scene}_{row:02d}_{column:02d}"
    scene = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
    return scene, f"{scene}-Y{index:08d}_X03110438"


# ---- the measurement --------------------------------------------------------


def measure(function, layout, root, target):
    """Run once; return the seconds, and the peak memory of child processes in MB."""
    shutil.rmtree(target, ignore_errors=True)
    os.sync()
    begun = time.perf_counter()
    function(layout, root, target)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    shutil.rmtree(target)
    return seconds, peak


def main():
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=2000, help="BigEarthNet patches, each")
    parser.add_argument("--cubes", type=int, default=60, help="HySpecNet patches")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", default=None, help="directory for the databases")
    options = parser.parse_args()
    print("| dataset | ours, patches/s | usual way | ratio | our peak memory |")
    print("|---|--:|--:|--:|--:|")
    with (
        tempfile.TemporaryDirectory() as directory,
        tempfile.TemporaryDirectory(dir=options.output) as output,
    ):
        target = os.path.join(output, "database")
        for name in ("bigearthnet-s2", "bigearthnet-s1", "hyspecnet"):
            count = options.cubes if name == "hyspecnet" else options.patches
            root = make_dataset(directory, name, count)
            peak = measure(ours, LAYOUTS[name], root, target)[1]  # also warms the page cache
            seconds = {ours: [], usual_way: []}
            for _ in range(options.runs):
                for function, found in seconds.items():
                    found.append(measure(function, LAYOUTS[name], root, target)[0])
            cells = []
            for found in seconds.values():
                rates = sorted(count / s for s in found)
                middle = statistics.median(rates)
                cells.append(f"{middle:,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})")
            ratio = statistics.median(seconds[usual_way]) / statistics.median(seconds[ours])
            print(
                f"| {name} | {cells[0]} | {cells[1]} | {ratio:.0f}x | {peak:.0f} MB |", flush=True
            )


if __name__ == "__main__":
    main()
