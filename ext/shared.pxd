# A libtiff handle that decodes the strips and tiles of many files. libtiff's
# opening of a file costs more than its pixels, and a codec only needs to know how
# many rows of how many bytes to make: so one handle, over a header of our own,
# serves all files whose strips or tiles have the same size and compression. Byte
# order and predictors, which it is not told of, are left to `samples`.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from handle cimport Handle, close_handle, complain, open_memory
from libtiff cimport TIFFReadFromUserBuffer, tmsize_t
from problem cimport Problem, fail

cdef enum:
    # Layouts with a handle of their own per thread; more share these in turn.
    KEPT = 8
    ENTRIES = 8          # tags of the header of our own
    HEADER = 8 + 2 + ENTRIES * 12 + 4

cdef enum SelfContained:
    # The codecs whose data need no more than themselves (JPEG and LERC have tags).
    PACKBITS_CODEC = 32773
    LZMA_CODEC = 34925
    ZSTD_CODEC = 50000

cdef struct Shared:
    Handle handle
    uint8_t header[HEADER]
    uint64_t row         # bytes of a row of a strip or tile
    uint64_t rows
    uint16_t compression

cdef struct SharedHandles:
    Shared kept[KEPT]
    int next             # the one to give away when all are taken


cdef inline bint self_contained(uint16_t compression) noexcept nogil:
    return compression in (PACKBITS_CODEC, LZMA_CODEC, ZSTD_CODEC)


cdef inline void put16(uint8_t *to, uint16_t value) noexcept nogil:
    to[0] = value & 0xFF
    to[1] = value >> 8


cdef inline uint8_t *put_tag(
    uint8_t *to, uint16_t tag, uint32_t value
) noexcept nogil:
    # One value of the type LONG (TIFF 6.0, section 2); the place of the next tag.
    put16(to, tag)
    put16(to + 2, 4)
    to[4] = 1
    put16(to + 8, value & 0xFFFF)
    put16(to + 10, value >> 16)
    return to + 12


cdef inline void write_header(Shared *shared) noexcept nogil:
    # A grey image of one strip; where that lies is of no interest.
    cdef uint8_t *to = shared.header
    memset(to, 0, HEADER)
    to[0] = to[1] = c"I"
    put16(to + 2, 42)
    put16(to + 4, 8)
    put16(to + 8, ENTRIES)
    to = put_tag(to + 10, 256, <uint32_t>shared.row)
    to = put_tag(to, 257, <uint32_t>shared.rows)
    to = put_tag(to, 258, 8)
    to = put_tag(to, 259, shared.compression)
    to = put_tag(to, 262, 1)
    to = put_tag(to, 273, 8)
    to = put_tag(to, 278, <uint32_t>shared.rows)
    put_tag(to, 279, 8)


cdef inline Shared *find_shared(
    SharedHandles *handles, uint16_t compression, uint64_t row, uint64_t rows, uint64_t limit,
    Problem *problem
) noexcept nogil:
    """The handle for strips or tiles of ``rows`` rows of ``row`` bytes; NULL if there is none."""
    cdef int i
    cdef Shared *shared
    for i in range(KEPT):
        shared = &handles.kept[i]
        if (
            shared.handle.tiff != NULL and shared.row == row and shared.rows == rows
            and shared.compression == compression
        ):
            return shared
    # libtiff computes with signed sizes of 32 bits here and there.
    if row > 0x3FFFFFFF or rows > 0x3FFFFFFF:
        fail(problem, "too large for a shared handle")
        return NULL
    shared = &handles.kept[handles.next]
    handles.next = (handles.next + 1) % KEPT
    close_handle(&shared.handle)
    shared.row = row
    shared.rows = rows
    shared.compression = compression
    write_header(shared)
    if open_memory(&shared.handle, shared.header, HEADER, limit, problem):
        return NULL
    shared.handle.reading = True
    return shared


cdef inline int read_shared(
    Shared *shared, const uint8_t *data, uint64_t stored, uint8_t *to, uint64_t size,
    Problem *problem
) noexcept nogil:
    """Decode ``stored`` bytes to exactly ``size`` bytes; 0, or -1.

    A handle that has failed is closed: its codec may be in any state.
    """
    if (
        not TIFFReadFromUserBuffer(
            shared.handle.tiff, 0, <void *>data, <tmsize_t>stored, to, <tmsize_t>size)
        or shared.handle.complaints
    ):
        complain(&shared.handle, problem)
        close_handle(&shared.handle)
        return -1
    return 0


cdef inline void close_shared(SharedHandles *handles) noexcept nogil:
    cdef int i
    for i in range(KEPT):
        close_handle(&handles.kept[i].handle)
