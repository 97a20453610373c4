# From the files of a patch to its value: read them, find the plan, decode them into place.

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from decode cimport Workspace, close_workspace, decode, open_workspace, plausible
from digest cimport digest
from format cimport Format, aim
from image cimport Image
from lookup cimport Found, Lookup, blame, close_lookup, open_lookup, read_files
from plan cimport Plan, fits
from problem cimport OTHER, OTHER_BANDS, Problem, fail2
from read_image cimport read_image
from straight cimport Straight, guess, holds
from tags cimport Source
from task cimport Job

cdef enum:
    # A value starts at a multiple of this in its batch, so that all samples are aligned.
    ALIGNMENT = 64
    # Longest value that LMDB takes, in bytes (MAXDATASIZE of LMDB 0.9).
    LONGEST = 0xffffffff

# What became of a patch.
cdef enum Outcome:
    UNSUITED = -2        # to its format
    FAILED = -1
    DONE = 0
    NEW_SHAPES = 1
    NO_ROOM = 2

cdef struct Patch:
    # The one at hand, and what it takes to encode it and others; one per thread.
    Lookup lookup
    Workspace space
    Source *sources      # of its files
    Image *images        # in them
    uint64_t limit       # bytes of the pixels of a file, beyond which it is refused
    uint64_t in_place    # files so far whose pixels were read straight to their place
    bint loaded          # its files are in memory
    bint placed          # pixels of some of them are in the value already


cdef inline int open_patch(
    Patch *patch, int files, uint64_t limit, bint ordinary
) noexcept nogil:
    """For patches of so many files at most; 0, or -1 if there is no memory."""
    patch.limit = limit
    patch.sources = <Source *>calloc(files, sizeof(Source))
    patch.images = <Image *>calloc(files, sizeof(Image))
    if patch.sources == NULL or patch.images == NULL:
        return -1
    if open_lookup(&patch.lookup, files, limit):
        return -1
    return open_workspace(&patch.space, limit, ordinary)


cdef inline void close_patch(Patch *patch) noexcept nogil:
    free(patch.sources)
    free(patch.images)
    close_lookup(&patch.lookup)
    close_workspace(&patch.space)
    memset(patch, 0, sizeof(Patch))


cdef inline int load(
    Patch *patch, Job *job, Format *format, Problem *problem
) noexcept nogil:
    # Read all files of a patch and learn their images.
    cdef Straight *straight
    cdef const Found *found
    cdef Source *source
    cdef Image *image
    cdef bint wrong
    cdef int f
    problem.kind = OTHER
    if read_files(&patch.lookup, job, format, problem):
        return -1
    patch.placed = False
    for f in range(format.files):
        straight = &format.straight[f]
        found = &patch.lookup.found[f]
        source = &patch.sources[f]
        image = &patch.images[f]
        wrong = read_image(
            source, patch.lookup.input.data + found.start, found.size, patch.limit, image,
            problem)
        if straight.done:
            if wrong or not holds(straight, source, image):
                # Once more, without guessing.
                aim(format, NULL, NULL)
                return load(patch, job, format, problem)
            patch.placed = True
            continue
        if wrong or plausible(source, image, problem):
            return blame(&patch.lookup, job, f)
        if image.samples != format.bands[f]:
            problem.kind = OTHER_BANDS
            fail2(problem, "the file has %llu bands, not %llu", image.samples, format.bands[f])
            return blame(&patch.lookup, job, f)
    return 0


cdef inline int fill_value(
    Patch *patch, Job *job, Format *format, uint8_t *value, Problem *problem
) noexcept nogil:
    # The header, then every band, each in its place, and the digest of it all.
    cdef const uint64_t *offsets = job.plan.offsets
    cdef const Source *source
    cdef const Image *image
    cdef int f
    memcpy(value, job.plan.header, job.plan.length)
    for f in range(format.files):
        source = &patch.sources[f]
        image = &patch.images[f]
        if format.straight[f].done:
            patch.in_place += 1
        else:
            if decode(&patch.space, source, image, value, offsets, problem):
                return blame(&patch.lookup, job, f)
            guess(&format.straight[f], source, image)
        offsets += image.samples
    digest(&job.digest, value, job.plan.size)
    return 0


cdef inline Outcome encode_patch(
    Patch *patch, Job *job, Format *format, uint8_t *out, uint64_t room, uint64_t start,
    uint64_t *needed, Problem *problem
) noexcept nogil:
    """Encode a patch that suits its format to where there is room from ``start`` on."""
    cdef const Plan *plan = format.plan
    start = (start + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    problem.error = 0
    problem.kind = OTHER
    if not patch.loaded:
        # Most values are like the one before.
        if plan != NULL and start + plan.size <= room and not patch.space.ordinary:
            aim(format, plan, out + start)
        else:
            aim(format, NULL, NULL)
        if load(patch, job, format, problem):
            return FAILED
    patch.loaded = True
    if plan == NULL or not fits(plan, patch.images):
        # What was read straight to its place is in the wrong one.
        if patch.placed:
            aim(format, NULL, NULL)
            if load(patch, job, format, problem):
                patch.loaded = False
                return FAILED
        return NEW_SHAPES
    if plan.size > LONGEST:
        patch.loaded = False
        patch.lookup.name[0] = 0
        fail2(problem, "its value would take %llu bytes, and LMDB takes %llu at most",
              plan.size, LONGEST)
        return FAILED
    job.plan = plan
    job.length = plan.length
    job.start = start
    job.stop = start + plan.size
    if job.stop > room:
        needed[0] = job.stop
        return NO_ROOM
    patch.loaded = False
    if fill_value(patch, job, format, out + start, problem):
        return FAILED
    return DONE
