# Part of direct.pyx: passes whose arrays have known sizes, and lie elsewhere in each run.
cdef bytes places_of(const Work *work):
    """What the first group of each block reads, for one phase: for each tap all ones where it is inside and zero where it is
    not, then the offset from the origin or the address of the zeros."""
    cdef const Source *s = &work.source
    cdef Py_ssize_t pixels = work.target.images * work.runs[4] * work.runs[5] * work.runs[6], block, t, i
    cdef bytes result = bytes(2 * work.blocks * work.runs[1] * work.block * sizeof(size_t))
    cdef size_t *to = <size_t *><char *>result
    cdef const void *pointers[BLOCK]
    cdef Block b
    for block in range(work.blocks):
        b.rows = <int>min(work.block, pixels - block * work.block)
        locate(&b, s, &work.target, work.runs, block * work.block)
        for t in range(work.runs[1]):
            point(pointers, work.block, &b, s, work.taps + 3 * t, 1)
            for i in range(b.rows):
                if pointers[i] == <const void *>s.zeros:
                    to[work.block + i] = <size_t>s.zeros
                else:
                    to[i], to[work.block + i] = ~<size_t>0, <size_t>pointers[i] - <size_t>s.origin
            to += 2 * work.block
    return result


cdef class Small(Fast):
    """`run` on C-contiguous arrays of known sizes, with the tables of pointers kept if they are small.

    threads is 0 for work so little that it is done in the calling thread, with the GIL.
    """
    cdef Work work
    cdef Py_ssize_t tasks
    cdef int threads
    cdef object schedule, filters
    cdef bytes places

    def __init__(self, Schedule schedule, tuple source, tuple target, filters, int relu, int threads=0):
        """source and target are shapes (N, D, H, W, C); what `filters` holds does not change; relu may be 6."""
        cdef const unsigned char[::1] packed = filters.view("u1")
        self.filters, self.threads, self.work.filters = filters, threads, NULL
        self.set_out(schedule, source, target, relu)
        self.work.filters = <const char *>&packed[0]

    cdef int set_out(self, Schedule schedule, tuple source, tuple target, int relu) except -1:
        """All but the filters."""
        cdef Work *work = &self.work
        cdef Dense x = lifted(source, schedule.work.itemsize), y = lifted(target, schedule.work.itemsize)
        cdef Py_ssize_t i
        work[0] = schedule.work
        self.schedule, self.tasks = schedule, schedule.tasks
        work.relu, work.relu6, work.flush = relu == 1, relu == 6, flushes()
        for i in range(4):
            work.source.stride[i], work.target.stride[i] = x.stride[i], y.stride[i]
            if i:
                work.source.size[i - 1] = x.shape[i]
        if schedule.pointwise:
            space(work)
        if schedule.phases == 1 and 2 * work.blocks * work.runs[1] * work.block * <Py_ssize_t>sizeof(size_t) <= KEPT:
            self.places = places_of(work)
            work.places = <const size_t *><const char *>self.places
        return 0

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        cdef Py_ssize_t t
        work.source.origin, work.target.origin, work.bias = at.x, at.y, at.b
        if at.residual != NULL:
            work.start, work.residual = CK_RESIDUAL, at.residual - at.y
        if self.threads:
            return share(&work, self.tasks, self.threads)
        for t in range(self.tasks):
            task(&work, t)
        return 0


cdef class Plain(Small):
    """The same with contiguous filters that are packed first."""
    cdef Packing packing
    cdef object order

    def __init__(self, Schedule schedule, tuple source, tuple target, tuple w, const Py_ssize_t[::1] order, Py_ssize_t groups,
                 bint from_outputs, bint relu, int threads):
        """source, target and w are shapes, lifted to (N, D, H, W, C)."""
        cdef Dense filters = lifted(w, schedule.work.itemsize), y = lifted(target, schedule.work.itemsize)
        cdef Packing *p = &self.packing
        cdef Py_ssize_t i
        self.order, self.threads, self.work.filters = order.base, threads, NULL
        self.set_out(schedule, source, target, relu)
        self.work.stream = streams(NULL, y.stride, y.shape, self.work.itemsize)
        p[0] = packing_of(order, self.work.depth, self.work.cols, groups, from_outputs, w[0], w[2], w[3], self.work.itemsize)
        for i in range(5):
            p.stride[i] = filters.stride[i]
        self.room = schedule.packed * self.work.itemsize

    cdef int run(self, const Places *at) except -1:
        cdef Packing p = self.packing
        cdef Work work = self.work
        cdef Py_ssize_t t
        cdef int threads = self.threads
        p.w, p.packed, work.filters = at.other, at.room, at.room
        work.source.origin, work.target.origin, work.bias = at.x, at.y, at.b
        work.stream = work.stream and lines(<Py_ssize_t>at.y, 0)
        if threads:
            for t in prange(p.groups * p.runs * p.panels * p.taps, nogil=True, schedule="static", num_threads=threads):
                pack_piece(&p, t)
            return share(&work, self.tasks, threads)
        for t in range(p.groups * p.runs * p.panels * p.taps):
            pack_piece(&p, t)
        for t in range(self.tasks):
            task(&work, t)
        return 0
