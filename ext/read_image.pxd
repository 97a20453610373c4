# From the tags of a TIFF file in memory to its image. Every size is computed in 64 bits and held
# to a limit before anything is allocated. TIFF 6.0, sections 3 to 15.

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from chunks cimport chunk_table
from dtype cimport F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64
from image cimport INTERLEAVED, Image, NONE, OLD_JPEG, SEPARATE
from nodata cimport read_nodata
from problem cimport Problem, fail, fail1, fail2, fail3
from tags cimport Entry, Source, directory, get16, number, only_image, open_source, take

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
