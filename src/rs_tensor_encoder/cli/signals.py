"""Ctrl-C and other requests to end: work ends at the next good place."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Seconds within which the executable gets a request twice.
_TWICE = 0.3

# When there was a request; of the clock that is called monotonic.
_last = float("-inf")


def requests() -> list[signal.Signals]:
    """Name the signals that ask to end.

    SIGHUP, which says that the terminal was closed, is one unless it was ignored when the
    process began, as under ``nohup``; then it stays ignored.
    """
    found = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


def is_new() -> bool:
    """Tell whether a request to end is not the one before, which has come twice.

    The executable that PyInstaller makes is two processes: the one that unpacks it passes on
    what it gets to the one that works, which a terminal has sent it already.
    """
    global _last
    before, _last = _last, time.monotonic()
    return not getattr(sys, "frozen", False) or _last - before > _TWICE


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or other request to end, into an event; the second interrupts."""
    stop = threading.Event()
    asked = False

    def ask(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal asked
        if not is_new():
            return
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
