"""Threads that do what is waited for, looking at files, ahead of the one that asks."""

import _thread
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.thread_group import Alive

T = TypeVar("T")
R = TypeVar("R")

# Seconds to wait for a helper before looking whether it lives.
_TICK = 0.05

# Helpers to begin with. More only stand in each other's way (there is one GIL) where
# nothing is waited for, and one alone would be half as fast where each job waits for less
# than what is long; where a job takes longer than that, in seconds, while the processors
# are idle, their number doubles.
_FEW = 2
_LONG = 0.002


class _Job(Generic[T, R]):
    """A call of a function, and what came of it."""

    __slots__ = ("_done", "_error", "_function", "_item", "_result", "done")

    def __init__(self, function: Callable[[T], R], item: T) -> None:
        self._function = function
        self._item = item
        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def run(self) -> None:
        try:
            self._result = self.call()
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            self._error = error
        self._done.release()

    def call(self) -> R:
        return self._function(self._item)

    def wait(self, seconds: float) -> bool:
        """Tell whether it is done, after so many seconds at most."""
        self.done = self._done.acquire(timeout=seconds)
        return self.done

    def result(self) -> R:
        if self._error is not None:
            raise self._error
        return self._result


def _serve(jobs: "SimpleQueue[_Job[Any, Any] | None]") -> None:
    while (job := jobs.get()) is not None:
        job.run()


class Helpers(Closing):
    """Threads that call functions ahead; where there can be none, it goes on without.

    Parameters
    ----------
    most : int
        Threads, at most: no more than there are jobs at the same time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._wanted = _FEW
        self._ahead = 2 * most
        self._jobs: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
        self._alive = Alive()
        self._started = self._living = 0

    def close(self) -> None:
        """Have all leave, and wait until they have; what nobody has begun is let lie."""
        self._forget()
        for _ in range(self._alive.count()):
            self._jobs.put(None)
        self._alive.join()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield what a function makes of items, in their order.

        Parameters
        ----------
        function : callable
            Changes nothing: it is called once more if the thread that called it
            has died.
        items : iterable
            Taken as they are needed.
        """
        under_way: deque[_Job[T, R]] = deque()
        for item in items:
            under_way.append(_Job(function, item))
            self._jobs.put(under_way[-1])
            self._staff(len(under_way))
            if len(under_way) >= self._ahead:
                yield self._finish(under_way)
        while under_way:
            yield self._finish(under_way)

    def _staff(self, jobs: int) -> None:
        while self._started < min(jobs, self._wanted, self._most):
            try:
                self._alive.start(_serve, self._jobs)
                self._started += 1
                self._living += 1
            except (MemoryError, RuntimeError):
                # The system allows no more.
                self._most = self._started

    def _finish(self, under_way: "deque[_Job[T, R]]") -> R:
        job = under_way[0]
        patience = _LONG
        begun, spent = time.perf_counter(), time.process_time()
        while not job.wait(patience if self._living else 0):
            self._living = self._alive.count()
            if self._living < self._started or not self._started:
                # Perhaps one has died with this job, or with one of those to come.
                break
            if time.process_time() - spent < (time.perf_counter() - begun) / 2:
                self._wanted = min(2 * self._wanted, self._most)
                self._staff(len(under_way))
            patience = min(2 * patience, _TICK)
        under_way.popleft()
        return job.result() if job.done else job.call()

    def _forget(self) -> None:
        """Let lie what nobody has begun."""
        while True:
            try:
                self._jobs.get_nowait()
            except Empty:
                return
