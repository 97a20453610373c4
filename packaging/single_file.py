"""The command as PyInstaller packs it: the worker processes of a check are this file once more."""

import sys

from rs_tensor_encoder import worker
from rs_tensor_encoder.cli import run

if __name__ == "__main__":
    if sys.argv[1:2] == [worker.WORKER]:
        worker.serve(int(sys.argv[2]))
    run()
