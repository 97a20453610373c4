"""Threads of which it is known whether they live.

`threading` waits, when it starts a thread, for the thread to say that it lives: for
ever, if the thread dies before, as threads do where memory is short.
"""

import _thread
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

# Seconds between two looks whether the threads have left: the first, and the longest.
_TICK = 0.0005
_LONG_TICK = 0.05


class Alive:
    """Threads that were started and live.

    A thread has the only reference to its call, and lets go of it whatever ends
    it. (No Python code sees the call: the traceback of an error could keep it.)
    """

    def __init__(self) -> None:
        self._calls: list[weakref.ref[partial[None]]] = []

    def start(self, function: Callable[[Any], None], argument: Any) -> None:
        """Start a thread that calls a function.

        Raises
        ------
        MemoryError, RuntimeError
            If the system does not allow it.
        """
        call = partial(function, argument)
        self._calls.append(weakref.ref(call))
        try:
            _thread.start_new_thread(call, ())
        except (MemoryError, RuntimeError):
            self._calls.pop()
            raise
        finally:
            del call

    def count(self) -> int:
        """Count those that live."""
        self._calls = [call for call in self._calls if call() is not None]
        return len(self._calls)

    def join(self) -> None:
        """Wait until all have left."""
        tick = _TICK
        while self.count():
            time.sleep(tick)
            tick = min(2 * tick, _LONG_TICK)
