# A whole file into memory: open, size, read, close. No map, because a file that
# is cut short under a map kills the process.

from libc.errno cimport EINTR, ENOMEM, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport realloc
from posix.fcntl cimport O_NONBLOCK, O_RDONLY
from posix.stat cimport S_ISREG, fstat, struct_stat
from posix.unistd cimport close

from problem cimport Problem, fail, fail2
from straight cimport Straight

cdef extern from "<fcntl.h>" nogil:
    int AT_FDCWD
    int O_CLOEXEC
    int O_DIRECTORY
    int O_NOFOLLOW
    int openat(int directory, const char *name, int flags)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    Py_ssize_t readv(int fd, const iovec *parts, int n)

cdef struct Buffer:
    uint8_t *data
    uint64_t size        # bytes there is room for


cdef inline int ensure(Buffer *buffer, uint64_t size, Problem *problem) noexcept nogil:
    """Make room for ``size`` bytes; what is in the buffer stays."""
    cdef void *data
    if size <= buffer.size:
        return 0
    data = realloc(buffer.data, size)
    if data == NULL:
        problem.error = ENOMEM
        return fail2(problem, "out of memory for %llu bytes (have %llu)", size, buffer.size)
    buffer.data = <uint8_t *>data
    buffer.size = size
    return 0


cdef inline void stamp(uint64_t *mark, const struct_stat *status) noexcept nogil:
    """Mix a file's size and time of change into the mark of its patch."""
    cdef uint64_t parts[3]
    cdef int i
    parts[0] = <uint64_t>status.st_size
    parts[1] = <uint64_t>status.st_mtim.tv_sec
    parts[2] = <uint64_t>status.st_mtim.tv_nsec
    for i in range(3):
        mark[0] = (mark[0] ^ parts[i]) * <uint64_t>0x9E3779B97F4A7C15
        mark[0] ^= mark[0] >> 29


cdef inline bint same(const struct_stat *one, const struct_stat *other) noexcept nogil:
    return (
        one.st_size == other.st_size
        and one.st_mtim.tv_sec == other.st_mtim.tv_sec
        and one.st_mtim.tv_nsec == other.st_mtim.tv_nsec
    )


cdef inline int read_file(
    int directory, const char *name, uint64_t limit, Buffer *buffer, uint64_t at,
    Straight *straight, uint64_t *size, uint64_t *mark, Problem *problem
) noexcept nogil:
    """Append the file to what the buffer holds up to ``at``, and stamp the mark; 0, or -1.

    If it has the size that is guessed, its pixels go where ``straight`` says, and
    ``size`` is only that of what is in front of them.
    """
    cdef struct_stat status, after
    cdef int result
    # Without O_NONBLOCK, a pipe that bears the name of a TIFF would block for ever.
    cdef int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    while fd < 0 and errno == EINTR:
        fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    if fd < 0:
        problem.error = errno
        return fail(problem, "cannot be opened")
    if fstat(fd, &status):
        problem.error = errno
        result = fail(problem, "cannot be read")
    elif not S_ISREG(status.st_mode):
        result = fail(problem, "not a regular file")
    elif <uint64_t>status.st_size > limit:
        result = fail2(problem, "the file has %llu bytes, more than %llu (see --max-file-size)",
                       status.st_size, limit)
    else:
        size[0] = <uint64_t>status.st_size
        straight.done = straight.to != NULL and size[0] == straight.head + straight.pixels
        if straight.done:
            size[0] = straight.head
        result = ensure(buffer, at + size[0], problem)
        if result == 0:
            result = read_all(
                fd, buffer.data + at, size[0], straight.to,
                straight.pixels if straight.done else 0, problem)
        # What was written to meanwhile may be neither the old file nor the new one.
        if result == 0 and (fstat(fd, &after) or not same(&status, &after)):
            result = fail(problem, "the file changed while it was read")
        stamp(mark, &status)
    close(fd)
    return result


cdef inline int read_all(
    int fd, uint8_t *head, uint64_t head_size, uint8_t *rest, uint64_t rest_size,
    Problem *problem
) noexcept nogil:
    cdef iovec parts[2]
    cdef uint64_t done = 0, size = head_size + rest_size
    cdef Py_ssize_t n
    while done < size:
        parts[0].iov_base = head + min(done, head_size)
        parts[0].iov_len = head_size - min(done, head_size)
        parts[1].iov_base = rest + (done - head_size if done > head_size else 0)
        parts[1].iov_len = min(rest_size, size - done)
        n = readv(fd, parts, 2 if rest_size else 1)
        if n > 0:
            done += <uint64_t>n
        elif n == 0:
            return fail2(
                problem, "the file became shorter while it was read (%llu of %llu bytes)",
                done, size)
        elif errno != EINTR:
            problem.error = errno
            return fail(problem, "cannot be read")
    return 0
