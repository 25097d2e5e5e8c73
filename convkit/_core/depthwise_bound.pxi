# Part of depthwise.pyx: passes whose arrays have known sizes, and lie elsewhere in each run.
cdef class Bound(Fast):
    """`run` on C-contiguous arrays of known sizes."""
    cdef Work work
    cdef int threads
    cdef object schedule, filters

    def __init__(self, Schedule schedule, tuple source, tuple target, filters, int relu, int threads):
        """source and target are shapes (N, D, H, W, C); what `filters` holds does not change; relu may be 6."""
        cdef const unsigned char[::1] packed = filters.view("u1")
        self.set_out(schedule, source, target, relu)
        self.filters, self.threads, self.work.filters = filters, threads, <const char *>&packed[0]

    cdef int set_out(self, Schedule schedule, tuple source, tuple target, int relu) except -1:
        """All but the filters."""
        cdef Work *work = &self.work
        cdef Dense x, y
        cdef Py_ssize_t i
        work[0] = schedule.work
        x, y = lifted(source, work.itemsize), lifted(target, work.itemsize)
        self.schedule = schedule
        work.relu, work.relu6, work.flush = relu == 1, relu == 6, flushes()
        for i in range(4):
            work.source_stride[i], work.target_stride[i] = x.stride[i] // work.itemsize, y.stride[i] // work.itemsize
        return 0

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        work.source, work.target, work.bias = at.x, at.y, at.b
        if at.residual != NULL:
            work.start, work.residual = CK_RESIDUAL, at.residual - at.y
        return share(&work, work.images * work.blocks * work.panels, self.threads)


cdef class Plain(Bound):
    """The same with contiguous filters that are packed first; not where they are not all finite.

    threads is 0 for work so little that it is done in the calling thread, with the GIL.
    """
    cdef Packing packing

    def __init__(self, Schedule schedule, tuple source, tuple target, tuple w, bint relu, int threads):
        """source, target and w are shapes (N, D, H, W, C), w as (1, O, KD, KH, KW)."""
        cdef Dense filters = lifted(w, schedule.work.itemsize), y = lifted(target, schedule.work.itemsize)
        cdef Packing *p = &self.packing
        cdef Py_ssize_t i
        self.set_out(schedule, source, target, relu)
        self.work.stream = self.work.axis[2].count > 1 and streams(NULL, y.stride, y.shape, self.work.itemsize)
        for i in range(4):
            p.shape[i], p.stride[i] = filters.shape[i + 1], filters.stride[i + 1]
        self.threads = threads
        p.k, p.itemsize, p.words = self.work.k, self.work.itemsize, self.work.words
        self.room = schedule.packed * p.itemsize

    cdef int run(self, const Places *at) except -1:
        cdef Packing p = self.packing
        cdef Work work = self.work
        cdef Py_ssize_t t
        p.w = at.other
        pack_words(&p, at.room)
        if not (finite(<float *>at.room, self.room // 4) if p.itemsize == 4 else finite(<double *>at.room, self.room // 8)):
            return 1
        work.source, work.target, work.bias, work.filters = at.x, at.y, at.b, at.room
        work.stream = work.stream and whole_lines(<Py_ssize_t>at.y, 0)
        if self.threads:
            return share(&work, work.images * work.blocks * work.panels, self.threads)
        for t in range(work.images * work.blocks * work.panels):
            task(&work, t)
        return 0


cdef class BoundGrad(Fast):
    """`grad` of C-contiguous arrays; threads as above."""
    cdef Work work
    cdef Py_ssize_t chunks
    cdef int threads
    cdef object schedule

    def __init__(self, Schedule schedule, tuple dy, tuple x, int threads):
        """dy and x are shapes (N, D, H, W, C)."""
        cdef Py_ssize_t itemsize = schedule.work.itemsize, i
        cdef Dense source = lifted(x, itemsize), target = lifted(dy, itemsize)
        self.schedule, self.work, self.chunks = schedule, schedule.work, schedule.chunks
        self.work.flush, self.threads = flushes(), threads
        for i in range(4):
            self.work.source_stride[i], self.work.target_stride[i] = source.stride[i] // itemsize, target.stride[i] // itemsize
        self.room = schedule.chunks * schedule.packed * itemsize

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        cdef Watch w = watch()
        cdef Py_ssize_t t, chunks = self.chunks
        cdef int threads = self.threads
        cdef char *room = at.room
        work.source, work.target = at.other, <char *>at.x
        if threads:
            for t in prange(chunks * work.panels, nogil=True, schedule="static", num_threads=threads):
                chunk(&work, &w, threadid(), t, chunks, room)
        else:
            for t in range(chunks * work.panels):
                chunk(&work, &w, 0, t, chunks, room)
        raise_if_stopped(&w)
        for t in range(work.words):
            if work.itemsize == 4:
                gather(&work, t, self.chunks, <float *>at.room, <float *>at.y)
            else:
                gather(&work, t, self.chunks, <double *>at.room, <double *>at.y)
        return 0
