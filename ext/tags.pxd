# The directories and tags of a TIFF file in memory. Every access is inside the
# file; nothing is allocated. TIFF 6.0, section 2; BigTIFF as libtiff has it.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memset

from problem cimport NOT_TIFF, Problem, fail, fail1, fail2, fail_as

cdef enum:
    # More pages than this after the first are taken for a loop of pages.
    MAX_PAGES = 1024

cdef struct Source:
    const uint8_t *data  # the whole file
    uint64_t size        # its bytes
    bint swap            # big-endian: values need their bytes swapped
    bint big             # BigTIFF

cdef struct Entry:
    uint64_t count       # number of values; 0: the tag is not there
    uint64_t at          # position of the first value in the file
    uint16_t type        # TIFF field type


cdef inline bint inside(const Source *source, uint64_t at, uint64_t n) noexcept nogil:
    return at <= source.size and n <= source.size - at


cdef inline uint16_t get16(const Source *source, uint64_t at) noexcept nogil:
    cdef const uint8_t *p = source.data + at
    if source.swap:
        return <uint16_t>(p[0] << 8 | p[1])
    return <uint16_t>(p[1] << 8 | p[0])


cdef inline uint32_t get32(const Source *source, uint64_t at) noexcept nogil:
    if source.swap:
        return <uint32_t>get16(source, at) << 16 | get16(source, at + 2)
    return <uint32_t>get16(source, at + 2) << 16 | get16(source, at)


cdef inline uint64_t get64(const Source *source, uint64_t at) noexcept nogil:
    if source.swap:
        return <uint64_t>get32(source, at) << 32 | get32(source, at + 4)
    return <uint64_t>get32(source, at + 4) << 32 | get32(source, at)


cdef inline uint64_t type_size(uint16_t type) noexcept nogil:
    """Bytes of one value of a TIFF field type, 0 for an unknown one."""
    if type in (1, 2, 6, 7):
        return 1
    if type in (3, 8):
        return 2
    if type in (4, 9, 11, 13):
        return 4
    if type in (5, 10, 12, 16, 17, 18):
        return 8
    return 0


cdef inline bint is_count(const Entry *entry) noexcept nogil:
    """Whether the values are unsigned whole numbers."""
    return entry.type in (1, 3, 4, 16)


cdef inline uint64_t value(
    const Source *source, const Entry *entry, uint64_t i
) noexcept nogil:
    """The i-th value of an entry that ``is_count``; the caller has checked i."""
    cdef uint64_t size = type_size(entry.type)
    cdef uint64_t at = entry.at + i * size
    if size == 2:
        return get16(source, at)
    if size == 4:
        return get32(source, at)
    if size == 8:
        return get64(source, at)
    return source.data[at]


cdef inline int number(
    const Source *source, const Entry *entry, uint64_t default, uint64_t most,
    const char *name, uint64_t *out, Problem *problem
) noexcept nogil:
    """The one number of a tag, or of a tag whose values must all be the same."""
    cdef uint64_t i
    out[0] = default
    if entry.count == 0:
        return 0
    if not is_count(entry):
        snprintf(problem.text, sizeof(problem.text),
                 "%s has the field type %llu, not a whole number",
                 name, <unsigned long long>entry.type)
        return -1
    out[0] = value(source, entry, 0)
    for i in range(1, entry.count):
        if value(source, entry, i) != out[0]:
            snprintf(problem.text, sizeof(problem.text),
                     "%s differs between the bands (%llu and %llu)", name,
                     <unsigned long long>out[0],
                     <unsigned long long>value(source, entry, i))
            return -1
    if out[0] > most:
        snprintf(problem.text, sizeof(problem.text), "%s is %llu, more than %llu", name,
                 <unsigned long long>out[0], <unsigned long long>most)
        return -1
    return 0


cdef inline int open_source(
    Source *source, const uint8_t *data, uint64_t size, uint64_t *first,
    Problem *problem
) noexcept nogil:
    """Read the 8 or 16 bytes at the start: byte order, kind, first directory."""
    cdef uint16_t version
    source.data = data
    source.size = size
    source.swap = size >= 2 and data[0] == c"M"
    source.big = False
    if size == 0:
        return fail(problem, "the file is empty")
    if size < 8 or not (
        (data[0] == c"I" and data[1] == c"I") or (data[0] == c"M" and data[1] == c"M")
    ):
        return fail_as(problem, NOT_TIFF, "not a TIFF file")
    version = get16(source, 2)
    if version == 42:
        first[0] = get32(source, 4)
        return 0
    if version == 43 and size >= 16 and get16(source, 4) == 8 and get16(source, 6) == 0:
        source.big = True
        first[0] = get64(source, 8)
        return 0
    return fail_as(problem, NOT_TIFF, "not a TIFF file")


cdef inline int directory(
    const Source *source, uint64_t at, uint64_t *entries, uint64_t *count,
    uint64_t *next_at, Problem *problem
) noexcept nogil:
    """Bounds of the directory at ``at``: where its entries begin, how many, what follows."""
    cdef uint64_t head = 8 if source.big else 2
    cdef uint64_t entry = 20 if source.big else 12
    cdef uint64_t link = 8 if source.big else 4
    if at < 8 or not inside(source, at, head):
        return fail1(
            problem, "a directory is said to lie at byte %llu, outside the file: "
            "the file is cut short or damaged", at)
    count[0] = get64(source, at) if source.big else get16(source, at)
    entries[0] = at + head
    if count[0] == 0 or count[0] > 65535:
        return fail1(problem, "a directory has %llu entries", count[0])
    if not inside(source, entries[0], count[0] * entry):
        return fail(problem, "the directory ends outside the file: it is cut short or damaged")
    # A file may end right behind its last entry: libtiff takes that for "no more".
    next_at[0] = 0
    if inside(source, entries[0] + count[0] * entry, link):
        next_at[0] = (
            get64(source, entries[0] + count[0] * entry) if source.big
            else get32(source, entries[0] + count[0] * entry))
    return 0


cdef inline int take(
    const Source *source, uint64_t at, Entry *entry, Problem *problem
) noexcept nogil:
    """Read the directory entry at ``at`` and check that its values are in the file."""
    cdef uint64_t size, room
    if entry.count:
        return fail1(problem, "the tag %llu stands twice in the directory", get16(source, at))
    entry.type = get16(source, at + 2)
    entry.count = get64(source, at + 4) if source.big else get32(source, at + 4)
    size = type_size(entry.type)
    if size == 0:
        return fail2(
            problem, "the tag %llu has the unknown field type %llu",
            get16(source, at), entry.type)
    if entry.count == 0:
        return fail1(problem, "the tag %llu has no values", get16(source, at))
    if entry.count > source.size // size:
        return fail2(
            problem, "the tag %llu has %llu values, more than the file can hold",
            get16(source, at), entry.count)
    room = 8 if source.big else 4
    entry.at = at + 4 + room
    if entry.count * size > room:
        entry.at = get64(source, entry.at) if source.big else get32(source, entry.at)
    if not inside(source, entry.at, entry.count * size):
        return fail1(
            problem, "the values of the tag %llu lie outside the file: "
            "it is cut short or damaged", get16(source, at))
    return 0


cdef inline int only_image(
    const Source *source, uint64_t at, Problem *problem
) noexcept nogil:
    """Check that all pages from ``at`` on are reduced images or masks of the first."""
    cdef uint64_t entries, count, i, where, kind
    cdef uint64_t size = 20 if source.big else 12
    cdef int pages = 0
    cdef Entry subfile
    while at:
        pages += 1
        if pages > MAX_PAGES:
            return fail1(
                problem, "more than %llu pages, or pages that lead back to each other",
                MAX_PAGES)
        if directory(source, at, &entries, &count, &at, problem):
            return -1
        memset(&subfile, 0, sizeof(subfile))
        for i in range(count):
            where = entries + i * size
            if get16(source, where) == 254:
                if take(source, where, &subfile, problem):
                    return -1
        if number(
            source, &subfile, 0, 0xFFFFFFFF, "NewSubfileType", &kind, problem
        ):
            return -1
        # Bit 0: a reduced image, bit 2: a transparency mask (TIFF 6.0, page 36).
        if not kind & 5:
            return fail(
                problem, "more than one image in the file (only overviews and masks "
                "may follow the first)")
    return 0
