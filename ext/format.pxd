# What is known of a format: which files its patches have, and how the last one was laid out.

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr

from plan cimport Plan
from straight cimport Straight
from task cimport Job

cdef struct Format:
    int files            # of a patch
    uint64_t *bands      # number of bands of each file
    Straight *straight   # of each file
    const Plan *plan     # of the value made last; NULL: not known
    const char *root     # of the source; NULL: links are not followed


cdef inline int open_format(Format *format, int files) noexcept nogil:
    """0, or -1 if there is no memory; what was taken until then is for `close_format`."""
    format.files = files
    format.bands = <uint64_t *>calloc(files, sizeof(uint64_t))
    format.straight = <Straight *>calloc(files, sizeof(Straight))
    return 0 if format.bands != NULL and format.straight != NULL else -1


cdef inline void close_format(Format *format) noexcept nogil:
    free(format.bands)
    free(format.straight)


cdef inline bint suits(const Format *format, const Job *job) noexcept nogil:
    """Whether there is a name for each file of the format, ended by a NUL, and no more."""
    cdef const char *name = job.names
    cdef int _f
    for _f in range(format.files):
        name = <const char *>memchr(name, 0, job.end - name)
        if name == NULL:
            return False
        name += 1
    return name == job.end


cdef inline void aim(Format *format, const Plan *plan, uint8_t *value) noexcept nogil:
    """Say where pixels that lie straight in their files are to be read to.

    Where they are in a value of that plan, or, without one, nowhere.
    """
    cdef Straight *straight
    cdef uint64_t band = 0
    cdef int f
    for f in range(format.files):
        straight = &format.straight[f]
        straight.to = NULL
        if plan != NULL and straight.head and plan.shapes[f].size == straight.pixels:
            straight.to = value + plan.offsets[band]
        band += format.bands[f]
