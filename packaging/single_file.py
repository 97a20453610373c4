"""The command as PyInstaller packs it: the processes of a check are this file once more."""

import multiprocessing
import sys

from rs_tensor_encoder.cli import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
