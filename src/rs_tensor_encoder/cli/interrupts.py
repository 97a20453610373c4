"""Ctrl-C and requests to terminate: work ends at the next good place."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or request to terminate, into an event; the second interrupts."""
    stop = threading.Event()
    asked = False

    def ask(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal asked
        # Not the event itself: while it is set, it waits for itself if it is set once more.
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
