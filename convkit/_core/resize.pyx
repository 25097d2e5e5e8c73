# Resampling: every axis has a table of weighted taps, and an output is the sum over the products of the three.
#
# A task is a piece of one line of the target. The lines of the source that it reads are added up, weighted, into one line of
# scratch memory, whose pixels are then blended along the line: a separable sum that keeps no more than a line between its two
# steps. The gradient is the same pass with the tables transposed, so each element of a result is written once.
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cython.parallel cimport prange, threadid

from convkit._core.cpu cimport (Watch, ck_flush_subnormals, ck_kernels, ck_mode, ck_write_mode, flushes, raise_if_stopped,
                                stopped, table, watch)
from convkit._core.view cimport View, drop, lift

cdef enum:
    LINES = 64                                  # lines that are added up at a time
    STREAM = 8 << 20                            # bytes of a result that is written past the caches


cdef class Table:
    """What each output of an axis reads: taps first[o] to first[o + 1], each a place of the source and a weight."""
    cdef Py_ssize_t *first
    cdef Py_ssize_t *place
    cdef double *doubles
    cdef float *floats
    cdef readonly Py_ssize_t outputs, sources
    cdef bint pairs                             # each output has one tap or two neighbouring ones

    def __cinit__(self, const Py_ssize_t[::1] first, const Py_ssize_t[::1] place, const double[::1] weight,
                  Py_ssize_t sources):
        cdef Py_ssize_t taps = place.shape[0], t
        self.outputs, self.sources = first.shape[0] - 1, sources
        self.first = <Py_ssize_t *>PyMem_Malloc(first.shape[0] * sizeof(Py_ssize_t))
        self.place = <Py_ssize_t *>PyMem_Malloc(taps * sizeof(Py_ssize_t))
        self.doubles = <double *>PyMem_Malloc(taps * sizeof(double))
        self.floats = <float *>PyMem_Malloc(taps * sizeof(float))
        if self.first == NULL or self.place == NULL or self.doubles == NULL or self.floats == NULL:
            raise MemoryError("resize: no room for the table of an axis")
        for t in range(first.shape[0]):
            self.first[t] = first[t]
        for t in range(taps):
            self.place[t], self.doubles[t], self.floats[t] = place[t], weight[t], <float>weight[t]
        self.pairs = True
        for t in range(self.outputs):
            if first[t + 1] - first[t] == 2:
                self.pairs &= place[first[t] + 1] == place[first[t]] + 1
            elif first[t + 1] - first[t] != 1:
                self.pairs = False

    def __dealloc__(self):
        PyMem_Free(self.first)
        PyMem_Free(self.place)
        PyMem_Free(self.doubles)
        PyMem_Free(self.floats)

    cdef (Py_ssize_t, Py_ssize_t) span(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """The places lo <= i < hi that outputs start to stop read."""
        cdef Py_ssize_t t, lo = self.sources, hi = 0
        for t in range(self.first[start], self.first[stop]):
            lo, hi = min(lo, self.place[t]), max(hi, self.place[t] + 1)
        return min(lo, hi), hi

    def reach(self, Py_ssize_t piece):
        """Most pixels of the source from the first to the last that a piece of so many outputs reads."""
        cdef Py_ssize_t start, lo, hi, most = 0
        for start in range(0, self.outputs, piece):
            lo, hi = self.span(start, min(start + piece, self.outputs))
            most = max(most, hi - lo)
        return most


cdef struct Work:                               # what all tasks share
    const ck_kernels *k
    const Py_ssize_t *first[3]
    const Py_ssize_t *place[3]
    const char *weight[3]
    Py_ssize_t sources[3]
    Py_ssize_t outputs[3]
    Py_ssize_t channels, itemsize, piece, pieces
    Py_ssize_t *spans                           # pixels lo <= i < hi of a source line that each piece of a line reads
    bint flush, pairs, stream
    const char *x
    char *y


cdef inline double weight(const Work *w, int axis, Py_ssize_t tap) noexcept nogil:
    return (<const double *>w.weight[axis])[tap] if w.itemsize == 8 else (<const float *>w.weight[axis])[tap]


cdef const char *add_lines(const Work *w, Py_ssize_t n, Py_ssize_t od, Py_ssize_t oh, Py_ssize_t lo, Py_ssize_t length,
                           char *room) noexcept nogil:
    """The weighted sum of the lines that output line (od, oh) reads, from pixel `lo` on: in `room`, or one that is there."""
    cdef Py_ssize_t places[LINES]
    cdef Py_ssize_t firsts[2]
    cdef double doubles[LINES]
    cdef float floats[LINES]
    cdef Py_ssize_t d, h, count = 0, line = w.sources[2] * w.channels
    cdef bint resume = False
    cdef double product = 0
    cdef const char *x = w.x + (n * w.sources[0] * w.sources[1] * w.sources[2] + lo) * w.channels * w.itemsize
    firsts[0] = 0
    for d in range(w.first[0][od], w.first[0][od + 1]):
        for h in range(w.first[1][oh], w.first[1][oh + 1]):
            if count == LINES:
                firsts[1] = count
                w.k.blend(1, length, firsts, places, 0, line, <void *>doubles if w.itemsize == 8 else <void *>floats, x, room,
                          resume)
                resume, count = True, 0
            product = weight(w, 0, d) * weight(w, 1, h)
            places[count] = w.place[0][d] * w.sources[1] + w.place[1][h]
            doubles[count], floats[count] = product, <float>product
            count += 1
    if count == 1 and product == 1 and not resume:
        return x + places[0] * line * w.itemsize
    firsts[1] = count
    w.k.blend(1, length, firsts, places, 0, line, <void *>doubles if w.itemsize == 8 else <void *>floats, x, room, resume)
    return room


cdef void blend_pairs(const Work *w, Py_ssize_t n, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop, char *y) noexcept nogil:
    """Outputs start to stop of line h, of one or two lines of the source."""
    cdef Py_ssize_t t = w.first[1][h], line = w.sources[2] * w.channels * w.itemsize
    cdef const char *x = w.x + n * w.sources[1] * line
    cdef const char *below = x + w.place[1][t + 1] * line if w.first[1][h + 1] - t > 1 else NULL
    cdef double shares[2]
    shares[0], shares[1] = weight(w, 1, t), weight(w, 1, t + 1) if below != NULL else 0
    w.k.blend_pairs(stop - start, w.channels, w.first[2] + start, w.place[2], w.weight[2], x + w.place[1][t] * line, below,
                    shares, y, w.stream)


cdef void blend_line(const Work *w, Py_ssize_t task, char *room) noexcept nogil:
    """One task: outputs start to stop of a line."""
    cdef Py_ssize_t line = task // w.pieces, piece = task % w.pieces, start = piece * w.piece
    cdef Py_ssize_t stop = min(start + w.piece, w.outputs[2]), lo = w.spans[2 * piece], hi = w.spans[2 * piece + 1]
    cdef Py_ssize_t oh = line % w.outputs[1], od = line // w.outputs[1] % w.outputs[0]
    cdef Py_ssize_t n = line // (w.outputs[1] * w.outputs[0])
    cdef const char *x = room
    cdef char *y = w.y + (line * w.outputs[2] + start) * w.channels * w.itemsize
    cdef ck_mode mode = ck_flush_subnormals(w.flush)
    if w.pairs:
        blend_pairs(w, n, oh, start, stop, y)
    else:
        if hi > lo:
            x = add_lines(w, n, od, oh, lo, (hi - lo) * w.channels, room)
        w.k.blend(stop - start, w.channels, w.first[2] + start, w.place[2], lo, w.channels, w.weight[2], x, y, False)
    ck_write_mode(mode)


def resample(Table d, Table h, Table v, x, y, Py_ssize_t piece, scratch, int threads):
    """y (N, OD, OH, OW, C) from x (N, D, H, W, C), both contiguous, by the tables of the axes d, h and w.

    `piece` is how many outputs of a line a task takes; `scratch` has room for `v.reach(piece)` pixels for each thread.
    """
    cdef View source, target, room
    source.open = target.open = room.open = False
    try:
        lift(&source, x, False)
        lift(&target, y, True)
        lift(&room, scratch, True)
        run(d, h, v, &source, &target, piece, room.data, room.shape[0] // threads * room.buffer.itemsize, threads)
    finally:
        drop(&source)
        drop(&target)
        drop(&room)


cdef void run(Table d, Table h, Table v, const View *x, const View *y, Py_ssize_t piece, char *room, Py_ssize_t each,
              int threads) except *:
    cdef Work w
    cdef Py_ssize_t task, tasks, i
    cdef Watch signals = watch()
    w.first[0], w.first[1], w.first[2] = d.first, h.first, v.first
    w.place[0], w.place[1], w.place[2] = d.place, h.place, v.place
    w.sources[0], w.sources[1], w.sources[2] = d.sources, h.sources, v.sources
    w.outputs[0], w.outputs[1], w.outputs[2] = d.outputs, h.outputs, v.outputs
    w.itemsize, w.channels = x.buffer.itemsize, x.shape[4]
    if w.itemsize == 8:
        w.weight[0], w.weight[1], w.weight[2] = <char *>d.doubles, <char *>h.doubles, <char *>v.doubles
    else:
        w.weight[0], w.weight[1], w.weight[2] = <char *>d.floats, <char *>h.floats, <char *>v.floats
    w.k, w.flush, w.x, w.y = table(w.itemsize), flushes(), x.data, y.data
    w.pairs = d.sources == 1 and d.outputs == 1 and d.pairs and d.doubles[0] == 1 and h.pairs and v.pairs
    w.stream = y.shape[0] * y.stride[0] >= STREAM
    w.piece, w.pieces = piece, (v.outputs - 1) // piece + 1
    tasks = x.shape[0] * d.outputs * h.outputs * w.pieces
    w.spans = <Py_ssize_t *>PyMem_Malloc(2 * w.pieces * sizeof(Py_ssize_t))
    if w.spans == NULL:
        raise MemoryError("resize: no room for the pieces of a line")
    for i in range(w.pieces):
        w.spans[2 * i], w.spans[2 * i + 1] = v.span(i * piece, min((i + 1) * piece, v.outputs))
    for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&signals, threadid(), task):
            blend_line(&w, task, room + each * threadid())
    PyMem_Free(w.spans)
    raise_if_stopped(&signals)
