# Pixels that stand in their file as they will in the value: uncompressed, of one band,
# in the machine's byte order, strip behind strip up to the end of the file. They are
# read from the file to their final place. Where they begin must be known before, so
# it is guessed: as in the file that was read last for the same place of the format.
# The guess holds if the tags of the file at hand, which stand in front, say the same.

from libc.stdint cimport uint8_t, uint64_t

from image cimport Image, NONE
from tags cimport Source, value

cdef struct Straight:
    uint64_t head        # bytes in front of the pixels; 0: nothing is guessed
    uint64_t pixels      # bytes of the pixels
    uint8_t *to          # where the pixels of the file at hand are to be; NULL: nowhere yet
    bint done            # they were read there


cdef inline bint lies_straight(
    const Source *source, const Image *image, uint64_t file_size
) noexcept nogil:
    """Whether all pixels stand at the end of the file, as they will in the value."""
    cdef uint64_t at, i, size
    cdef uint64_t row = image.width * image.itemsize
    if (
        image.compression != NONE or image.samples != 1 or image.tiled
        or image.fill_order != 1 or (source.swap and image.itemsize > 1)
    ):
        return False
    at = value(source, &image.offsets, 0)
    # In front of the pixels, not in them, must it be said that there is no other page. (What a
    # strip without an offset means is left to those who decode strips.)
    if at < image.end:
        return False
    for i in range(image.chunks):
        size = row * min(image.chunk_height, image.height - i * image.chunk_height)
        if value(source, &image.offsets, i) != at or (
            image.counts.count and value(source, &image.counts, i) != size
        ):
            return False
        at += size
    return at == file_size


cdef inline bint holds(
    const Straight *straight, const Source *source, const Image *image
) noexcept nogil:
    """Whether pixels that were read on a guess are all pixels of the image.

    ``source`` ends where they begin, so that nothing was learnt from what is not there,
    and nothing that stands there would have been learnt from the whole file.
    """
    return (
        image.width * image.height * image.itemsize == straight.pixels
        and lies_straight(source, image, straight.head + straight.pixels)
        and value(source, &image.offsets, 0) == straight.head
    )


cdef inline void guess(
    Straight *straight, const Source *source, const Image *image
) noexcept nogil:
    """Take the next file to be like this one, all of which is in memory."""
    straight.head = 0
    if lies_straight(source, image, source.size):
        straight.head = value(source, &image.offsets, 0)
        straight.pixels = source.size - straight.head
