"""The command as PyInstaller packs it: the processes of a check are this file once more."""

import multiprocessing

from rs_tensor_encoder.cli import run

if __name__ == "__main__":
    multiprocessing.freeze_support()
    run()
