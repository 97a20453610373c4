"""Decoding alone, in one thread: ours, with all that belongs to it, against bare libdeflate.

    python benchmarks/decode.py --dataset hyspecnet

The C program (floor.c) reads the same files and does nothing but to call libdeflate for each strip.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

from datasets import COUNTS, make
from rs_tensor_encoder.encoding.batching import cut, encode_batch, estimate, new_encoder
from run import build_floor


def ours(dataset):
    """Seconds for all patches, without a database."""
    plan = dataset.plan()
    encoder = new_encoder(plan)
    batches = list(cut(plan, plan.patches, estimate(plan).lengths))
    buffer = np.empty(1 << 20, np.uint8)
    begun = time.perf_counter()
    for batch in batches:
        _, buffer = encode_batch(encoder, batch.files, buffer)
    return time.perf_counter() - begun


def main():
    """Measure alternately, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="hyspecnet", choices=COUNTS)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        floor = build_floor(scratch)
        dataset = make(scratch, options.dataset, COUNTS[options.dataset])
        listing = os.path.join(scratch, "list")
        with open(listing, "w", encoding="utf-8") as file:
            file.writelines("\t".join([key, *paths]) + "\n" for key, paths in dataset.files())
        found = {"ours": [], "libdeflate": []}
        for _ in range(options.runs):
            found["ours"].append(ours(dataset))
            begun = time.perf_counter()
            subprocess.run([floor, "inflate", "1", listing], check=True)
            found["libdeflate"].append(time.perf_counter() - begun)
        rates = {name: dataset.patches / statistics.median(taken) for name, taken in found.items()}
        print(
            f"{options.dataset}: ours {rates['ours']:.1f}, libdeflate {rates['libdeflate']:.1f} "
            f"patches/s, {rates['ours'] / rates['libdeflate']:.2f}"
        )


if __name__ == "__main__":
    main()
