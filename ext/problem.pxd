# What went wrong, in words: filled in without the GIL, raised with it.

from libc.stdio cimport snprintf

# What kind of problem it is, for those that something is to be done about (`errors.Kind`).
cdef enum Kind:
    OTHER = 0
    NOT_TIFF = 1
    OTHER_BANDS = 2
    OUTSIDE = 3

cdef struct Problem:
    int error            # errno, where the system said no; else 0
    Kind kind
    char text[400]


cdef inline int fail(Problem *problem, const char *text) noexcept nogil:
    """Note what is wrong and return -1, so that ``return fail(...)`` reads as it acts."""
    snprintf(problem.text, sizeof(problem.text), "%s", text)
    return -1


cdef inline int fail_as(Problem *problem, Kind kind, const char *text) noexcept nogil:
    """``fail`` of a kind."""
    problem.kind = kind
    return fail(problem, text)


cdef inline int fail1(
    Problem *problem, const char *form, unsigned long long a
) noexcept nogil:
    """``fail`` with one number (``%llu``) in the text."""
    snprintf(problem.text, sizeof(problem.text), form, a)
    return -1


cdef inline int fail2(
    Problem *problem, const char *form, unsigned long long a, unsigned long long b
) noexcept nogil:
    """``fail`` with two numbers (``%llu``) in the text."""
    snprintf(problem.text, sizeof(problem.text), form, a, b)
    return -1


cdef inline int fail3(
    Problem *problem, const char *form,
    unsigned long long a, unsigned long long b, unsigned long long c
) noexcept nogil:
    """``fail`` with three numbers (``%llu``) in the text."""
    snprintf(problem.text, sizeof(problem.text), form, a, b, c)
    return -1
