# What a thread does, task by task.

# Headers kept for shapes seen before; more are only a matter of building them again.
cdef enum:
    HEADERS = 256


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
    """

    cdef tuple bands             # their names, per format and file
    cdef tuple roots             # whose bytes the formats point to
    cdef dict headers            # (format, shapes) -> Header
    cdef Format *formats
    cdef int n_formats
    cdef Patch patch
    cdef bint busy               # a thread is encoding

    def __cinit__(self, formats, extensions, limit=LIMIT, roots=(), ordinary=False):
        cdef int i, f, most = 1
        self.bands = tuple(tuple(tuple(names) for names in files) for files in formats)
        self.roots = tuple(bytes(root) for root in roots)
        if not 0 < limit < 1 << 45:
            raise ValueError("the limit must be between 1 and 2**45 bytes")
        if self.roots and len(self.roots) != len(self.bands):
            raise ValueError("a root for each format, or none at all")
        self.headers = {}
        self.formats = <Format *>calloc(len(self.bands), sizeof(Format))
        if self.formats == NULL:
            raise MemoryError
        self.n_formats = len(self.bands)
        for i, files in enumerate(self.bands):
            if open_format(&self.formats[i], len(files)):
                raise MemoryError
            for f, names in enumerate(files):
                self.formats[i].bands[f] = len(names)
            most = max(most, self.formats[i].files)
        for i, root in enumerate(self.roots):
            self.formats[i].root = <bytes>root
        if open_patch(&self.patch, most, limit, ordinary):
            raise MemoryError
        endings = [extension.encode() for extension in extensions]
        if not endings or not all([allow(&self.patch.lookup, ending) for ending in endings]):
            raise ValueError("1 to 8 extensions of at most 15 bytes")

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_formats):
            close_format(&self.formats[i])
        free(self.formats)
        close_patch(&self.patch)

    @property
    def in_place(self):
        """Files so far whose pixels were read from the file straight to their place."""
        return self.patch.in_place

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
                problem.kind = OTHER
                if not self.suited(job):
                    self.refuse(job)
                with nogil:
                    failed = look(&self.patch.lookup, job, &self.formats[job.format], &problem)
                found.append(self.failure(job, &problem) if failed else job.mark)
        finally:
            self.end()
        return found

    # ---- with the GIL -----------------------------------------------------

    cdef int begin(self) except -1:
        if self.busy:
            raise RuntimeError("an encoder serves one thread; make one for each")
        self.busy = True
        self.patch.loaded = False
        return 0

    cdef void end(self):
        self.busy = False
        self.patch.loaded = False

    cdef int attend(self, Task task, Outcome outcome, const Problem *problem) except -1:
        # What cannot be done without the GIL.
        cdef Job *job = &task.batch.jobs[task.batch.at]
        if outcome == NEW_SHAPES:
            self.learn(job.format)
        elif outcome == UNSUITED:
            self.refuse(job)
        elif outcome == FAILED:
            task.failures[task.batch.at] = self.failure(job, problem)
            job.failed = True
            task.batch.at += 1
        return 0

    cdef int refuse(self, const Job *job) except -1:
        # A patch that is not of its format: the caller's mistake, not that of a file.
        if not 0 <= job.format < self.n_formats:
            raise IndexError(f"no format {job.format}")
        names = <bytes>job.names[:job.end - job.names]
        raise ValueError(
            f"format {job.format} has {self.formats[job.format].files} files, not {names!r}")

    cdef failure(self, const Job *job, const Problem *problem):
        reason = problem.text.decode("utf-8", "replace")
        if problem.error == ENOENT:
            reason = "there is no such file"
        elif problem.error:
            reason = f"{reason}: {os.strerror(problem.error)}"
        path = os.path.join(job.directory, self.patch.lookup.name)
        return PatchError(path, reason, problem.error, problem.kind)

    cdef int learn(self, int format_) except -1:
        # The header for the shapes of the images at hand becomes the current one.
        cdef int f
        cdef Format *format = &self.formats[format_]
        if len(self.headers) > HEADERS:
            self.headers.clear()
            for f in range(self.n_formats):
                self.formats[f].plan = NULL
        shapes = [
            (self.patch.images[f].dtype, self.patch.images[f].height, self.patch.images[f].width)
            for f in range(format.files)]
        key = (format_, *shapes)
        cdef Header known = self.headers.get(key)
        if known is None:
            known = self.headers[key] = Header(self.bands[format_], shapes)
        format.plan = &known.plan
        return 0

    # ---- without the GIL --------------------------------------------------

    cdef Outcome begin_batch(self, Batch *batch, Problem *problem) noexcept nogil:
        self.patch.loaded = False
        return self.run(batch, problem)

    cdef Outcome run(self, Batch *batch, Problem *problem) noexcept nogil:
        # Encode patches until all are done, or one needs attention.
        cdef Outcome outcome = DONE
        cdef Job *job
        cdef long before = waits_()
        while batch.at < batch.n and outcome == DONE:
            job = &batch.jobs[batch.at]
            if not self.suited(job):
                outcome = UNSUITED
                break
            outcome = encode_patch(
                &self.patch, job, &self.formats[job.format], batch.out, batch.room, batch.start,
                &batch.needed, problem)
            if outcome == DONE:
                batch.start = job.stop
                batch.at += 1
        batch.waits = -1 if before < 0 else batch.waits + waits_() - before
        return outcome

    cdef bint suited(self, const Job *job) noexcept nogil:
        return 0 <= job.format < self.n_formats and suits(&self.formats[job.format], job)
