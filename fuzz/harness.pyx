# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""What a fuzzer calls: the C of `ext/` on one file in memory, without Python.

Each function takes the bytes of a file and returns when nothing is wrong; what
must not happen ends the process, and the fuzzer keeps the file.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from chunks cimport find_chunk
from decode cimport Workspace, close_workspace, decode, open_workspace, plausible
from handle cimport Handle, close_handle, open_handle
from image cimport ADOBE_DEFLATE, DEFLATE, NONE, Image
from problem cimport Problem
from read_image cimport read_image
from straight cimport Straight, holds
from tags cimport Source, value as entry_value

cdef enum:
    # Decoded bytes beyond which a file is refused: small, so that many are tried.
    LIMIT = 1 << 22


cdef void require(bint so, const char *what, const Problem *problem) noexcept nogil:
    if not so:
        fprintf(stderr, "it must be that %s (%s)\n", what, problem.text)
        abort()


cdef int understand(
    const uint8_t *data, uint64_t size, Source *source, Image *image, Problem *problem
) noexcept nogil:
    """Learn the image as `_tiff` does before it decodes; 0, or -1 with a reason."""
    cdef int result
    memset(problem, 0, sizeof(Problem))
    result = read_image(source, data, size, LIMIT, image, problem)
    if result == 0:
        result = plausible(source, image, problem)
    require(result == 0 or problem.text[0] != 0, "a refusal has a reason", problem)
    return result


cdef uint64_t plane_size(const Image *image) noexcept nogil:
    return image.width * image.height * image.itemsize


cdef uint64_t *planes(const Image *image) noexcept nogil:
    """Where the bands go: one behind the other."""
    cdef uint64_t *offsets = <uint64_t *>calloc(image.samples, sizeof(uint64_t))
    cdef uint64_t band
    if offsets == NULL:
        abort()
    for band in range(image.samples):
        offsets[band] = band * plane_size(image)
    return offsets


cdef uint8_t *room(const Image *image, int filled_with) noexcept nogil:
    """Memory for all bands and not a byte more, so that the sanitizer sees one too many."""
    cdef uint64_t size = plane_size(image) * image.samples
    cdef uint8_t *value = <uint8_t *>malloc(size)
    if value == NULL:
        abort()
    memset(value, filled_with, size)
    return value


cdef public int fuzz_tags(const uint8_t *data, size_t size) noexcept nogil:
    """The reader of tags, and where the strips or tiles lie."""
    cdef Source source
    cdef Image image
    cdef Problem problem
    cdef const uint8_t *chunk
    cdef uint64_t i, stored, expected
    if understand(data, size, &source, &image, &problem):
        return 0
    require(
        plane_size(&image) * image.samples <= LIMIT, "an accepted image is in the limit", &problem)
    expected = image.chunk_width * image.chunk_height * image.itemsize
    for i in range(image.chunks):
        if find_chunk(&source, &image, i, expected, expected, &chunk, &stored, &problem):
            continue
        require(
            chunk == NULL or (data <= chunk and stored <= <uint64_t>(data + size - chunk)),
            "a strip or tile lies in the file", &problem)
    return 0


# What a thread keeps from file to file, as it does in `_tiff`: shared handles, strings.
cdef Workspace kept


cdef Workspace *workspace() noexcept nogil:
    if kept.inflater == NULL and open_workspace(&kept, LIMIT, False):
        abort()
    return &kept


cdef public int fuzz_decode(const uint8_t *data, size_t size) noexcept nogil:
    """Decoding: in a workspace that has served many files as in a new one.

    And over different old bytes, so that one that is not written shows.
    """
    cdef Source source
    cdef Image image
    cdef Problem problem
    cdef Workspace fresh
    cdef uint8_t *values[2]
    cdef uint64_t *offsets
    cdef int results[2]
    cdef int i
    if understand(data, size, &source, &image, &problem):
        return 0
    offsets = planes(&image)
    if open_workspace(&fresh, LIMIT, False):
        abort()
    for i in range(2):
        values[i] = room(&image, 0xAA if i else 0x55)
        problem.text[0] = 0
        results[i] = decode(
            &fresh if i else workspace(), &source, &image, values[i], offsets, &problem)
        require(results[i] == 0 or problem.text[0] != 0, "a failure has a reason", &problem)
    require(results[0] == results[1], "what was decoded before has no say", &problem)
    require(
        results[0] or memcmp(values[0], values[1], plane_size(&image) * image.samples) == 0,
        "every byte of a value is written, and the same", &problem)
    close_workspace(&fresh)
    free(values[0])
    free(values[1])
    free(offsets)
    return 0


cdef uint64_t comparable(const Image *image) noexcept nogil:
    """Rows of which libtiff is right where it succeeds.

    Of a last strip that is stored with all its rows, which libdeflate finds too
    long, libtiff takes what was written for decoded, and the rest is old bytes.
    """
    if image.compression in (ADOBE_DEFLATE, DEFLATE) and not image.tiled:
        return image.height - image.height % image.chunk_height
    return image.height


cdef bint same(const Image *image, const uint8_t *ours, const uint8_t *theirs) noexcept nogil:
    cdef uint64_t band, at
    for band in range(image.samples):
        at = band * plane_size(image)
        if memcmp(ours + at, theirs + at, comparable(image) * image.width * image.itemsize):
            return False
    return True


cdef bint opened(const Source *source, const Image *image, Problem *problem) noexcept nogil:
    """Whether libtiff opens the file: it refuses some for tags that are not read here."""
    cdef Handle handle
    if open_handle(&handle, source, image, LIMIT, problem):
        return False
    close_handle(&handle)
    return True


cdef void straight(
    const Source *source, const Image *image, const uint8_t *ours, Problem *problem
) noexcept nogil:
    """A file of which only the front is there: where a guess holds, the rest is its pixels."""
    cdef Straight guessed
    cdef Source front
    cdef Image same
    cdef uint8_t *copy
    guessed.head = entry_value(source, &image.offsets, 0)
    if image.samples != 1 or not 8 <= guessed.head <= source.size:
        return
    guessed.pixels = source.size - guessed.head
    # In memory of its own, so that the sanitizer sees what is read beyond it.
    copy = <uint8_t *>malloc(guessed.head)
    if copy == NULL:
        abort()
    memcpy(copy, source.data, guessed.head)
    if (
        read_image(&front, copy, guessed.head, LIMIT, &same, problem) == 0
        and holds(&guessed, &front, &same)
    ):
        require(guessed.pixels == plane_size(image), "a guess that holds is whole", problem)
        require(
            memcmp(source.data + guessed.head, ours, guessed.pixels) == 0,
            "pixels that lie straight are those that are decoded", problem)
    free(copy)


cdef public int fuzz_both(const uint8_t *data, size_t size) noexcept nogil:
    """The ways of decoding: the pixels are those of libtiff, where it has any."""
    cdef Source source
    cdef Image image
    cdef Problem problem
    cdef Workspace ordinary
    cdef uint8_t *ours
    cdef uint8_t *theirs
    cdef uint64_t *offsets
    cdef int result
    if understand(data, size, &source, &image, &problem):
        return 0
    offsets = planes(&image)
    ours = room(&image, 0x55)
    theirs = room(&image, 0xAA)
    if open_workspace(&ordinary, LIMIT, True):
        abort()
    result = decode(workspace(), &source, &image, ours, offsets, &problem)
    if result == 0:
        straight(&source, &image, ours, &problem)
    if result == 0 and opened(&source, &image, &problem):
        result = decode(&ordinary, &source, &image, theirs, offsets, &problem)
        require(
            result == 0 or image.compression in (NONE, ADOBE_DEFLATE, DEFLATE),
            "libtiff decodes what we do", &problem)
        require(
            result or same(&image, ours, theirs), "both ways give the same pixels", &problem)
    close_workspace(&ordinary)
    free(ours)
    free(theirs)
    free(offsets)
    return 0
