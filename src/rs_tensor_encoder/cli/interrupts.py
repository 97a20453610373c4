"""Ctrl-C and other requests to end: work ends at the next good place."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def requests() -> list[signal.Signals]:
    """Name the signals that ask to end.

    SIGHUP, which says that the terminal was closed, is one unless it was ignored when the
    process began, as under ``nohup``; then it stays ignored.
    """
    found = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or other request to end, into an event; the second interrupts."""
    stop = threading.Event()
    asked = False

    def ask(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal asked
        # Not the event itself: while it is set, it waits for itself if it is set once more.
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop.set()

    before = {number: signal.signal(number, ask) for number in requests()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
