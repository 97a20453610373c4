# Symbolic links in the place of files: followed inside their source, and nowhere else.

from libc.errno cimport errno
from libc.stdio cimport snprintf
from libc.string cimport strlen, strncmp

from problem cimport OUTSIDE, Problem, fail, fail_as

cdef extern from "<stdlib.h>" nogil:
    char *realpath(const char *path, char *resolved)

cdef enum:
    PATH = 4096          # PATH_MAX of Linux, which realpath writes at most


cdef inline int follow(
    const char *root, const char *directory, const char *name, char *resolved, Problem *problem
) noexcept nogil:
    """Find the file that a link leads to; 0, or -1 if it is not below the root.

    The path that results had no links in it when it was looked at. Whoever opens it
    without following any does not follow one in the place of the file, but may well
    follow one that has come into the place of a directory on the way since then.
    """
    cdef char path[PATH]
    cdef size_t length
    if root == NULL:
        return fail(problem, "a symbolic link")
    if snprintf(path, sizeof(path), "%s/%s", directory, name) >= <int>sizeof(path):
        return fail(problem, "the path is too long")
    if realpath(path, resolved) == NULL:
        problem.error = errno
        return fail(problem, "cannot be followed")
    length = strlen(root)
    if strncmp(resolved, root, length) or (length > 1 and resolved[length] != b"/"):
        return fail_as(problem, OUTSIDE, "leads out of the source by a symbolic link")
    return 0
