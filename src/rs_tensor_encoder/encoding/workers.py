"""The threads that encode: as many as wanted, at one line of tasks."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.thread_group import Alive


class Threads(Closing):
    """Threads that serve one line of tasks, each with an encoder of its own.

    All methods are for one thread, the one that made it.

    Parameters
    ----------
    new_encoder : callable
        Makes an encoder.
    larger : callable
        Makes a larger buffer; see `_tiff.Line`.
    """

    def __init__(
        self,
        new_encoder: Callable[[], _tiff.Encoder],
        larger: Callable[[Any, int, int], Any],
    ) -> None:
        self._new_encoder = new_encoder
        self._line = _tiff.Line(larger)
        self._alive = Alive()
        self._size = 0
        self._most = sys.maxsize

    def close(self) -> None:
        """Have all leave when their task is done, and wait until they have."""
        self._line.close()
        self._alive.join()

    def put(self, task: _tiff.Task, size: int) -> None:
        """Have a task done, by one more thread if there are fewer than ``size``.

        Where the system allows no more threads, those that there are go on.

        Raises
        ------
        MemoryError, RuntimeError
            If there is not a single one.
        """
        self._line.put(task)
        if self._size >= min(size, self._most):
            return
        try:
            self._alive.start(partial(_serve, self._new_encoder()), self._line)
            self._size += 1
        except (MemoryError, RuntimeError):
            self._most = self._size
            if self._size == 0:
                raise

    def keep(self, size: int) -> None:
        """Have those that are more than ``size`` leave when their task is done."""
        if self._size > size:
            self._line.dismiss(self._size - size)
            self._size = size

    def ended(self, seconds: float) -> list[_tiff.Task]:
        """Wait so long, at most, for a task to end; all that have, since the last call.

        Raises
        ------
        MemoryError
            If no thread lives: all have died for want of it before they began.
        """
        found = []
        task = self._line.wait(seconds)
        if task is None and seconds > 0 and not self._alive.count():
            raise MemoryError
        while task is not None:
            found.append(task)
            task = self._line.wait(0.0)
        return found


def _serve(encoder: _tiff.Encoder, line: _tiff.Line) -> None:
    # A thread that wakes up for a task would push the one that handed it out, and that
    # writes, off its processor (measured: 22 us for each patch of Sentinel-2). Where the
    # user has chosen another policy, it stays.
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    encoder.serve(line)
