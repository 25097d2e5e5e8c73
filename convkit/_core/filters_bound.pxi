# Part of filters.pyx: gradients whose arrays have known sizes, and lie elsewhere in each run.
#
# threads is 0 for work so little that it is done in the calling thread, with the GIL.
cdef class Bound(Fast):
    """`grad` without `turned` or other parts, for C-contiguous arrays."""
    cdef Work work
    cdef Py_ssize_t units
    cdef int threads
    cdef object windows

    def __init__(self, const Py_ssize_t[:, ::1] windows, Py_ssize_t groups, tuple dy, tuple x, Py_ssize_t taps,
                 Py_ssize_t itemsize, int threads):
        """dy and x are shapes (N, D, H, W, C)."""
        cdef Dense source = lifted(x, itemsize), target = lifted(dy, itemsize)
        cdef int i
        self.windows, self.work.adds = windows.base, False
        self.units = set_out(&self.work, windows, groups, dy[4], taps, x[4] // groups, x[0], itemsize, False)
        for i in range(4):
            self.work.x.stride[i], self.work.dy.stride[i] = source.stride[i], target.stride[i]
        step(&self.work)
        self.threads = <int>min(<Py_ssize_t>threads, self.units)

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        cdef Watch w = watch()
        cdef Py_ssize_t t, units = self.units
        cdef int threads = self.threads
        work.dy.origin, work.x.origin, work.sums = at.x, at.other, at.y
        if threads:
            for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
                share(&work, &w, threadid(), 0, 1, units * t // threads, units * (t + 1) // threads)
        else:
            share(&work, &w, 0, 0, 1, 0, units)
        return raise_if_stopped(&w)


cdef class BoundBias(Fast):
    """`sum_bias` of a C-contiguous dy."""
    cdef Bias bias
    cdef Py_ssize_t chunks
    cdef int threads

    def __init__(self, tuple dy, Py_ssize_t itemsize, int threads):
        cdef Dense form = lifted(dy, itemsize)
        cdef int i
        for i in range(5):
            self.bias.shape[i] = form.shape[i]
        for i in range(4):
            self.bias.stride[i] = form.stride[i]
        lay_out(&self.bias, itemsize)
        self.threads = threads
        self.chunks = bias_chunks(form.shape[0] * form.shape[1] * form.shape[2], form.shape[3])
        self.room = self.chunks * form.shape[4] * itemsize

    cdef int run(self, const Places *at) except -1:
        cdef Bias b = self.bias
        cdef Py_ssize_t t, row = b.shape[4] * b.itemsize, chunks = self.chunks
        cdef int threads = self.threads
        cdef char *partial = at.room
        b.dy = at.x
        memset(partial, 0, self.room)
        memset(at.y, 0, row)
        if threads:
            for t in prange(chunks, nogil=True, schedule="static", num_threads=threads):
                bias_chunk(&b, t, partial + t * row)
        else:
            for t in range(chunks):
                bias_chunk(&b, t, partial + t * row)
        bias_end(&b, chunks, partial, at.y)
        return 0
