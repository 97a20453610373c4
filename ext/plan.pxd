# What the values of one format look like whose files have certain shapes.

from libc.stdint cimport uint64_t

from dtype cimport DType
from image cimport Image

cdef struct Shape:
    uint64_t width
    uint64_t height
    uint64_t size        # of a band, in bytes
    DType dtype

cdef struct Plan:
    # How the values of one format whose files have certain shapes are laid out.
    const char *header
    uint64_t length      # of the header, in bytes
    uint64_t size        # of the whole value, in bytes
    uint64_t *offsets    # of the bands, from the start of the value
    Shape *shapes        # of the files
    int files


cdef inline bint fits(const Plan *plan, const Image *images) noexcept nogil:
    """Whether the images have the shapes and types that the plan is for."""
    cdef int f
    for f in range(plan.files):
        if (
            plan.shapes[f].width != images[f].width
            or plan.shapes[f].height != images[f].height
            or plan.shapes[f].dtype != images[f].dtype
        ):
            return False
    return True
