"""Our encoder as a process to be measured: ROOT NAME TARGET [WORKERS]; prints JSON.

The seconds are those from the search for patches to the renamed target, without the start of the
interpreter, so that they compare with those of a C program.
"""

import json
import os
import sys
import time
from pathlib import Path

# As the command does it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from datasets import layout_of
from rs_tensor_encoder.encoder import encode
from rs_tensor_encoder.sources import Source, discover


def peak_memory():
    """Peak of resident memory, and what is anonymous of it at the end, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields[key].split()[0]) / 1024 for key in ("VmHWM", "RssAnon")]


def main():
    """Encode once."""
    root, name, target = sys.argv[1:4]
    workers = int(sys.argv[4]) if len(sys.argv) > 4 else None
    begun = time.perf_counter()
    plan = discover([Source(layout_of(name), root)])
    found = time.perf_counter()
    report = encode(plan, target, workers=workers)
    ended = time.perf_counter()
    if not report.complete:
        sys.exit(f"{len(report.failures)} failures: {report.failures[0][1]}")
    cpu = time.process_time()
    print(
        json.dumps(
            {
                "seconds": ended - begun,
                "plan": found - begun,
                "cpu": cpu,
                "memory": peak_memory(),
            }
        )
    )


if __name__ == "__main__":
    main()
