# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""TIFF files in, safetensors values out: whole batches, without the GIL.

The bytes go from the file to one buffer, and from there, decoded, to their
final place in the value. The rooms beside this one: `file` reads files, `tags`
and `image` learn what they hold, `decode` decodes them, through libtiff by way
of `handle`, and `samples` moves the samples.
"""

import os
import sys

from libc.errno cimport EINTR, ELOOP, ENAMETOOLONG, ENOENT, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcpy, memset, strchr, strlen
from posix.fcntl cimport O_RDONLY
from posix.stat cimport fstatat, struct_stat
from posix.unistd cimport close

from decode cimport Workspace, close_workspace, decode, open_workspace, plausible
from digest cimport digest
from file cimport AT_FDCWD, O_CLOEXEC, O_DIRECTORY, Buffer, openat, read_file, stamp
from image cimport Image, read_image
from link cimport PATH, follow
from plan cimport Plan, fits
from problem cimport Problem, fail, fail2
from queue cimport take
from straight cimport Straight, guess, holds
from tags cimport Source
from task cimport Batch, Job
from waits cimport waits_

from rs_tensor_encoder.errors import PatchError

if sys.byteorder != "little":
    raise ImportError("rs-tensor-encoder runs on little-endian machines only")

# The classes that stand beside the rooms of the same names, and what is no patch's.
include "plan.pxi"
include "task.pxi"
include "process.pxi"

#: Decoded bytes of one file, and bytes of one file, beyond which it is refused.
LIMIT = 1 << 30

# A value starts at a multiple of this in its batch, so that all samples are aligned.
cdef enum:
    ALIGNMENT = 64

# Headers kept for shapes seen before; more are only a matter of building them again.
cdef enum:
    HEADERS = 256

# Longest value that LMDB takes, in bytes (MAXDATASIZE of LMDB 0.9).
cdef uint64_t VALUE = 0xffffffff

# What became of a patch.
cdef enum Outcome:
    UNSUITED = -2        # to its format
    FAILED = -1
    DONE = 0
    NEW_SHAPES = 1
    NO_ROOM = 2


cdef class Encoder:
    """Turns patches of TIFF files into safetensors values; one per thread.

    Parameters
    ----------
    formats : sequence of formats
        What the patches are made of: a format is a sequence of files, a file a
        sequence of the names of its bands (str), in file order.
    extensions : sequence of str
        Extensions that the files may have; the first that is there is read.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is refused.
    roots : sequence of bytes
        Real path of the source of each format: symbolic links to files are
        followed inside it. Without it, none are.
    ordinary : bool
        Have libtiff open and decode every file, to compare with the faster ways.
        It does not hold deflate data to their checksums.

    Attributes
    ----------
    in_place : int
        Files so far whose pixels were read from the file straight to their place.
    """

    cdef readonly uint64_t in_place
    cdef tuple formats
    cdef tuple extensions
    cdef tuple roots
    cdef uint64_t limit
    cdef dict headers            # (format, shapes) -> Header
    cdef Plan **current          # the plan used last, per format
    cdef int *files              # number of files, per format
    cdef uint64_t **bands        # number of bands of each file, per format
    cdef Straight **straight     # of each file, per format
    cdef char endings[8][16]     # the extensions
    cdef int *ending             # index of the one that each file has
    cdef int n_endings
    cdef int n_formats
    cdef Buffer input            # the files of a patch, one behind the other
    cdef Workspace space
    cdef Source *sources
    cdef Image *images
    cdef uint64_t *starts        # of the files, in the input
    cdef uint64_t *sizes         # of the files, in bytes
    cdef bint loaded             # the files of the patch at hand are in memory
    cdef bint placed             # pixels of some of them are in the value already
    cdef bint busy               # a thread is encoding
    cdef char name[1024]         # of the file at hand
    cdef char path[PATH]         # that a link leads to
    cdef const char **root       # the roots, per format; NULL where links are not followed

    def __cinit__(self, formats, extensions, limit=LIMIT, roots=(), ordinary=False):
        cdef int i, f, most = 1
        self.formats = tuple(tuple(tuple(names) for names in files) for files in formats)
        self.extensions = tuple(extensions)
        if not 0 < limit < 1 << 45:
            raise ValueError("the limit must be between 1 and 2**45 bytes")
        self.limit = limit
        self.headers = {}
        if open_workspace(&self.space, limit, ordinary):
            raise MemoryError
        self.n_formats = n = len(self.formats)
        self.current = <Plan **>calloc(n, sizeof(Plan *))
        self.files = <int *>calloc(n, sizeof(int))
        self.bands = <uint64_t **>calloc(n, sizeof(uint64_t *))
        self.straight = <Straight **>calloc(n, sizeof(Straight *))
        self.root = <const char **>calloc(n, sizeof(char *))
        if (
            self.current == NULL or self.files == NULL or self.bands == NULL
            or self.straight == NULL or self.root == NULL
        ):
            raise MemoryError
        self.roots = tuple(bytes(root) for root in roots)
        if self.roots and len(self.roots) != n:
            raise ValueError("a root for each format, or none at all")
        for i, root in enumerate(self.roots):
            self.root[i] = <bytes>root
        for i, files in enumerate(self.formats):
            self.files[i] = len(files)
            most = max(most, self.files[i])
            self.bands[i] = <uint64_t *>calloc(len(files), sizeof(uint64_t))
            self.straight[i] = <Straight *>calloc(len(files), sizeof(Straight))
            if self.bands[i] == NULL or self.straight[i] == NULL:
                raise MemoryError
            for f, names in enumerate(files):
                self.bands[i][f] = len(names)
        self.sources = <Source *>calloc(most, sizeof(Source))
        self.images = <Image *>calloc(most, sizeof(Image))
        self.starts = <uint64_t *>calloc(most, sizeof(uint64_t))
        self.sizes = <uint64_t *>calloc(most, sizeof(uint64_t))
        self.ending = <int *>calloc(most, sizeof(int))
        if (
            self.sources == NULL or self.images == NULL or self.starts == NULL
            or self.sizes == NULL or self.ending == NULL
        ):
            raise MemoryError
        self.n_endings = len(self.extensions)
        if not 0 < self.n_endings <= 8 or any(len(x.encode()) > 15 for x in self.extensions):
            raise ValueError("1 to 8 extensions of at most 15 bytes")
        for i, extension in enumerate(self.extensions):
            text = extension.encode() + b"\0"
            memcpy(self.endings[i], <const char *>text, len(text))

    def __dealloc__(self):
        cdef int i
        if self.bands != NULL and self.straight != NULL:
            for i in range(self.n_formats):
                free(self.bands[i])
                free(self.straight[i])
        free(self.bands)
        free(self.straight)
        free(self.root)
        free(self.current)
        free(self.files)
        free(self.ending)
        free(self.sources)
        free(self.images)
        free(self.starts)
        free(self.sizes)
        free(self.input.data)
        close_workspace(&self.space)

    def encode(self, patches, uint8_t[::1] out not None, uint64_t start=0):
        """Encode patches one behind the other into a buffer, as many as fit.

        The GIL is released for the whole batch but for patches that fail and
        shapes that are new.

        Parameters
        ----------
        patches : sequence of (format, directory, names)
            ``format`` (int) indexes the encoder's formats; ``directory``
            (bytes) is where the files lie, ``names`` (bytes) their names
            without extension, in the order of the format, each ended by a NUL.
        out : writable buffer of uint8, 1-D, contiguous
            Takes the values.
        start : int
            Where in ``out`` the first value may begin, in bytes.

        Returns
        -------
        results : list of (start, stop, header, mark, digest) or PatchError
            One entry per patch, in order, up to the first that does not fit:
            the slice of ``out`` that is its value, the value's header (bytes),
            what `marks` says of the files that were read, and the value's XXH3
            digest (16 bytes), or why it failed.
        needed : int
            0 if all patches fitted; else the size in bytes that ``out`` must
            have for the first that did not.

        Raises
        ------
        IndexError, ValueError
            If there is no such format, or a patch has other files than it.
        """
        cdef Task task = Task(patches, out, start)
        cdef Problem problem
        cdef Outcome outcome
        self.begin()
        try:
            while True:
                with nogil:
                    outcome = self.run(&task.batch, &problem)
                if outcome == DONE or outcome == NO_ROOM:
                    return task.results(), task.batch.needed if outcome == NO_ROOM else 0
                self.attend(task, outcome, &problem)
        finally:
            self.end()

    def serve(self, Line line not None):
        """Encode the tasks of a line until it says that there is nothing more to do.

        The GIL is not taken between tasks, either: waiting for it would cost
        more than reading a file.
        """
        cdef Task task
        cdef Problem problem
        cdef Outcome outcome = DONE
        cdef Batch *batch = NULL
        self.begin()
        try:
            while True:
                with nogil:
                    while outcome == DONE:
                        batch = <Batch *>take(&line.waiting)
                        if batch == NULL:
                            break
                        outcome = self.begin_batch(batch, &problem)
                        if outcome == DONE:
                            hand_in(line, batch)
                if batch == NULL:
                    return
                task = <Task>batch.owner
                try:
                    if outcome == NO_ROOM:
                        task.enlarge(line.larger)
                    else:
                        self.attend(task, outcome, &problem)
                    with nogil:
                        outcome = self.run(batch, &problem)
                except BaseException as error:
                    task.error = error
                    outcome = DONE
                if outcome == DONE:
                    hand_in(line, batch)
        finally:
            self.end()

    def marks(self, patches):
        """Look at the files of patches without opening them.

        Parameters
        ----------
        patches : sequence of (format, directory, names)
            As for `encode`.

        Returns
        -------
        list of int or PatchError
            A number per patch that depends on its format, the sizes of its files,
            the times of their last change and their extensions: as long as it
            stays the same, they have not changed. Or why a file cannot be looked
            at.

        Raises
        ------
        IndexError, ValueError
            As of `encode`.
        """
        cdef Task task = Task(patches, bytearray())
        cdef Job *job
        cdef Problem problem
        cdef Py_ssize_t i
        cdef bint failed
        found = []
        self.begin()
        try:
            for i in range(task.batch.n):
                job = &task.batch.jobs[i]
                problem.error = 0
                if not self.suits(job):
                    self.refuse(job)
                with nogil:
                    failed = self.look(job, &problem)
                found.append(self.failure(job, &problem) if failed else job.mark)
        finally:
            self.end()
        return found

    # ---- with the GIL -----------------------------------------------------

    cdef int begin(self) except -1:
        if self.busy:
            raise RuntimeError("an encoder serves one thread; make one for each")
        self.busy = True
        self.loaded = False
        return 0

    cdef void end(self):
        self.busy = False
        self.loaded = False

    cdef int attend(self, Task task, Outcome outcome, const Problem *problem) except -1:
        # What cannot be done without the GIL.
        cdef Job *job = &task.batch.jobs[task.batch.at]
        if outcome == NEW_SHAPES:
            self.learn(job.format)
        elif outcome == UNSUITED:
            self.refuse(job)
        elif outcome == FAILED:
            task.failures[task.batch.at] = self.failure(job, problem)
            task.batch.at += 1
        return 0

    cdef int refuse(self, const Job *job) except -1:
        # A patch that is not of its format: the caller's mistake, not that of a file.
        if not 0 <= job.format < self.n_formats:
            raise IndexError(f"no format {job.format}")
        names = <bytes>job.names[:job.end - job.names]
        raise ValueError(f"format {job.format} has {self.files[job.format]} files, not {names!r}")

    cdef failure(self, const Job *job, const Problem *problem):
        reason = problem.text.decode("utf-8", "replace")
        if problem.error == ENOENT:
            reason = "there is no such file"
        elif problem.error:
            reason = f"{reason}: {os.strerror(problem.error)}"
        return PatchError(os.path.join(job.directory, self.name), reason, problem.error)

    cdef int learn(self, int format_) except -1:
        # The header for the shapes of the images at hand becomes the current one.
        cdef int f
        if len(self.headers) > HEADERS:
            self.headers.clear()
            memset(self.current, 0, self.n_formats * sizeof(Plan *))
        shapes = [
            (self.images[f].dtype, self.images[f].height, self.images[f].width)
            for f in range(self.files[format_])]
        key = (format_, *shapes)
        cdef Header known = self.headers.get(key)
        if known is None:
            known = self.headers[key] = Header(self.formats[format_], shapes)
        self.current[format_] = &known.plan
        return 0

    # ---- without the GIL --------------------------------------------------

    cdef Outcome begin_batch(self, Batch *batch, Problem *problem) noexcept nogil:
        self.loaded = False
        return self.run(batch, problem)

    cdef Outcome run(self, Batch *batch, Problem *problem) noexcept nogil:
        # Encode patches until all are done, or one needs attention.
        cdef Outcome outcome = DONE
        cdef Job *job
        cdef long before = waits_()
        while batch.at < batch.n and outcome == DONE:
            job = &batch.jobs[batch.at]
            outcome = self.patch(
                job, batch.out, batch.room, batch.start, &batch.needed, problem)
            if outcome == DONE:
                batch.start = job.stop
                batch.at += 1
        batch.waits = -1 if before < 0 else batch.waits + waits_() - before
        return outcome

    cdef Outcome patch(
        self, Job *job, uint8_t *out, uint64_t room, uint64_t start, uint64_t *needed,
        Problem *problem
    ) noexcept nogil:
        # One patch: read its files, find its header, decode its bands into place.
        cdef const Plan *plan
        start = (start + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        problem.error = 0
        if not self.suits(job):
            return UNSUITED
        plan = self.current[job.format]
        if not self.loaded:
            # Most values are like the one before.
            if plan != NULL and start + plan.size <= room and not self.space.ordinary:
                self.aim(job.format, plan, out + start)
            else:
                self.aim(job.format, NULL, NULL)
            if self.load(job, problem):
                return FAILED
        self.loaded = True
        if plan == NULL or not fits(plan, self.images):
            # What was read straight to its place is in the wrong one.
            if self.placed:
                self.aim(job.format, NULL, NULL)
                if self.load(job, problem):
                    self.loaded = False
                    return FAILED
            return NEW_SHAPES
        if plan.size > VALUE:
            self.loaded = False
            self.name[0] = 0
            fail2(problem, "its value would take %llu bytes, and LMDB takes %llu at most",
                  plan.size, VALUE)
            return FAILED
        job.plan = plan
        job.length = plan.length
        job.start = start
        job.stop = start + plan.size
        if job.stop > room:
            needed[0] = job.stop
            return NO_ROOM
        self.loaded = False
        return DONE if self.fill_value(job, out + start, problem) == 0 else FAILED

    cdef bint suits(self, const Job *job) noexcept nogil:
        # Whether there is a name for each file of the format, ended by a NUL, and no more.
        cdef const char *name = job.names
        cdef int _f
        if not 0 <= job.format < self.n_formats:
            return False
        for _f in range(self.files[job.format]):
            name = <const char *>memchr(name, 0, job.end - name)
            if name == NULL:
                return False
            name += 1
        return name == job.end

    cdef int enter(self, Job *job, Problem *problem) noexcept nogil:
        # Open the directory of a patch.
        cdef int directory
        self.name[0] = 0
        # Which files it has counts, too: one that was renamed into another is a change.
        job.mark = <uint64_t>job.format + 1
        directory = openat(AT_FDCWD, job.directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        while directory < 0 and errno == EINTR:
            directory = openat(AT_FDCWD, job.directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        if directory < 0:
            problem.error = errno
            return fail(problem, "cannot be opened")
        return directory

    cdef int load(self, Job *job, Problem *problem) noexcept nogil:
        # Read all files of a patch and learn their images.
        cdef int f, directory = self.enter(job, problem)
        cdef uint64_t at = 0
        cdef const char *name = job.names
        cdef Straight *straight = self.straight[job.format]
        cdef bint wrong
        if directory < 0:
            return -1
        for f in range(self.files[job.format]):
            if self.read_either(job, directory, name, f, at, problem):
                close(directory)
                return -1
            self.starts[f] = at
            at += self.sizes[f]
            name += strlen(name) + 1
        close(directory)
        self.placed = False
        for f in range(self.files[job.format]):
            wrong = read_image(
                &self.sources[f], self.input.data + self.starts[f], self.sizes[f],
                self.limit, &self.images[f], problem)
            if straight[f].done:
                if wrong or not holds(&straight[f], &self.sources[f], &self.images[f]):
                    # Once more, without guessing.
                    self.aim(job.format, NULL, NULL)
                    return self.load(job, problem)
                self.placed = True
                self.in_place += 1
                continue
            if wrong:
                return self.blame(job, f)
            if plausible(&self.sources[f], &self.images[f], problem):
                return self.blame(job, f)
            if self.images[f].samples != self.bands[job.format][f]:
                fail2(problem, "the file has %llu bands, not %llu",
                      self.images[f].samples, self.bands[job.format][f])
                return self.blame(job, f)
        return 0

    cdef void aim(self, int format_, const Plan *plan, uint8_t *value) noexcept nogil:
        # Say where pixels that lie straight in their files are to be read to: where they are
        # in a value of that plan, or, without one, nowhere.
        cdef Straight *straight = self.straight[format_]
        cdef uint64_t band = 0
        cdef int f
        for f in range(self.files[format_]):
            straight[f].to = NULL
            if plan != NULL and straight[f].head and plan.shapes[f].size == straight[f].pixels:
                straight[f].to = value + plan.offsets[band]
            band += self.bands[format_][f]

    cdef int look(self, Job *job, Problem *problem) noexcept nogil:
        # Stamp the mark of a patch as reading its files would.
        cdef struct_stat status
        cdef int _f, i, directory = self.enter(job, problem)
        cdef const char *name = job.names
        if directory < 0:
            return -1
        for _f in range(self.files[job.format]):
            for i in range(self.n_endings):
                problem.error = 0
                if not self.set_name(name, i):
                    problem.error = ENAMETOOLONG
                    break
                if fstatat(directory, self.name, &status, 0) == 0:
                    stamp(&job.mark, &status)
                    job.mark ^= <uint64_t>i
                    break
                problem.error = errno
                if problem.error != ENOENT:
                    break
            if problem.error:
                if problem.error == ENOENT:
                    self.set_name(name, 0)
                fail(problem, "cannot be looked at")
                close(directory)
                return -1
            name += strlen(name) + 1
        close(directory)
        return 0

    cdef int read_either(
        self, Job *job, int directory, const char *name, int f, uint64_t at, Problem *problem
    ) noexcept nogil:
        # Read the f-th file under the first of the extensions that is there: always
        # in the same order, so that it does not matter what was read before.
        cdef int i, result
        cdef const char *root = self.root[job.format]
        for i in range(self.n_endings):
            problem.error = 0
            self.ending[f] = i
            if not self.set_name(name, i):
                problem.error = ENAMETOOLONG
                return fail(problem, "cannot be opened")
            # A path of several components may lead through links, too.
            if root != NULL and strchr(self.name, b"/") != NULL:
                problem.error = ELOOP
                result = -1
            else:
                result = read_file(
                    directory, self.name, self.limit, &self.input, at,
                    &self.straight[job.format][f], &self.sizes[f], &job.mark, problem)
            if result and problem.error == ELOOP:
                problem.error = 0
                result = follow(
                    root, job.directory, self.name, self.path, problem)
                if result == 0:
                    result = read_file(
                        AT_FDCWD, self.path, self.limit, &self.input, at,
                        &self.straight[job.format][f], &self.sizes[f], &job.mark, problem)
            if result == 0:
                job.mark ^= <uint64_t>i
                return 0
            if problem.error != ENOENT:
                return -1
        self.set_name(name, 0)
        return -1

    cdef bint set_name(self, const char *name, int ending) noexcept nogil:
        # Whether it fits; what is cut off is not.
        cdef int length = snprintf(
            self.name, sizeof(self.name), "%s%s", name, self.endings[ending])
        return 0 <= length < <int>sizeof(self.name)

    cdef int blame(self, const Job *job, int f) noexcept nogil:
        # Have the f-th file named in the error; -1, so that "return blame" reads well.
        cdef const char *name = job.names
        cdef int _i
        for _i in range(f):
            name += strlen(name) + 1
        self.set_name(name, self.ending[f])
        return -1

    cdef int fill_value(self, Job *job, uint8_t *value, Problem *problem) noexcept nogil:
        # The header, then every band, each in its place, and the digest of it all.
        cdef const uint64_t *offsets = job.plan.offsets
        cdef Straight *straight = self.straight[job.format]
        cdef int f
        memcpy(value, job.plan.header, job.plan.length)
        for f in range(self.files[job.format]):
            if not straight[f].done:
                if decode(
                    &self.space, &self.sources[f], &self.images[f], value, offsets, problem
                ):
                    return self.blame(job, f)
                guess(&straight[f], &self.sources[f], &self.images[f])
            offsets += self.images[f].samples
        digest(&job.digest, value, job.plan.size)
        return 0
