# A libtiff handle over a file in memory. Its errors and warnings go to the
# struct, never to the process-wide handlers; no file is opened, no GIL needed.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdio cimport SEEK_CUR, SEEK_END, snprintf
from libc.string cimport memcpy, memset, strstr

from image cimport Image
from libtiff cimport (
    TIFF, TIFFClientOpenExt, TIFFClose, TIFFGetFieldDefaulted, TIFFIsTiled, TIFFOpenOptions,
    TIFFOpenOptionsAlloc, TIFFOpenOptionsFree, TIFFOpenOptionsSetErrorHandlerExtR,
    TIFFOpenOptionsSetMaxSingleMemAlloc, TIFFOpenOptionsSetWarningHandlerExtR,
    TIFFReadEncodedStrip, TIFFReadEncodedTile, TIFFStripSize64, TIFFTAG_BITSPERSAMPLE,
    TIFFTAG_COMPRESSION, TIFFTAG_IMAGELENGTH, TIFFTAG_IMAGEWIDTH, TIFFTAG_PLANARCONFIG,
    TIFFTAG_SAMPLESPERPIXEL, TIFFTileSize64, thandle_t, tmsize_t, toff_t, va_list,
)
from problem cimport Problem, fail
from tags cimport Source

cdef extern from "<stdio.h>" nogil:
    int vsnprintf(char *, size_t, const char *, va_list)

cdef struct Handle:
    TIFF *tiff
    const uint8_t *data  # the whole file
    uint64_t size
    uint64_t position
    int complaints       # errors, and warnings once the pixels are read
    bint reading         # the directory has been read, the pixels are being read
    char text[300]       # the first complaint


# ---- callbacks ------------------------------------------------------------

cdef inline tmsize_t memory_read(thandle_t of, void *to, tmsize_t n) noexcept nogil:
    cdef Handle *handle = <Handle *>of
    cdef uint64_t rest = 0
    if handle.position < handle.size:
        rest = handle.size - handle.position
    if <uint64_t>n < rest:
        rest = <uint64_t>n
    memcpy(to, handle.data + handle.position, rest)
    handle.position += rest
    return <tmsize_t>rest


cdef inline tmsize_t memory_write(thandle_t of, void *data, tmsize_t n) noexcept nogil:
    return -1


cdef inline toff_t memory_seek(thandle_t of, toff_t to, int whence) noexcept nogil:
    cdef Handle *handle = <Handle *>of
    if whence == SEEK_CUR:
        to += handle.position
    elif whence == SEEK_END:
        to += handle.size
    handle.position = to
    return to


cdef inline int memory_close(thandle_t of) noexcept nogil:
    return 0


cdef inline toff_t memory_size(thandle_t of) noexcept nogil:
    return (<Handle *>of).size


cdef inline int memory_map(thandle_t of, void **data, toff_t *size) noexcept nogil:
    # A mapped file lets libtiff decode from where the bytes are, and makes it
    # check every strip against the file's end.
    data[0] = <void *>(<Handle *>of).data
    size[0] = (<Handle *>of).size
    return 1


cdef inline void memory_unmap(thandle_t of, void *data, toff_t size) noexcept nogil:
    pass


cdef inline int on_error(
    TIFF *tiff, void *of, const char *module, const char *form, va_list values
) noexcept nogil:
    cdef Handle *handle = <Handle *>of
    if handle.complaints == 0:
        vsnprintf(handle.text, sizeof(handle.text), form, values)
    handle.complaints += 1
    return 1


cdef inline int on_warning(
    TIFF *tiff, void *of, const char *module, const char *form, va_list values
) noexcept nogil:
    # Before the pixels: unknown tags and the like. With the pixels: damage that
    # the codec papered over; that LZW data are of the old style is no damage.
    if (<Handle *>of).reading and strstr(form, "Old-style LZW") == NULL:
        return on_error(tiff, of, module, form, values)
    return 1


# ---- the handle -----------------------------------------------------------

cdef inline int complain(const Handle *handle, Problem *problem) noexcept nogil:
    if handle.complaints == 0:
        return fail(problem, "libtiff fails without saying why")
    snprintf(problem.text, sizeof(problem.text), "libtiff: %s", handle.text)
    return -1


cdef inline bint agrees(TIFF *tiff, const Image *image) noexcept nogil:
    """Whether libtiff has understood the file as our reader of tags has."""
    cdef uint32_t width = 0, height = 0
    cdef uint16_t bits = 0, samples = 0, compression = 0, planar = 0
    TIFFGetFieldDefaulted(tiff, TIFFTAG_IMAGEWIDTH, &width)
    TIFFGetFieldDefaulted(tiff, TIFFTAG_IMAGELENGTH, &height)
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits)
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples)
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression)
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar)
    cdef uint64_t chunk = image.chunk_width * image.chunk_height * image.itemsize
    if image.planar == 1:
        chunk *= image.samples
    return (
        width == image.width and height == image.height and bits == image.itemsize * 8
        and samples == image.samples and compression == image.compression
        and (planar == image.planar or samples == 1)
        and (TIFFIsTiled(tiff) != 0) == image.tiled
        and (TIFFTileSize64(tiff) if image.tiled else TIFFStripSize64(tiff)) == chunk)


cdef inline int open_memory(
    Handle *handle, const uint8_t *data, uint64_t size, uint64_t limit, Problem *problem
) noexcept nogil:
    """Open a file in memory; 0, or -1. Handle and data must stay where they are."""
    memset(handle, 0, sizeof(Handle))
    handle.data = data
    handle.size = size
    cdef TIFFOpenOptions *options = TIFFOpenOptionsAlloc()
    if options == NULL:
        return fail(problem, "out of memory")
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, handle)
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, handle)
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, <tmsize_t>(limit + (1 << 20)))
    # "c": strips as they are in the file, not chopped into smaller ones.
    handle.tiff = TIFFClientOpenExt(
        "", "rc", handle, memory_read, memory_write, memory_seek, memory_close,
        memory_size, memory_map, memory_unmap, options)
    TIFFOpenOptionsFree(options)
    if handle.tiff == NULL or handle.complaints:
        close_handle(handle)
        return complain(handle, problem)
    return 0


cdef inline int open_handle(
    Handle *handle, const Source *source, const Image *image, uint64_t limit,
    Problem *problem
) noexcept nogil:
    """Open the file in ``source`` in the ordinary way; 0, or -1."""
    if open_memory(handle, source.data, source.size, limit, problem):
        return -1
    if not agrees(handle.tiff, image):
        close_handle(handle)
        return fail(problem, "libtiff understands the file differently: its tags are damaged")
    handle.reading = True
    return 0


cdef inline void close_handle(Handle *handle) noexcept nogil:
    if handle.tiff != NULL:
        TIFFClose(handle.tiff)
    handle.tiff = NULL


cdef inline int read_chunk(
    Handle *handle, const Image *image, uint64_t i, uint8_t *to, uint64_t size,
    Problem *problem
) noexcept nogil:
    """Decode the i-th strip or tile, ``size`` bytes exactly, to ``to``; 0, or -1.

    libtiff's success is not taken as proof: a complaint or a short chunk is a
    failure too.
    """
    cdef tmsize_t n
    if image.tiled:
        n = TIFFReadEncodedTile(handle.tiff, <uint32_t>i, to, <tmsize_t>size)
    else:
        n = TIFFReadEncodedStrip(handle.tiff, <uint32_t>i, to, <tmsize_t>size)
    if n < 0 or handle.complaints:
        return complain(handle, problem)
    if <uint64_t>n != size:
        snprintf(problem.text, sizeof(problem.text),
                 "strip or tile %llu decodes to %llu bytes, not %llu",
                 <unsigned long long>i, <unsigned long long>n, <unsigned long long>size)
        return -1
    return 0
