# Finding the files of a patch, and reading them: in its directory, each under the first
# of the extensions that is there.

from libc.errno cimport EINTR, ELOOP, ENAMETOOLONG, ENOENT, errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strchr, strlen
from posix.fcntl cimport O_RDONLY
from posix.stat cimport fstatat, struct_stat
from posix.unistd cimport close

from file cimport AT_FDCWD, O_CLOEXEC, O_DIRECTORY, Buffer, openat, read_file, stamp
from format cimport Format
from link cimport PATH, follow
from problem cimport Problem, fail
from straight cimport Straight
from task cimport Job

cdef enum:
    ENDINGS = 8          # extensions at most

cdef struct Ending:
    # An extension.
    char text[16]
    size_t length

cdef struct Found:
    # A file of the patch at hand.
    uint64_t start       # in the input
    uint64_t size        # of what was read there, in bytes
    int ending           # index of the one that it has

cdef struct Lookup:
    Ending endings[ENDINGS]
    int n_endings
    uint64_t limit       # bytes of a file, beyond which it is refused
    Buffer input         # the files of a patch, one behind the other
    Found *found         # where each of them is
    char name[1024]      # of the file at hand
    char path[PATH]      # that a link leads to


cdef inline int open_lookup(Lookup *lookup, int files, uint64_t limit) noexcept nogil:
    """For patches of so many files at most; 0, or -1 if there is no memory."""
    memset(lookup, 0, sizeof(Lookup))
    lookup.limit = limit
    lookup.found = <Found *>calloc(files, sizeof(Found))
    return 0 if lookup.found != NULL else -1


cdef inline void close_lookup(Lookup *lookup) noexcept nogil:
    free(lookup.input.data)
    free(lookup.found)
    memset(lookup, 0, sizeof(Lookup))


cdef inline bint allow(Lookup *lookup, const char *ending) noexcept nogil:
    """Have files end so, too, that have no ending before it; whether there is room for it."""
    cdef size_t length = strlen(ending)
    cdef Ending *new = &lookup.endings[lookup.n_endings]
    if lookup.n_endings == ENDINGS or length >= sizeof(new.text):
        return False
    memcpy(new.text, ending, length)
    new.length = length
    lookup.n_endings += 1
    return True


cdef inline bint set_name(
    Lookup *lookup, const char *name, size_t length, int ending
) noexcept nogil:
    """Whether it fits, with the ending; what is cut off is not."""
    cdef const Ending *end = &lookup.endings[ending]
    cdef size_t room = sizeof(lookup.name) - 1
    cdef size_t kept = min(length, room)
    cdef size_t kept_end = min(end.length, room - kept)
    memcpy(lookup.name, name, kept)
    memcpy(lookup.name + kept, end.text, kept_end)
    lookup.name[kept + kept_end] = 0
    return length + end.length <= room


cdef inline int blame(Lookup *lookup, const Job *job, int f) noexcept nogil:
    """Have the f-th file named in the error; -1, so that "return blame" reads well."""
    cdef const char *name = job.names
    cdef int _f
    for _f in range(f):
        name += strlen(name) + 1
    set_name(lookup, name, strlen(name), lookup.found[f].ending)
    return -1


cdef inline int enter(Lookup *lookup, Job *job, Problem *problem) noexcept nogil:
    # Open the directory of a patch.
    cdef int directory
    lookup.name[0] = 0
    # Which files it has counts, too: one that was renamed into another is a change.
    job.mark = <uint64_t>job.format + 1
    directory = openat(AT_FDCWD, job.directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    while directory < 0 and errno == EINTR:
        directory = openat(AT_FDCWD, job.directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    if directory < 0:
        problem.error = errno
        return fail(problem, "cannot be opened")
    return directory


cdef inline int look(
    Lookup *lookup, Job *job, const Format *format, Problem *problem
) noexcept nogil:
    """Stamp the mark of a patch as reading its files would; 0, or -1."""
    cdef struct_stat status
    cdef int _f, i, directory = enter(lookup, job, problem)
    cdef const char *name = job.names
    cdef size_t length
    if directory < 0:
        return -1
    for _f in range(format.files):
        length = strlen(name)
        for i in range(lookup.n_endings):
            problem.error = 0
            if not set_name(lookup, name, length, i):
                problem.error = ENAMETOOLONG
                break
            if fstatat(directory, lookup.name, &status, 0) == 0:
                stamp(&job.mark, &status)
                job.mark ^= <uint64_t>i
                break
            problem.error = errno
            if problem.error != ENOENT:
                break
        if problem.error:
            if problem.error == ENOENT:
                set_name(lookup, name, length, 0)
            fail(problem, "cannot be looked at")
            close(directory)
            return -1
        name += length + 1
    close(directory)
    return 0


cdef inline int read_either(
    Lookup *lookup, Job *job, const char *root, int directory, const char *name,
    size_t length, Straight *straight, Found *found, Problem *problem
) noexcept nogil:
    # Read a file under the first of the extensions that is there: always in the
    # same order, so that it does not matter what was read before.
    cdef int i, result
    for i in range(lookup.n_endings):
        problem.error = 0
        found.ending = i
        if not set_name(lookup, name, length, i):
            problem.error = ENAMETOOLONG
            return fail(problem, "cannot be opened")
        # A path of several components may lead through links, too.
        if root != NULL and strchr(lookup.name, b"/") != NULL:
            problem.error = ELOOP
            result = -1
        else:
            result = read_file(
                directory, lookup.name, lookup.limit, &lookup.input, found.start,
                straight, &found.size, &job.mark, problem)
        if result and problem.error == ELOOP:
            problem.error = 0
            result = follow(root, job.directory, lookup.name, lookup.path, problem)
            if result == 0:
                result = read_file(
                    AT_FDCWD, lookup.path, lookup.limit, &lookup.input, found.start,
                    straight, &found.size, &job.mark, problem)
        if result == 0:
            job.mark ^= <uint64_t>i
            return 0
        if problem.error != ENOENT:
            return -1
    set_name(lookup, name, length, 0)
    return -1


cdef inline int read_files(
    Lookup *lookup, Job *job, const Format *format, Problem *problem
) noexcept nogil:
    """Read all files of a patch, one behind the other, and stamp its mark; 0, or -1."""
    cdef int f, directory = enter(lookup, job, problem)
    cdef uint64_t at = 0
    cdef const char *name = job.names
    cdef size_t length
    if directory < 0:
        return -1
    for f in range(format.files):
        length = strlen(name)
        lookup.found[f].start = at
        if read_either(
            lookup, job, format.root, directory, name, length, &format.straight[f],
            &lookup.found[f], problem
        ):
            close(directory)
            return -1
        at += lookup.found[f].size
        name += length + 1
    close(directory)
    return 0
