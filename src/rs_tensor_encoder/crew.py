"""How many threads are at work: few where files are warm, many where each is waited for.

Warm files want about one thread per processor, and one more because they take
turns with the writer: more only wait for each other. Cold files and file
systems far away want dozens: each thread waits for one read after the other. So
the crew begins small and grows while the writer waits and the processors idle;
it shrinks when they do not.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rs_tensor_encoder.batches import Batch
from rs_tensor_encoder.machine import processors

# The largest crew that forms by itself.
_MOST = 64

# Bytes of values that may be under way in a crew that forms by itself.
_BUDGET = 96 << 20

# Seconds between two looks at how busy the processors are.
_LOOK = 0.03


class Crew:
    """Decides whether one more batch may be begun.

    Parameters
    ----------
    workers : int or None
        Threads at work, if the user knows better.
    """

    def __init__(self, workers: int | None) -> None:
        self._processors = processors()
        self._least = self._processors + 1
        self._fixed = workers is not None
        self.most = workers or max(_MOST, self._least)
        self.size = workers or self._least
        self._waited = 0.0
        self._looked = time.perf_counter()
        self._spent = time.process_time()

    def has_room(self, working: int, under_way: int, batch: Batch) -> bool:
        """Tell whether to begin a batch.

        Parameters
        ----------
        working : int
            Batches that are being read and decoded.
        under_way : int
            Those, and the ones that wait for their turn to be written.
        batch : Batch
            The one to begin; the others are taken to be like it.
        """
        if working >= self.size:
            return False
        if self._fixed:
            return under_way < 2 * self.size + 2
        # Batches done early wait for a slow one: let the others go on, as far as
        # memory allows.
        allowed = max(2 * self._least + 2, int(_BUDGET / batch.size))
        return under_way < allowed

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in which the writer has nothing to write."""
        begun = time.perf_counter()
        yield
        now = time.perf_counter()
        self._waited += now - begun
        if not self._fixed and now - self._looked >= _LOOK:
            self._look(now)

    def _look(self, now: float) -> None:
        spent = time.process_time()
        seconds = now - self._looked
        busy = (spent - self._spent) / seconds / self._processors
        if self._waited > 0.3 * seconds and busy < 0.5:
            self.size = min(2 * self.size, self.most)
        elif busy > 0.65 or self._waited < 0.1 * seconds:
            self.size = max(self.size * 3 // 4, self._least)
        self._waited = 0.0
        self._looked, self._spent = now, spent
