"""The progress bar on a terminal, made with tqdm."""

import threading
from contextlib import suppress
from typing import Any

from tqdm import tqdm

# Columns left free behind the bar: what a terminal writes of Ctrl-C, given twice, would
# break the line, and what is broken cannot be taken away again.
_FREE = 5

# Columns below which there is room for figures, but not for a bar before them.
_NARROW = 70
_SHORT = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt}, {remaining} left {bar}"


class Terminal:
    """Stderr, but for errors: the work goes on where the terminal was closed meanwhile."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        """Write a text, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush what was written, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


class Bar(tqdm):  # type: ignore[misc]
    """A bar in what there is of columns, taken away at the end with what is behind it."""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar is made from, as `tqdm` says it."""
        found: dict[str, Any] = super().format_dict
        columns = found["ncols"]
        if columns:
            found["ncols"] = max(columns - _FREE, 1)
            found["bar_format"] = _SHORT if columns < _NARROW else None
        return found

    def close(self) -> None:
        """Take the bar away."""
        if not self.disable:
            self.display(" " * ((self.format_dict["ncols"] or 0) + _FREE))
        super().close()


# By default, tqdm takes a lock for processes as well, which is a semaphore in /dev/shm.
Bar.set_lock(threading.RLock())
