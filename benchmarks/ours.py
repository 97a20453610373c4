"""Our encoder as a process to be measured: ROOT NAME TARGET [WORKERS | plan]; prints JSON.

The seconds are those from the search for patches to the renamed target, without the start of the
interpreter, so that they compare with those of a C program.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

# As the command does it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from datasets import layout_of
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source


class Memory(threading.Thread):
    """Looks at the memory of this process every few milliseconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.anonymous = self.resident = 0.0

    def run(self):
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            anonymous, resident = (
                int(fields[key].split()[0]) / 1024 for key in ("RssAnon", "VmHWM")
            )
            self.anonymous = max(self.anonymous, anonymous)
            self.resident = resident
            time.sleep(0.02)


def main():
    """Encode once."""
    root, name, target = sys.argv[1:4]
    workers = int(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4] != "plan" else None
    memory = Memory()
    memory.start()
    begun = time.perf_counter()
    plan = discover([Source(layout_of(name), root)])
    found = time.perf_counter()
    if sys.argv[4:] == ["plan"]:
        return
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
                "memory": [memory.anonymous, memory.resident],
            }
        )
    )


if __name__ == "__main__":
    main()
