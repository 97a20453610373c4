"""Worker processes that call a function for each of many items.

They are started when there is work for them, and end when the process that started them ends.
"""

import selectors
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.system import processors
from rs_tensor_encoder.util.worker_process import StartError, Worker, WorkerError

T = TypeVar("T")
R = TypeVar("R")

# Seconds to wait for results, at most, before looking whether to stop.
_TICK = 0.05


class _Task(Generic[T, R]):
    """An item, and its result once there is one."""

    __slots__ = ("done", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.result: R


class Pool(Closing, Generic[T, R]):
    """Worker processes that call a function; they are started when there is work for them.

    Parameters
    ----------
    size : int
        Worker processes, at most.
    begin : callable
        Called once in every worker process, with ``arguments``.
    arguments : tuple
        What ``begin`` is called with.
    work : callable
        Called in a worker process with an item; returns the result. Like
        ``begin``, a function of a module.
    """

    def __init__(
        self,
        size: int,
        begin: Callable[..., None],
        arguments: tuple[Any, ...],
        work: Callable[[T], R],
    ) -> None:
        self._size = size
        self._orders = (begin, arguments, work)
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._tasks: dict[Worker, _Task[T, R]] = {}
        self._waiting: deque[_Task[T, R]] = deque()
        self._selector = selectors.DefaultSelector()

    def close(self) -> None:
        """Kill all worker processes; they hold nothing that could be lost."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._selector.close()

    def map(self, items: Iterable[T], stop: threading.Event | None = None) -> Iterator[tuple[T, R]]:
        """Yield items with their results, in the order of the items.

        Parameters
        ----------
        items : iterable
            Taken as they are needed.
        stop : threading.Event, optional
            Set by others to end: the results that have come by then are yielded,
            others are not waited for.

        Raises
        ------
        WorkerError
            If a worker process has died.
        StartError
            If the system does not allow a single one.
        Exception
            What ``begin`` or ``work`` have raised.
        """
        left = iter(items)
        under_way: deque[_Task[T, R]] = deque()
        # Not as many processes as are allowed at once, but more with every result.
        room = min(4 * self._size, 2 * processors())
        more = True
        while more or under_way:
            while more and len(under_way) < room and not _is_set(stop):
                try:
                    task: _Task[T, R] = _Task(next(left))
                except StopIteration:
                    more = False
                    break
                under_way.append(task)
                self._waiting.append(task)
                self._hand_out()
            if _is_set(stop):
                self._hear(0, stop)
                yield from ((task.item, task.result) for task in under_way if task.done)
                return
            if under_way and not under_way[0].done:
                self._hear(_TICK, stop)
            while under_way and under_way[0].done:
                task = under_way.popleft()
                yield task.item, task.result
                room = min(4 * self._size, room + 2)

    def _hand_out(self) -> None:
        """Give waiting tasks to workers that have none, or to new ones."""
        while self._waiting and (self._idle or self._start()):
            worker = self._idle.pop()
            self._tasks[worker] = task = self._waiting.popleft()
            # One that has died is noticed when it is read from.
            with suppress(ConnectionError):
                worker.connection.send(task.item)

    def _start(self) -> bool:
        """Start one more worker; tell whether it was possible."""
        if len(self._workers) >= self._size:
            return False
        try:
            worker = Worker()
        except OSError as error:
            if not self._workers:
                reason = error.strerror or str(error)
                raise StartError(
                    f"the system allows no worker process (ulimit -u, -n): {reason}; try "
                    "--workers 1, which needs none"
                ) from None
            # Those that there are go on.
            self._size = len(self._workers)
            return False
        self._workers.append(worker)
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        with suppress(ConnectionError):
            worker.connection.send(self._orders)
        self._idle.append(worker)
        return True

    def _hear(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Wait so long, at most, for results, and take those that there are."""
        for key, _ in self._selector.select(seconds):
            worker: Worker = key.data
            try:
                good, value = worker.connection.recv()
            except (EOFError, OSError):
                self._selector.unregister(worker.connection)
                if _is_set(stop):
                    continue
                raise WorkerError(
                    f"a worker process {worker.fate()}, perhaps for want of memory; try fewer "
                    "--workers"
                ) from None
            if not good:
                raise value
            task = self._tasks.pop(worker)
            task.result, task.done = value, True
            self._idle.append(worker)
        if not _is_set(stop):
            self._hand_out()


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()
