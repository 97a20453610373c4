# What went wrong, in words: filled in without the GIL, raised with it.

from libc.stdio cimport snprintf

cdef struct Problem:
    int error            # errno, where the system said no; else 0
    char text[400]


cdef inline int fail(Problem *problem, const char *text) noexcept nogil:
    """Note what is wrong and return -1, so that ``return fail(...)`` reads as it acts."""
    snprintf(problem.text, sizeof(problem.text), "%s", text)
    return -1


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
