# A whole file into memory: open, size, read, close. No map, because a file that
# is cut short under a map kills the process.

from libc.errno cimport EINTR, ENOMEM, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport realloc
from posix.fcntl cimport O_NONBLOCK, O_RDONLY
from posix.stat cimport S_ISREG, fstat, struct_stat
from posix.unistd cimport close, read

from problem cimport Problem, fail, fail2

cdef extern from "<fcntl.h>" nogil:
    int AT_FDCWD
    int O_CLOEXEC
    int O_DIRECTORY
    int openat(int directory, const char *name, int flags)

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


cdef inline int read_file(
    int directory, const char *name, uint64_t limit, Buffer *buffer, uint64_t at,
    uint64_t *size, Problem *problem
) noexcept nogil:
    """Append the file to what the buffer holds up to ``at``; 0, or -1."""
    cdef struct_stat status
    cdef int result
    # Without O_NONBLOCK, a pipe that bears the name of a TIFF would block for ever.
    cdef int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    while fd < 0 and errno == EINTR:
        fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if fd < 0:
        problem.error = errno
        return fail(problem, "cannot be opened")
    if fstat(fd, &status):
        problem.error = errno
        result = fail(problem, "cannot be read")
    elif not S_ISREG(status.st_mode):
        result = fail(problem, "not a regular file")
    elif <uint64_t>status.st_size > limit:
        result = fail2(problem, "the file has %llu bytes, more than %llu",
                       status.st_size, limit)
    else:
        size[0] = <uint64_t>status.st_size
        result = ensure(buffer, at + size[0], problem)
        if result == 0:
            result = read_all(fd, buffer.data + at, size[0], problem)
    close(fd)
    return result


cdef inline int read_all(
    int fd, uint8_t *to, uint64_t size, Problem *problem
) noexcept nogil:
    cdef uint64_t done = 0
    cdef Py_ssize_t n
    while done < size:
        n = read(fd, to + done, size - done)
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
