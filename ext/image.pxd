# What a TIFF file in memory says of its image. Every size is computed in 64 bits
# and held to a limit before anything is allocated. TIFF 6.0, sections 3 to 15.

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from dtype cimport DType, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64
from nodata cimport read_nodata
from problem cimport Problem, fail, fail1, fail2, fail3
from tags cimport (
    Entry, Source, directory, inside, is_count, number, only_image, open_source,
    get16, take, value,
)

cdef enum Compression:
    NONE = 1
    LZW = 5
    OLD_JPEG = 6
    ADOBE_DEFLATE = 8
    DEFLATE = 32946
    PACKBITS = 32773

cdef enum Photometric:
    CMYK = 5
    YCBCR = 6
    CIELAB = 8
    ICCLAB = 9
    ITULAB = 10
    LOGL = 32844
    LOGLUV = 32845

cdef enum SampleFormat:
    UNSIGNED = 1
    SIGNED = 2
    FLOAT = 3
    UNTYPED = 4          # read as unsigned, as GDAL does

cdef enum Layout:
    INTERLEAVED = 1      # PlanarConfiguration: the samples of a pixel together
    SEPARATE = 2         # PlanarConfiguration: one plane per sample

cdef struct Image:
    uint64_t width       # pixels
    uint64_t height      # pixels
    uint64_t samples     # bands
    uint64_t itemsize    # bytes of a sample
    uint64_t chunk_width     # of a strip or tile, in pixels
    uint64_t chunk_height    # of a strip or tile, in pixels
    uint64_t across      # strips or tiles side by side
    uint64_t down        # strips or tiles one below the other
    uint64_t chunks      # strips or tiles in all, those of all planes
    Entry offsets        # of the strips or tiles
    Entry counts         # bytes of the strips or tiles
    uint64_t end         # of all directories, if there is one only; else of any file
    uint16_t compression
    uint16_t predictor
    uint16_t fill_order
    uint16_t planar
    DType dtype
    bint tiled
    uint8_t nodata[8]    # a sample with the nodata value, else 0


cdef inline int sample_type(
    Image *image, uint64_t bits, uint64_t form, Problem *problem
) noexcept nogil:
    image.itemsize = bits // 8
    if form in (UNSIGNED, UNTYPED) and bits in (8, 16, 32, 64):
        image.dtype = U8 if bits == 8 else U16 if bits == 16 else U32 if bits == 32 else U64
    elif form == SIGNED and bits in (8, 16, 32, 64):
        image.dtype = I8 if bits == 8 else I16 if bits == 16 else I32 if bits == 32 else I64
    elif form == FLOAT and bits in (16, 32, 64):
        image.dtype = F16 if bits == 16 else F32 if bits == 32 else F64
    elif form in (UNSIGNED, UNTYPED):
        return fail1(problem, "samples of %llu bits are not supported "
                     "(whole numbers: 8, 16, 32 or 64 bits)", bits)
    elif form == SIGNED:
        return fail1(problem, "signed samples of %llu bits are not supported "
                     "(whole numbers: 8, 16, 32 or 64 bits)", bits)
    elif form == FLOAT:
        return fail1(problem, "floating-point samples of %llu bits are not supported "
                     "(16, 32 or 64 bits are)", bits)
    else:
        return fail1(problem, "the sample format %llu is not supported "
                     "(5 and 6 are complex numbers)", form)
    return 0


cdef inline int colours(
    uint64_t photometric, uint64_t bits, Problem *problem
) noexcept nogil:
    """Refuse what GDAL would convert: the pixels as stored would not be what users know."""
    # GDAL leaves CMYK of more than 8 bits as it is.
    if photometric == CMYK and bits == 8:
        return fail(problem, "CMYK images are not supported: their colours would have "
                    "to be converted")
    if photometric == YCBCR:
        return fail(problem, "YCbCr images are not supported: their colours would have "
                    "to be converted")
    if photometric in (CIELAB, ICCLAB, ITULAB):
        return fail(problem, "L*a*b* images are not supported: their colours would have "
                    "to be converted")
    if photometric in (LOGL, LOGLUV):
        return fail(problem, "LogL and LogLuv images are not supported: their colours "
                    "would have to be converted")
    return 0


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


cdef enum:
    # The tags that matter for pixels, by their place in a table of entries.
    WIDTH, HEIGHT, DEPTH, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, SAMPLES,
    ROWS_PER_STRIP, STRIP_COUNTS, PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES,
    TILE_COUNTS, SAMPLE_FORMAT, DEEP, NODATA, TAGS


cdef inline int place(uint16_t tag) noexcept nogil:
    """The place of a tag in the table, TAGS for one that does not matter."""
    if tag == 256:
        return WIDTH
    if tag == 257:
        return HEIGHT
    if tag == 258:
        return DEPTH
    if tag == 259:
        return COMPRESSION
    if tag == 262:
        return PHOTOMETRIC
    if tag == 266:
        return FILL_ORDER
    if tag == 273:
        return STRIPS
    if tag == 277:
        return SAMPLES
    if tag == 278:
        return ROWS_PER_STRIP
    if tag == 279:
        return STRIP_COUNTS
    if tag == 284:
        return PLANAR
    if tag == 317:
        return PREDICTOR
    if tag == 322:
        return TILE_WIDTH
    if tag == 323:
        return TILE_HEIGHT
    if tag == 324:
        return TILES
    if tag == 325:
        return TILE_COUNTS
    if tag == 339:
        return SAMPLE_FORMAT
    if tag == 32997:
        return DEEP
    if tag == 42113:
        return NODATA
    return TAGS


cdef inline int read_image(
    Source *source, const uint8_t *data, uint64_t size, uint64_t limit,
    Image *image, Problem *problem
) noexcept nogil:
    """Learn the image of the TIFF file in ``data``.

    Returns 0, or -1 with what is wrong in ``problem``. After 0, all sizes in
    ``image`` are small enough to compute with, the pixels take at most
    ``limit`` bytes, and the tables of offsets and byte counts lie inside the
    file; where a strip or tile lies is checked when it is decoded.
    """
    cdef Entry tags[TAGS]
    cdef uint64_t at, entries, count, next_at, i, where, bits, form, photometric
    cdef uint64_t compression, predictor, fill_order, planar, rows, tile_width, tile_height, depth
    cdef int tag
    memset(tags, 0, sizeof(tags))
    if open_source(source, data, size, &at, problem):
        return -1
    if directory(source, at, &entries, &count, &next_at, problem):
        return -1
    image.end = ~<uint64_t>0
    if next_at == 0:
        image.end = entries + count * (20 if source.big else 12) + (8 if source.big else 4)
    for i in range(count):
        where = entries + i * (20 if source.big else 12)
        tag = place(get16(source, where))
        if tag != TAGS and take(source, where, &tags[tag], problem):
            return -1
    if (
        number(source, &tags[WIDTH], 0, 0xFFFFFFFF, "ImageWidth", &image.width, problem)
        or number(source, &tags[HEIGHT], 0, 0xFFFFFFFF, "ImageLength", &image.height, problem)
        or number(source, &tags[SAMPLES], 1, 0xFFFF, "SamplesPerPixel", &image.samples, problem)
        or number(source, &tags[DEPTH], 1, 0xFFFF, "BitsPerSample", &bits, problem)
        or number(source, &tags[SAMPLE_FORMAT], UNSIGNED, 0xFFFF, "SampleFormat", &form, problem)
        or number(source, &tags[COMPRESSION], NONE, 0xFFFF, "Compression", &compression, problem)
        or number(source, &tags[PREDICTOR], 1, 0xFFFF, "Predictor", &predictor, problem)
        or number(source, &tags[FILL_ORDER], 1, 0xFFFF, "FillOrder", &fill_order, problem)
        or number(source, &tags[PLANAR], INTERLEAVED, 0xFFFF, "PlanarConfiguration", &planar,
                  problem)
        or number(source, &tags[PHOTOMETRIC], 1, 0xFFFF, "PhotometricInterpretation",
                  &photometric, problem)
        or number(source, &tags[ROWS_PER_STRIP], 0xFFFFFFFF, 0xFFFFFFFF, "RowsPerStrip", &rows,
                  problem)
        or number(source, &tags[TILE_WIDTH], 0, 0xFFFFFFFF, "TileWidth", &tile_width, problem)
        or number(source, &tags[TILE_HEIGHT], 0, 0xFFFFFFFF, "TileLength", &tile_height, problem)
        or number(source, &tags[DEEP], 1, 0xFFFFFFFF, "ImageDepth", &depth, problem)
    ):
        return -1
    image.compression = <uint16_t>compression
    image.predictor = <uint16_t>predictor
    image.fill_order = <uint16_t>fill_order
    image.planar = <uint16_t>planar
    image.tiled = tags[TILE_WIDTH].count > 0 or tags[TILE_HEIGHT].count > 0
    if (tags[TILES].count and tags[STRIPS].count) or (
        tags[TILE_COUNTS].count and tags[STRIP_COUNTS].count
    ):
        return fail(problem, "the file has a table of strips and one of tiles")
    # The tables of tiles may stand under the names of those of strips, as libtiff allows.
    image.offsets = tags[TILES] if tags[TILES].count else tags[STRIPS]
    image.counts = tags[TILE_COUNTS] if tags[TILE_COUNTS].count else tags[STRIP_COUNTS]

    if image.width == 0 or image.height == 0 or image.samples == 0:
        return fail3(
            problem, "the image has no pixels (%llu x %llu, %llu bands)",
            image.width, image.height, image.samples)
    if 1 < tags[DEPTH].count < image.samples:
        return fail2(
            problem, "BitsPerSample has %llu values for %llu bands", tags[DEPTH].count,
            image.samples)
    if image.planar not in (INTERLEAVED, SEPARATE):
        return fail1(problem, "PlanarConfiguration is %llu, neither 1 nor 2", image.planar)
    if image.fill_order not in (1, 2):
        return fail1(problem, "FillOrder is %llu, neither 1 nor 2", image.fill_order)
    if colours(photometric, bits, problem):
        return -1
    if depth != 1:
        return fail1(problem, "ImageDepth is %llu: volumes are not supported", depth)
    if image.compression == OLD_JPEG:
        return fail(problem, "old-style JPEG compression is not supported")
    if sample_type(image, bits, form, problem):
        return -1
    if (
        image.width * image.height > limit
        or image.width * image.height * image.samples * image.itemsize > limit
    ):
        return fail3(
            problem, "the image of %llu x %llu pixels would take more than %llu bytes "
            "(see --max-file-size)",
            image.width, image.height, limit)
    if chunk_table(source, image, rows, tile_width, tile_height, limit, problem):
        return -1
    read_nodata(source, &tags[NODATA], image.dtype, image.itemsize, image.nodata)
    return only_image(source, next_at, problem)


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
