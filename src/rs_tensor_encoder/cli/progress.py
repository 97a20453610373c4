"""How far it is: a bar on a terminal, otherwise a line every 30 seconds."""

import sys
import time
from typing import Any

from rs_tensor_encoder.cli.output import say
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.text import counted, sized

# Seconds between two lines where there is no terminal.
_INTERVAL = 30.0


class Progress(Closing):
    """Counts patches and bytes to stderr.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Patches in all.
    quiet : bool
        Say nothing.
    """

    def __init__(self, label: str, total: int, *, quiet: bool = False) -> None:
        self._label = label
        self._total = total
        self._quiet = quiet
        self._done = 0
        self._bytes = 0
        self._begun = self._said = time.monotonic()
        # What an earlier run had done counts as done, not as speed.
        self._head_start = (0, 0)
        self._bar: Any = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            # Importing tqdm takes 18 ms of processor time, which a run without a bar can save.
            from rs_tensor_encoder.cli.progress_bar import Bar, Terminal

            self._bar = Bar(
                total=total,
                desc=label,
                unit=" patches",
                file=Terminal(sys.stderr),
                dynamic_ncols=True,
                leave=False,
            )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def keep(self, patches: int, size: int) -> None:
        """Count more of what was done before."""
        self._begun = time.monotonic()
        self._head_start = (self._head_start[0] + patches, self._head_start[1] + size)
        self._done += patches
        self._bytes += size
        if self._bar is not None:
            self._bar.initial += patches
            self._bar.update(patches)

    def update(self, patches: int, size: int) -> None:
        """Count what has been done since the last call."""
        self._done += patches
        self._bytes += size
        if self._bar is not None:
            self._bar.set_postfix_str(self._bytes_per_second(), refresh=False)
            self._bar.update(patches)
        elif not self._quiet and time.monotonic() - self._said >= _INTERVAL:
            self._said = time.monotonic()
            say(self.line(), err=True)

    def say(self, text: str) -> None:
        """Write a line that explains why nothing moves."""
        if self._quiet or sys.stderr is None:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def line(self) -> str:
        """One line that says it all: done, total, speed and the time left."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        rate = (self._done - self._head_start[0]) / seconds
        left = (self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._label}: {self._done:,} of {counted(self._total, 'patch')} "
            f"({self._done / max(self._total, 1):.1%}), {rate:,.0f} patches/s, "
            f"{self._bytes_per_second()}, {_duration(left)} left"
        )

    def _bytes_per_second(self) -> str:
        seconds = max(time.monotonic() - self._begun, 1e-9)
        return f"{sized((self._bytes - self._head_start[1]) / seconds)}/s"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
