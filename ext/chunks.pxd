# The strips or tiles of an image: how they lie over it, and where their bytes are. Every size is
# computed in 64 bits and held to a limit before anything is allocated. TIFF 6.0, sections 3 and 15.

from libc.stdint cimport uint8_t, uint64_t

from image cimport Image, NONE, SEPARATE
from problem cimport Problem, fail, fail2, fail3
from tags cimport Source, inside, is_count, value


cdef inline int chunk_table(
    const Source *source, Image *image, uint64_t rows, uint64_t tile_width,
    uint64_t tile_height, uint64_t limit, Problem *problem
) noexcept nogil:
    """Lay the strips or tiles over the image and check that the file lists them all."""
    if image.tiled:
        if tile_width == 0 or tile_height == 0:
            return fail(problem, "the tiles have no size")
        image.chunk_width = tile_width
        image.chunk_height = tile_height
    else:
        if rows == 0:
            return fail(problem, "RowsPerStrip is 0")
        image.chunk_width = image.width
        image.chunk_height = min(rows, image.height)
    # Sides are below 2**32, samples below 2**16, the limit below 2**45: no step passes 2**64.
    if (
        image.chunk_width * image.chunk_height > limit
        or image.chunk_width * image.chunk_height * image.samples * image.itemsize > limit
    ):
        return fail3(
            problem, "a strip or tile of %llu x %llu pixels would take more than %llu bytes "
            "(see --max-file-size)",
            image.chunk_width, image.chunk_height, limit)
    image.across = (image.width + image.chunk_width - 1) // image.chunk_width
    image.down = (image.height + image.chunk_height - 1) // image.chunk_height
    image.chunks = image.across * image.down
    # What tiles hold beyond the image is decoded, too: not for ever.
    if image.down * image.chunk_height > (
        4 * limit // (image.samples * image.itemsize) // (image.across * image.chunk_width)
    ):
        return fail3(
            problem, "strips or tiles of %llu x %llu pixels hold far more than the image; to "
            "decode them all would take more than %llu bytes",
            image.chunk_width, image.chunk_height, 4 * limit)
    if image.planar == SEPARATE:
        image.chunks *= image.samples
    if (image.offsets.count and not is_count(&image.offsets)) or (
        image.counts.count and not is_count(&image.counts)
    ):
        return fail(problem, "the offsets or byte counts of the strips or tiles are not whole "
                    "numbers")
    if image.offsets.count < image.chunks:
        return fail2(
            problem, "the image needs %llu strips or tiles, the file lists %llu",
            image.chunks, image.offsets.count)
    # Files without byte counts exist, and uncompressed ones can be read all the same.
    if image.counts.count == 0 and image.compression == NONE:
        return 0
    if image.counts.count < image.chunks:
        return fail2(
            problem, "the image needs %llu strips or tiles, the file has the byte "
            "counts of %llu", image.chunks, image.counts.count)
    return 0


cdef inline int find_chunk(
    const Source *source, const Image *image, uint64_t i, uint64_t expected,
    uint64_t whole, const uint8_t **data, uint64_t *size, Problem *problem
) noexcept nogil:
    """Where the bytes of the i-th strip or tile lie, checked against the file.

    ``data`` is NULL for a sparse one (no offset, no bytes). ``expected`` is
    its size when uncompressed, ``whole`` that of a strip with all its rows,
    as which some writers store the last one, too.
    """
    cdef uint64_t at = value(source, &image.offsets, i)
    size[0] = value(source, &image.counts, i) if image.counts.count else expected
    data[0] = NULL
    if at == 0 and size[0] == 0:
        return 0
    # GDAL and tifffile take the first for a sparse one; but then it would have no offset either.
    if size[0] == 0:
        return fail2(
            problem, "strip or tile %llu has an offset (%llu), but its byte count is 0", i, at)
    if at == 0:
        return fail2(
            problem, "strip or tile %llu has a byte count (%llu), but its offset is 0", i, size[0])
    if at < 8 or not inside(source, at, size[0]):
        return fail3(
            problem, "strip or tile %llu is said to be %llu bytes at byte %llu, which is not "
            "inside the file: it is cut short or damaged", i, size[0], at)
    if image.compression == NONE and size[0] not in (expected, whole):
        return fail3(
            problem, "strip or tile %llu has %llu bytes, not the %llu of its pixels",
            i, size[0], expected)
    data[0] = source.data + at
    return 0
