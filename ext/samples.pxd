# Samples in memory: byte order, predictors, and the way from a decoded strip or
# tile to the planes of the bands. Nothing here can fail.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "transpose.h" nogil:
    uint64_t transpose_row16(
        const uint16_t *row, uint64_t pixels, uint64_t samples, uint8_t **planes)

cdef enum:
    # Bands that are moved to their planes at the same time; more are moved one by one.
    TOGETHER = 32

ctypedef fused Word:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef inline uint32_t swapped(uint32_t w) noexcept nogil:
    cdef uint32_t odd = 0x00FF00FF
    w = (w >> 8 & odd) | (w & odd) << 8
    return w >> 16 | w << 16


cdef inline void swap_bytes(uint8_t *data, uint64_t n, uint64_t itemsize) noexcept nogil:
    """Turn ``n`` big-endian samples into little-endian ones, in place."""
    cdef uint64_t i
    cdef uint16_t *w16 = <uint16_t *>data
    cdef uint32_t *w32 = <uint32_t *>data
    cdef uint64_t *w64 = <uint64_t *>data
    if itemsize == 2:
        for i in range(n):
            w16[i] = <uint16_t>(w16[i] >> 8 | w16[i] << 8)
    elif itemsize == 4:
        for i in range(n):
            w32[i] = swapped(w32[i])
    elif itemsize == 8:
        for i in range(n):
            w64[i] = <uint64_t>swapped(<uint32_t>w64[i]) << 32 | swapped(<uint32_t>(w64[i] >> 32))


cdef inline void add_left(Word *row, uint64_t n, uint64_t stride) noexcept nogil:
    cdef uint64_t i
    cdef Word sum
    if stride == 1:
        sum = 0
        for i in range(n):
            sum += row[i]
            row[i] = sum
    else:
        for i in range(stride, n):
            row[i] += row[i - stride]


cdef inline void undo_horizontal(
    uint8_t *data, uint64_t rows, uint64_t pitch, uint64_t n, uint64_t stride,
    uint64_t itemsize
) noexcept nogil:
    """Undo predictor 2 (TIFF 6.0, section 14) in rows of ``pitch`` little-endian samples.

    A sample is the difference to the one ``stride`` samples to its left. Only
    the first ``n`` samples of each row are made good.
    """
    cdef uint64_t y
    for y in range(rows):
        if itemsize == 1:
            add_left(data + y * pitch, n, stride)
        elif itemsize == 2:
            add_left(<uint16_t *>data + y * pitch, n, stride)
        elif itemsize == 4:
            add_left(<uint32_t *>data + y * pitch, n, stride)
        else:
            add_left(<uint64_t *>data + y * pitch, n, stride)


cdef inline void undo_floating(
    uint8_t *data, uint8_t *spare, uint64_t rows, uint64_t n, uint64_t stride,
    uint64_t itemsize
) noexcept nogil:
    """Undo predictor 3 (TIFF technical note 3) in rows of ``n`` samples.

    A row holds all first (most significant) bytes, then all second ones, and
    so on, as differences; the file's byte order has no say in it. ``spare``
    has room for one row.
    """
    cdef uint64_t y, i, b
    cdef uint8_t *row
    for y in range(rows):
        row = data + y * n * itemsize
        add_left(row, n * itemsize, stride)
        memcpy(spare, row, n * itemsize)
        for b in range(itemsize):
            for i in range(n):
                row[i * itemsize + itemsize - 1 - b] = spare[b * n + i]


cdef inline void pick(
    Word *to, const Word *data, uint64_t n, uint64_t stride
) noexcept nogil:
    cdef uint64_t i
    for i in range(n):
        to[i] = data[i * stride]


cdef inline void scatter(
    uint8_t *value, const uint64_t *offsets, uint64_t at, uint64_t width,
    const uint8_t *chunk, uint64_t chunk_width, uint64_t rows, uint64_t columns,
    uint64_t samples, uint64_t itemsize
) noexcept nogil:
    """Copy the interleaved samples of a chunk to the planes of their bands.

    Band b's plane, of ``width`` columns, begins at ``value + offsets[b]``; the
    chunk's first pixel goes ``at`` bytes behind that. Of the chunk's rows of
    ``chunk_width`` pixels, ``rows`` x ``columns`` are inside the image.
    """
    cdef uint64_t y, s, here, done
    cdef const uint8_t *row
    cdef uint8_t *planes[TOGETHER]
    for y in range(rows):
        row = chunk + y * chunk_width * samples * itemsize
        here = at + y * width * itemsize
        if samples == 1:
            memcpy(value + offsets[0] + here, row, columns * itemsize)
            continue
        done = 0
        if itemsize == 2 and 8 <= samples <= TOGETHER:
            for s in range(samples):
                planes[s] = value + offsets[s] + here
            done = transpose_row16(<const uint16_t *>row, columns, samples, planes)
        for s in range(samples):
            pick_any(
                value + offsets[s] + here + done * itemsize,
                row + (done * samples + s) * itemsize, columns - done, samples, itemsize)


cdef inline void pick_any(
    uint8_t *to, const uint8_t *data, uint64_t n, uint64_t stride, uint64_t itemsize
) noexcept nogil:
    if itemsize == 1:
        pick(to, data, n, stride)
    elif itemsize == 2:
        pick(<uint16_t *>to, <const uint16_t *>data, n, stride)
    elif itemsize == 4:
        pick(<uint32_t *>to, <const uint32_t *>data, n, stride)
    else:
        pick(<uint64_t *>to, <const uint64_t *>data, n, stride)


cdef inline void fill(
    uint8_t *plane, uint64_t width, uint64_t rows, uint64_t columns,
    const uint8_t *sample, uint64_t itemsize
) noexcept nogil:
    """Set ``rows`` x ``columns`` pixels of a plane to one sample."""
    cdef uint64_t y, x
    for y in range(rows):
        for x in range(columns):
            memcpy(plane + (y * width + x) * itemsize, sample, itemsize)
