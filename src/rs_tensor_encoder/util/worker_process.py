"""A worker process: how it is started, what it does, and that it ends with its parent.

`multiprocessing` needs POSIX semaphores in /dev/shm, a resource tracker and a working directory
that exists, and its processes go on when their parent is killed. Here, a worker process is a new
interpreter that is connected to its parent by a pair of sockets, and by nothing else.
"""

import _thread
import errno
import fcntl
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from rs_tensor_encoder.errors import EncoderError

#: First argument of the executable that PyInstaller makes, where it is to be a worker process.
WORKER = "--worker-process"

# Seconds to wait for a process that was killed. One that waits for a dead file server cannot
# even be killed before that answers.
_PATIENCE = 2.0

# A terminal or a scheduler sends these to the whole process group; the parent decides what
# becomes of its workers.
_DEAF = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

# Linux, <sys/prctl.h>.
_PR_SET_PDEATHSIG = 1


class WorkerError(EncoderError):
    """A worker process has died."""

    exit_code = 3


class StartError(EncoderError):
    """Not a single worker process can be started."""

    exit_code = 3


class Worker:
    """A worker process and the connection to it; for the process that has started it.

    Raises
    ------
    OSError
        If the system does not allow it.
    """

    def __init__(self) -> None:
        ours, theirs = _connected()
        try:
            with _deaf():
                self.process = subprocess.Popen([*_command(), str(theirs)], pass_fds=[theirs])
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self.connection = Connection(ours)

    def end(self) -> None:
        """Kill the process, and wait until it has ended."""
        self.process.kill()
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)

    def fate(self) -> str:
        """Say how a process that sends nothing any more has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        code = self.process.returncode
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        names = {number.value: number.name for number in signal.Signals}
        return f"was killed by {names.get(-code, f'signal {-code}')}"


def _connected() -> tuple[int, int]:
    """Two descriptors that are connected; not standard streams, where these are closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        first = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            return first, fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, 3)
        except OSError:
            os.close(first)
            raise


@contextmanager
def _deaf() -> Iterator[None]:
    """Have a process that is started be deaf to signals that are meant for its parent.

    It inherits the mask, from its first instruction on. Here they are only heard later.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEAF)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _command() -> list[str]:
    """The command of a worker process, but for the descriptor of its connection."""
    if not sys.executable:
        raise FileNotFoundError(errno.ENOENT, "it is not known where Python is")
    if getattr(sys, "frozen", False):
        return [sys.executable, WORKER]
    flags = sys.flags
    words = [
        *(["-I"] if flags.isolated else []),
        *(["-E"] if flags.ignore_environment else []),
        *(["-s"] if flags.no_user_site else []),
        *(["-S"] if flags.no_site else []),
        *(["-B"] if flags.dont_write_bytecode else []),
        # Names of files must be the same text there.
        *["-X", f"utf8={flags.utf8_mode}"],
        *(f"-W{option}" for option in sys.warnoptions),
    ]
    # Before anything is imported: the working directory is the first place otherwise.
    path = ascii([place for place in sys.path if isinstance(place, str)])
    code = (
        f"import sys; sys.path[:] = {path}; "
        "from rs_tensor_encoder.util import worker_process; "
        "worker_process.serve(int(sys.argv[1]))"
    )
    return [sys.executable, *words, "-c", code]


def serve(descriptor: int) -> NoReturn:
    """Be a worker process, until its parent has ended.

    Parameters
    ----------
    descriptor : int
        Of the connection to the parent.
    """
    _end_with_parent(descriptor)
    with suppress(EOFError, ConnectionError):
        _work(Connection(descriptor))
    os._exit(0)


def _end_with_parent(descriptor: int) -> None:
    """Have this process end when its parent has ended, whatever it is doing then.

    The system kills it where it can. A thread waits for the end of the connection, too,
    which every system tells.
    """
    die_with_parent()
    # Without such a thread, the end is noticed when the item at hand is done.
    with suppress(MemoryError, RuntimeError):
        _thread.start_new_thread(_exit_with_connection, (descriptor,))


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends, or the thread that started it.

    Only Linux can; elsewhere, nothing is done.
    """
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _exit_with_connection(descriptor: int) -> None:
    poll = select.poll()
    # Nothing is asked for: so only the end of the connection is told.
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(0)


def _work(connection: Connection) -> NoReturn:
    """Answer every item by its result, or by what was raised.

    Raises
    ------
    EOFError, ConnectionError
        If the parent has ended.
    """
    orders = connection.recv_bytes()
    work: Callable[[Any], Any] | None = None
    while True:
        data = connection.recv_bytes()
        answer: tuple[bool, Any]
        try:
            if work is None:
                begin, arguments, work = pickle.loads(orders)  # noqa: S301  by our parent
                begin(*arguments)
            answer = (True, work(pickle.loads(data)))  # noqa: S301  by our parent
        except ImportError as error:
            answer = (False, WorkerError(f"a worker process cannot load {error.name}: {error}"))
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            answer = (False, error)
        connection.send(answer)
