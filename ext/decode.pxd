# From the strips and tiles of a file in memory to the planes of its bands. The
# strips of uncompressed and of deflate files are decoded here (deflate by
# libdeflate, which holds every strip to its checksum), and those of LZW; those of
# zstd and the like through a handle of libtiff that many files share. For all else,
# and what fails in these two ways, libtiff opens the file itself. That is the ordinary way, and the
# only one where it is asked for.

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from chunks cimport find_chunk
from dtype cimport DType
from file cimport Buffer, ensure
from handle cimport Handle, close_handle, open_handle, read_chunk
from image cimport ADOBE_DEFLATE, DEFLATE, INTERLEAVED, Image, LZW, NONE, PACKBITS
from libdeflate cimport (
    LIBDEFLATE_INSUFFICIENT_SPACE, LIBDEFLATE_SUCCESS, libdeflate_alloc_decompressor,
    libdeflate_decompressor, libdeflate_free_decompressor, libdeflate_zlib_decompress_ex,
)
from libtiff cimport TIFFIsCODECConfigured, TIFFReverseBits
from lzw cimport Strings, open_strings, unpack
from problem cimport Problem, fail, fail1, fail2, fail3
from samples cimport fill, scatter, swap_bytes, undo_floating, undo_horizontal
from shared cimport (
    Shared, SharedHandles, close_shared, find_shared, read_shared, self_contained,
)
from tags cimport Source, value as entry_value
from webp cimport WEBP, is_webp

cdef enum:
    # Deflate makes at most 1,032 bytes of one (RFC 1951: 258 bytes of 2 bits).
    MOST_DEFLATED = 1100

cdef struct Workspace:
    # What decoding needs besides its input and output; one per thread.
    libdeflate_decompressor *inflater
    Buffer chunk         # a decoded strip or tile
    Buffer spare         # a row, or a strip with its bits reversed
    SharedHandles handles
    Strings strings
    uint64_t limit       # bytes that libtiff may allocate at once
    bint ordinary        # leave everything to libtiff


cdef inline uint64_t chunk_size(const Image *image) noexcept nogil:
    """Decoded bytes of a strip with all its rows, or of a tile."""
    cdef uint64_t size = image.chunk_width * image.chunk_height * image.itemsize
    return size * image.samples if image.planar == INTERLEAVED else size


cdef inline int plausible(
    const Source *source, const Image *image, Problem *problem
) noexcept nogil:
    """Refuse a file whose pixels its bytes cannot hold, before memory is taken for them."""
    cdef uint64_t size = image.width * image.height * image.samples * image.itemsize
    cdef uint64_t i, stored = 0
    if image.compression not in (NONE, ADOBE_DEFLATE, DEFLATE):
        return 0
    if size <= MOST_DEFLATED * source.size:
        return 0
    for i in range(image.chunks):
        if entry_value(source, &image.offsets, i) or (
            image.counts.count and entry_value(source, &image.counts, i)
        ):
            stored += 1
    # Sparse strips and tiles take no bytes; the last one may be a small one.
    if image.chunks == stored == 1 or (
        stored and (stored - 1) * (size // image.chunks) > MOST_DEFLATED * source.size
    ):
        return fail2(
            problem, "the image would take %llu bytes, which %llu bytes of file cannot hold",
            size, source.size)
    return 0


cdef inline int open_workspace(
    Workspace *space, uint64_t limit, bint ordinary
) noexcept nogil:
    memset(space, 0, sizeof(Workspace))
    space.limit = limit
    space.ordinary = ordinary
    open_strings(&space.strings)
    space.inflater = libdeflate_alloc_decompressor()
    return 0 if space.inflater != NULL else -1


cdef inline void close_workspace(Workspace *space) noexcept nogil:
    free(space.chunk.data)
    free(space.spare.data)
    close_shared(&space.handles)
    if space.inflater != NULL:
        libdeflate_free_decompressor(space.inflater)
    memset(space, 0, sizeof(Workspace))


cdef inline int inflate(
    Workspace *space, const Image *image, uint64_t i, const uint8_t *data, uint64_t stored,
    uint8_t *to, uint64_t size, Problem *problem
) noexcept nogil:
    # zlib data, held to its size and its checksum (RFC 1950): libtiff accepts
    # damaged strips that this finds out.
    cdef size_t read_ = 0, written = 0
    cdef int result = libdeflate_zlib_decompress_ex(
        space.inflater, data, stored, to, size, &read_, &written)
    cdef uint64_t whole = chunk_size(image)
    if result == LIBDEFLATE_INSUFFICIENT_SPACE and whole > size:
        # The last strip, which some writers store with all of its rows.
        if ensure(&space.spare, stored + whole, problem):
            return -1
        if image.fill_order == 2:
            data = space.spare.data
        result = libdeflate_zlib_decompress_ex(
            space.inflater, data, stored, space.spare.data + stored, whole, &read_, &written)
        if result == LIBDEFLATE_SUCCESS and written == whole:
            memcpy(to, space.spare.data + stored, size)
            written = size
    if result == LIBDEFLATE_INSUFFICIENT_SPACE:
        return fail2(problem, "strip or tile %llu decodes to more than its %llu bytes",
                     i, size)
    if result != LIBDEFLATE_SUCCESS:
        return fail1(problem, "strip or tile %llu is damaged (its deflate data do not "
                     "match their checksum or are not valid)", i)
    if written != size:
        return fail3(problem, "strip or tile %llu decodes to %llu bytes, not %llu",
                     i, written, size)
    if read_ != stored:
        return fail3(problem, "strip or tile %llu has %llu bytes, of which its deflate "
                     "data take only %llu", i, stored, read_)
    return 0


cdef inline int decompress(
    Workspace *space, const Source *source, const Image *image, uint64_t i, Shared *shared,
    const uint8_t *data, uint64_t stored, uint8_t *to, uint64_t size, uint64_t rows,
    uint64_t columns, Problem *problem
) noexcept nogil:
    # The samples of the i-th chunk, whose ``stored`` bytes are at ``data``, to
    # ``to``: exactly ``size`` bytes, in the machine's byte order. Right of
    # ``columns``, the samples may be anything.
    cdef uint64_t samples = image.samples if image.planar == INTERLEAVED else 1
    cdef uint64_t per_row = image.chunk_width * samples
    if image.fill_order == 2:
        if ensure(&space.spare, stored, problem):
            return -1
        memcpy(space.spare.data, data, stored)
        TIFFReverseBits(space.spare.data, <Py_ssize_t>stored)
        data = space.spare.data
    if image.compression == NONE:
        memcpy(to, data, size)
    elif shared != NULL:
        if read_shared(shared, data, stored, to, size, problem):
            return -1
    elif image.compression == LZW:
        if not unpack(&space.strings, data, stored, to, size):
            return fail(problem, "unusual LZW data")
    elif inflate(space, image, i, data, stored, to, size, problem):
        return -1
    if source.swap and (image.predictor != 3 or image.compression in (NONE, PACKBITS)):
        swap_bytes(to, rows * per_row, image.itemsize)
    # PackBits knows no predictors.
    if image.compression in (NONE, PACKBITS) or image.predictor == 1:
        return 0
    if image.predictor == 2:
        undo_horizontal(to, rows, per_row, columns * samples, samples, image.itemsize)
        return 0
    if image.predictor == 3 and image.dtype in (DType.F16, DType.F32, DType.F64):
        if ensure(&space.spare, per_row * image.itemsize, problem):
            return -1
        undo_floating(to, space.spare.data, rows, per_row, samples, image.itemsize)
        return 0
    return fail1(
        problem, "predictor %llu is not supported with samples of this type",
        image.predictor)


cdef inline int decode_chunk(
    Workspace *space, const Source *source, const Image *image, uint64_t i, Handle *handle,
    Shared *shared, uint8_t *value, const uint64_t *offsets, Problem *problem
) noexcept nogil:
    # Decode the i-th strip or tile: straight into place where its pixels
    # lie there as they do in the chunk, else by way of a buffer.
    cdef uint64_t per_plane = image.across * image.down
    cdef uint64_t first = i // per_plane         # band; 0 when interleaved
    cdef uint64_t x = i % per_plane % image.across * image.chunk_width
    cdef uint64_t y = i % per_plane // image.across * image.chunk_height
    cdef uint64_t rows = min(image.chunk_height, image.height - y)
    cdef uint64_t columns = min(image.chunk_width, image.width - x)
    cdef uint64_t samples = image.samples if image.planar == INTERLEAVED else 1
    # A tile is stored whole, a strip ends with the image. libtiff's LZW stops
    # where it is told to, so that rows below the image need not be decoded.
    cdef uint64_t stored_rows = (
        image.chunk_height if image.tiled and image.compression != LZW else rows)
    cdef uint64_t size = stored_rows * image.chunk_width * samples * image.itemsize
    cdef uint64_t whole = chunk_size(image)
    cdef uint64_t at = (y * image.width + x) * image.itemsize
    cdef uint64_t stored, s
    cdef const uint8_t *data
    cdef uint8_t *to
    if find_chunk(source, image, i, size, whole, &data, &stored, problem):
        return -1
    if data == NULL:
        for s in range(samples):
            fill(value + offsets[first + s] + at, image.width, rows, columns,
                 image.nodata, image.itemsize)
        return 0
    cdef bint in_place = (
        samples == 1 and image.chunk_width == image.width and stored_rows == rows)
    if in_place:
        to = value + offsets[first] + at
    else:
        if ensure(&space.chunk, size, problem):
            return -1
        to = space.chunk.data
    if image.compression == WEBP and not is_webp(data, stored, image.chunk_width, stored_rows):
        return fail1(problem, "strip or tile %llu is not a WebP image of its size", i)
    if handle != NULL:
        if read_chunk(handle, image, i, to, size, problem):
            return -1
    elif decompress(
        space, source, image, i, shared, data, stored, to, size, stored_rows, columns, problem
    ):
        return -1
    if in_place:
        return 0
    scatter(value, offsets + first, at, image.width, to, image.chunk_width, rows, columns,
            samples, image.itemsize)
    return 0


cdef inline int decode_ourselves(
    Workspace *space, const Source *source, const Image *image, uint8_t *value,
    const uint64_t *offsets, Problem *problem
) noexcept nogil:
    # Decode all strips or tiles without having libtiff open the file.
    cdef uint64_t i
    cdef uint64_t rows = image.chunk_height
    cdef Shared *shared = NULL
    if self_contained(image.compression):
        shared = find_shared(
            &space.handles, image.compression, chunk_size(image) // rows, rows, space.limit,
            problem)
        if shared == NULL:
            return -1
    for i in range(image.chunks):
        if decode_chunk(
            space, source, image, i, NULL, shared, value, offsets, problem
        ):
            return -1
    return 0


cdef inline int decode_ordinarily(
    Workspace *space, const Source *source, const Image *image, uint8_t *value,
    const uint64_t *offsets, Problem *problem
) noexcept nogil:
    # Have libtiff open the file and decode all strips or tiles.
    cdef Handle handle
    cdef uint64_t i
    cdef int result = 0
    if open_handle(&handle, source, image, space.limit, problem):
        return -1
    for i in range(image.chunks):
        result = decode_chunk(
            space, source, image, i, &handle, NULL, value, offsets, problem)
        if result:
            break
    close_handle(&handle)
    return result


cdef inline int decode(
    Workspace *space, const Source *source, const Image *image, uint8_t *value,
    const uint64_t *offsets, Problem *problem
) noexcept nogil:
    """Decode all strips or tiles; band b goes to value + offsets[b]. 0, or -1."""
    if not TIFFIsCODECConfigured(image.compression):
        return fail1(
            problem, "compression %llu is not among those that libtiff was "
            "compiled with", image.compression)
    if not space.ordinary:
        if image.compression in (NONE, ADOBE_DEFLATE, DEFLATE):
            return decode_ourselves(space, source, image, value, offsets, problem)
        # What fails here, libtiff may know better; if not, the error is its.
        if (
            image.compression == LZW or self_contained(image.compression)
        ) and decode_ourselves(space, source, image, value, offsets, problem) == 0:
            return 0
    return decode_ordinarily(space, source, image, value, offsets, problem)
