"""How many threads are at work: few where files are warm, many where each is waited for.

Warm files want one thread per processor beside the writer: more would only take its
processor. Cold files and file systems far away want dozens: each thread waits for
one read after the other. So the crew begins small and grows while the
system makes its threads wait, the writer waits for them, and the processors idle;
it shrinks when files turn out to be warm, or no processor idles.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rs_tensor_encoder.encoding.batching import Batch
from rs_tensor_encoder.util.system import processors

# The largest crew that forms by itself.
_MOST = 64

# Bytes of values that may be under way in a crew that forms by itself.
_BUDGET = 96 << 20

# Batches that wait for their turn while there is something to write: enough for the
# writer never to wait, few enough to stay in the processor's cache until then. A larger
# crew may have one per thread: it must not stop reading while the writer catches up.
_AHEAD = 4

# Waits for the system per patch from which on files count as cold: a cold patch has
# one for nearly each of its files, a warm one none.
_COLD = 0.5

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
        self._fixed = workers is not None
        self.most = workers or max(_MOST, self._processors)
        self.size = workers or self._processors
        self._waited = 0.0
        self._patches = self._blocked = 0
        self._told = True
        self._looked = time.perf_counter()
        self._spent = time.process_time()

    def has_room(self, begun: int, ended: int, batch: Batch, *, first_ended: bool) -> bool:
        """Tell whether to hand out a batch.

        Parameters
        ----------
        begun : int
            Batches that are being read and decoded, or lie ready for it.
        ended : int
            Those that wait for their turn to be written.
        batch : Batch
            The one to hand out; the others are taken to be like it.
        first_ended : bool
            Whether the one to be written next is among the ended ones.
        """
        # Some lie ready, so that no thread idles while the writer is busy.
        if begun >= self.size + self._processors:
            return False
        if self._fixed:
            return begun + ended < 2 * self.size + 2
        if first_ended and ended >= max(_AHEAD, self.size):
            return False
        # Batches done early wait for a slow one: let the others go on, as far as
        # memory allows.
        return begun + ended < max(2 * self._processors + 2, int(_BUDGET / batch.size))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in which the writer has nothing to write."""
        begun = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begun

    def note(self, patches: int, waits: int | None) -> None:
        """Take note of a batch that is done.

        Parameters
        ----------
        patches : int
            How many it had.
        waits : int or None
            How often the system made its thread wait; None if that is not known.
        """
        self._patches += patches
        self._told = waits is not None
        self._blocked += patches if waits is None else waits
        now = time.perf_counter()
        if not self._fixed and now - self._looked >= _LOOK:
            self._look(now)

    def _look(self, now: float) -> None:
        spent = time.process_time()
        seconds = now - self._looked
        busy = (spent - self._spent) / seconds / self._processors
        cold = self._blocked > _COLD * self._patches
        if cold and self._waited > 0.3 * seconds and busy < 0.9:
            self.size = min(2 * self.size, self.most)
        elif not cold or busy > 0.97 or (not self._told and self._waited < 0.1 * seconds):
            self.size = max(self.size * 3 // 4, self._processors)
        self._waited = 0.0
        self._patches = self._blocked = 0
        self._looked, self._spent = now, spent
