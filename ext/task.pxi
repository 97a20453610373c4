# Tasks and the line that they stand in: the work that is handed out, as Python sees it.

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from queue cimport Queue, close_queue, free_queue, open_queue, put, send_away, take_within
from task cimport Batch, Fact, Job


cdef class Task:
    """A batch of patches to be encoded, and what becomes of it.

    Parameters
    ----------
    patches : sequence of (format, directory, names)
        As for `Encoder.encode`.
    out : writable buffer of uint8, 1-D, contiguous
        Takes the values, from ``start`` on.

    Attributes
    ----------
    out : buffer
        Where the values are: a larger one if they did not fit.
    error : BaseException or None
        What has kept the batch from being encoded.
    failures : dict of int to PatchError
        Why patches could not be encoded, by their index.
    """

    cdef Batch batch
    cdef list held
    cdef readonly dict failures
    cdef readonly object out
    cdef readonly object error

    def __cinit__(self, patches, out, uint64_t start=0):
        cdef bytes directory, names
        cdef Job *job
        self.held = list(patches)
        self.failures = {}
        self.batch.n = len(self.held)
        self.batch.start = start
        self.batch.jobs = <Job *>calloc(max(self.batch.n, 1), sizeof(Job))
        if self.batch.jobs == NULL:
            raise MemoryError
        self.batch.link.what = &self.batch
        self.batch.owner = <void *>self
        self.write_to(out)
        job = self.batch.jobs
        for patch in self.held:
            # The pointers are good as long as the tuple is, which is held here.
            if not isinstance(patch, tuple):
                raise TypeError(f"a patch is a tuple, not {patch!r}")
            job.format, directory, names = patch
            job.directory = directory
            job.names = names
            job.end = job.names + len(names)
            job += 1

    def __dealloc__(self):
        free(self.batch.jobs)

    cdef int write_to(self, out) except -1:
        cdef uint8_t[::1] view = out
        self.out = out
        self.batch.room = view.shape[0]
        self.batch.out = &view[0] if view.shape[0] else NULL
        return 0

    cdef int enlarge(self, larger) except -1:
        self.write_to(larger(self.out, self.batch.start, self.batch.needed))
        return 0

    @property
    def patches(self):
        """Number of patches."""
        return self.batch.n

    @property
    def ended(self):
        """Whether a line has said that it is done."""
        return self.batch.ended

    @property
    def waits(self):
        """How often the system made its thread wait, for a file that is not in memory
        or for a lock; None where the system does not tell."""
        return None if self.batch.waits < 0 else self.batch.waits

    def results(self):
        """What became of the patches that were come to.

        Returns
        -------
        list of (start, stop, header, mark, digest) or PatchError
            As of `Encoder.encode`.
        """
        cdef Py_ssize_t i
        cdef const Job *job
        cdef const char *value
        results = []
        for i in range(self.batch.at):
            job = &self.batch.jobs[i]
            if job.failed:
                results.append(self.failures[i])
                continue
            value = <const char *>self.batch.out + job.start
            results.append((
                job.start, job.stop, PyBytes_FromStringAndSize(value, job.length), job.mark,
                PyBytes_FromStringAndSize(<char *>job.digest.digest, 16)))
        return results

    @property
    def size(self):
        """Bytes of all values."""
        cdef Py_ssize_t i
        cdef uint64_t size = 0
        for i in range(self.batch.at):
            if not self.batch.jobs[i].failed:
                size += self.batch.jobs[i].stop - self.batch.jobs[i].start
        return size

    def values(self):
        """The values of the patches that have not failed.

        Returns
        -------
        list of memoryview
            Slices of ``out``.
        """
        cdef Py_ssize_t i
        out = memoryview(self.out)
        return [
            out[self.batch.jobs[i].start:self.batch.jobs[i].stop]
            for i in range(self.batch.at) if not self.batch.jobs[i].failed]

    def headers(self):
        """The headers of those values, each with the number of values that have it.

        Returns
        -------
        list of (bytes, int)
            A header may be there more than once.
        """
        cdef Py_ssize_t i
        cdef const Job *job
        cdef const char *value
        cdef const char *header = NULL
        cdef uint64_t length = 0
        headers = []
        counts = []
        for i in range(self.batch.at):
            job = &self.batch.jobs[i]
            if job.failed:
                continue
            value = <const char *>self.batch.out + job.start
            # Mostly the same one.
            if header == NULL or length != job.length or memcmp(header, value, length):
                header, length = value, job.length
                headers.append(PyBytes_FromStringAndSize(header, length))
                counts.append(0)
            counts[len(counts) - 1] += 1
        return list(zip(headers, counts))

    def facts(self):
        """What is to be known of those values later on.

        Returns
        -------
        bytes
            Of each, 32 bytes: its XXH3 digest (16 bytes), then its length and what
            `Encoder.marks` says of its files (little-endian, unsigned, 64 bits each).
        """
        cdef Py_ssize_t i, count = 0, end = self.batch.at
        cdef const Job *job
        cdef bytes found
        cdef Fact *fact
        for i in range(end):
            count += not self.batch.jobs[i].failed
        found = PyBytes_FromStringAndSize(NULL, count * sizeof(Fact))
        fact = <Fact *>PyBytes_AsString(found)
        for i in range(end):
            job = &self.batch.jobs[i]
            if job.failed:
                continue
            fact.digest = job.digest
            fact.length = job.stop - job.start
            fact.mark = job.mark
            fact += 1
        return found


cdef class Line:
    """Tasks that wait for a thread, and tasks that have been done.

    Parameters
    ----------
    larger : callable
        Makes a larger buffer: takes the old one, the bytes of it that are used,
        and the bytes that are needed; returns the new one with those copied.
    """

    cdef Queue waiting
    cdef Queue done
    cdef object larger
    cdef dict tasks              # address of a batch -> its task, which is kept alive so

    def __cinit__(self, larger):
        open_queue(&self.waiting)
        open_queue(&self.done)
        self.larger = larger
        self.tasks = {}

    def __dealloc__(self):
        free_queue(&self.waiting)
        free_queue(&self.done)

    def put(self, Task task not None):
        """Have a task done by one of the threads that serve."""
        self.tasks[<size_t>&task.batch] = task
        put(&self.waiting, &task.batch.link)

    def wait(self, double seconds):
        """Wait so long at most for a task to be done.

        Returns
        -------
        Task or None
            One that is done, in the order in which they were.
        """
        cdef Batch *batch
        with nogil:
            batch = <Batch *>take_within(&self.done, seconds)
        if batch == NULL:
            return None
        batch.ended = True
        return self.tasks.pop(<size_t>batch)

    def dismiss(self, int threads):
        """Have so many threads stop to serve, each when its task is done."""
        send_away(&self.waiting, threads)

    def close(self):
        """Have all threads stop to serve; what was not begun is let lie."""
        close_queue(&self.waiting)


cdef void hand_in(Line line, Batch *batch) noexcept nogil:
    put(&line.done, &batch.link)
