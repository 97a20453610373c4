"""The command as PyInstaller packs it: the worker processes of a check are this file once more."""

import os
import sys

from rs_tensor_encoder.cli import run
from rs_tensor_encoder.util import worker_process

if __name__ == "__main__":
    if sys.argv[1:2] == [worker_process.WORKER]:
        worker_process.serve(int(sys.argv[2]))
    # The parent is the process that has unpacked this one, and passes on the signals that it
    # gets; but SIGKILL it cannot.
    try:
        unpacked = os.path.samefile(f"/proc/{os.getppid()}/exe", sys.executable)
    except OSError:
        unpacked = False
    if unpacked:
        worker_process.die_with_parent()
    run()
