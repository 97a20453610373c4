"""The disk at work from the beginning: what is committed is written back meanwhile.

The system would keep it for half a minute, or until it is a tenth of the memory, and
the final sync would wait for all of that. Nothing is promised before that sync.
"""

import os
from contextlib import suppress
from queue import Empty, SimpleQueue

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.thread_group import Alive

# Bytes that are written back in one go.
_STEP = 16 << 20

# The first two pages of a database change with every commit.
_METAS = 2 * 4096


class WriteBack(Closing):
    """A thread that has a growing file written back; where there can be none, nobody does.

    Parameters
    ----------
    path : str
        The file.
    """

    def __init__(self, path: str) -> None:
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._alive = Alive()
        self._grown = 0
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._alive.start(self._serve, self._file)
        except (MemoryError, OSError, RuntimeError):
            self._release()

    def close(self) -> None:
        """Have the thread leave, and wait until it has."""
        self._ends.put(None)
        self._alive.join()
        self._release()

    def grown(self, size: int) -> None:
        """Take note that the file has grown by so many bytes."""
        self._grown += size
        if self._grown >= _STEP and self._file >= 0:
            self._grown = 0
            # Whoever writes the file learns what is wrong with it.
            with suppress(MemoryError, OSError):
                self._ends.put(os.fstat(self._file).st_size)

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _serve(self, file: int) -> None:
        begin = _METAS
        with suppress(MemoryError):
            while (end := self._latest()) is not None:
                _tiff.write_back(file, begin, end)
                begin = end

    def _latest(self) -> int | None:
        """Wait for an end; where the disk is slow, there may be several already."""
        end = self._ends.get()
        with suppress(Empty):
            while end is not None:
                end = self._ends.get_nowait()
        return end
