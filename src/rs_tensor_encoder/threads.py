"""The threads that encode: as many as wanted, at one line of tasks."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rs_tensor_encoder import _tiff


class Threads:
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
        self._threads: list[threading.Thread] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()
        for thread in self._threads:
            thread.join()

    def staff(self, size: int) -> None:
        """Have so many threads; those that are too many leave when their task is done."""
        while self._size < size:
            encoder = self._new_encoder()
            thread = threading.Thread(target=encoder.serve, args=(self._line,), name="encode")
            try:
                thread.start()
            except RuntimeError:
                # The system allows no more: go on with those there are.
                if not self._threads:
                    raise
                return
            self._threads.append(thread)
            self._size += 1
        if self._size > size:
            self._line.dismiss(self._size - size)
            self._size = size
            self._threads = [thread for thread in self._threads if thread.is_alive()]

    def put(self, task: _tiff.Task) -> None:
        """Have a task done."""
        self._line.put(task)

    def ended(self, seconds: float) -> list[_tiff.Task]:
        """Wait so long, at most, for a task to end; all that have, since the last call."""
        found = []
        task = self._line.wait(seconds)
        while task is not None:
            found.append(task)
            task = self._line.wait(0.0)
        return found
