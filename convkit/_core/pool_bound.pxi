# Part of pool.pyx: passes whose arrays have known sizes, and lie elsewhere in each run.
cdef class Bound(Fast):
    """`walk` without labels on C-contiguous arrays of known sizes; y is what SPREAD fills, x and b target and source."""
    cdef Walk w
    cdef Py_ssize_t tasks
    cdef object threads

    def __init__(self, int op, int count, Windows windows, Py_ssize_t piece, Py_ssize_t panel, str kind, Py_ssize_t itemsize,
                 tuple source, tuple target, threads):
        """source and target are shapes (N, D, H, W, C); threads is what the caller asked for, or 0 for the calling thread."""
        cdef Walk *w = &self.w
        cdef Dense x = form_of(source, itemsize), y = form_of(target, itemsize)
        cdef int i
        w.itemsize = itemsize
        for i in range(4):
            w.source_stride[i], w.target_stride[i] = x.stride[i] // itemsize, y.stride[i] // itemsize
        set_out(w, op, count, windows, piece, panel, kind, y.shape)
        w.stream = op == SPREAD and x.shape[0] * x.stride[0] >= STREAM
        self.tasks, self.threads = y.shape[0] * w.extent[0] * w.extent[1] * w.pieces * w.panels, threads

    cdef int run(self, const Places *at) except -1:
        cdef Walk w = self.w
        cdef Py_ssize_t task
        w.source, w.target = at.x, at.y
        if w.op == SPREAD:
            w.source, w.target, w.spread = at.b, <char *>at.x, at.y
        if self.threads != 0:
            return share(&w, self.tasks, thread_count(self.threads)[0])
        for task in range(self.tasks):
            pool_row(&w, task)
        return 0
