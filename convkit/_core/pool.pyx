# Max and average pooling and their gradients, for any rank: one walk from a source to a target.
#
# A task is a piece of one row of target pixels, for some of their channels. Each target pixel reads taps, source pixels in
# row-major order: forward (x to y) those of its window, backward (dy to dx) the outputs whose windows cover it. Only taps
# inside the source are ever listed. Neighbours far from the borders read alike, so one list of taps serves a run of them;
# a pixel near a border has a list of its own.
from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t

from convkit._core.call cimport Fast, Dense, Places
from convkit._core.call cimport lifted as form_of
from convkit._core.cpu cimport (CK_INT, CK_INT8, CK_INT16, CK_POOL_TAPS, CK_REAL, Watch, ck_element, ck_flush_subnormals,
                                ck_kernels, ck_mode, ck_taps, ck_write_mode, flushes, raise_if_stopped, real, stopped, table,
                                watch)
from convkit._core.view cimport View, drop, lift

from convkit._core.cpu import thread_count

cdef enum:
    PHASES = 8                                  # largest stride whose backward pass goes along the row once
    STREAM = 8 << 20                            # bytes of a target that is written past the caches
    WIDE = 512                                  # channels of pixels that SUM reads eight at a time, each from end to end
    CHUNK = 256                                 # channels that MAX_FLAT takes at a time
    NOWHERE = 255                               # label of a maximum that a ReLU stopped

cpdef enum:                                     # what a walk does
    MAX                                         # the maxima, or the label in its window of each
    MAX_FLAT                                    # the maxima and their flat spatial indices
    SUM                                         # the sum over each window, divided by its count
    SHARE                                       # each output divided by the count of its window
    SPREAD                                      # backward: the target, an output's gradient, goes to the maximum of its window
    COVER                                       # backward: the sum over the windows that cover a pixel, or that chose it

cpdef enum:                                     # what an average divides by
    ONE
    INSIDE                                      # taps inside the input
    PADDED                                      # taps inside the input or its padding

cdef struct Axis:                               # as plan/geometry.py has it
    Py_ssize_t size, kernel, stride, dilation, lo, hi, out


cdef struct Span:                               # taps of one target position along an axis
    Py_ssize_t first, step, count               # source positions
    Py_ssize_t label, label_step                # places in the window
    double counted                              # taps to divide by


cdef struct Walk:                               # what all tasks share; strides in elements, of n, d, h, w
    const ck_kernels *k
    int op, count
    ck_element element
    int flipped
    bint merges                                 # a run is one long pixel
    bint labelled
    bint single                                 # COVER of one window along a row, whose pixels all read the same
    bint flush                                  # of sums; a maximum keeps every number as it is
    bint stream                                 # the target is too large for the caches
    Axis axis[3]
    Py_ssize_t itemsize, channels, panel, panels, piece, pieces
    const char *source
    Py_ssize_t source_stride[4]
    char *target                                # only read by SPREAD
    Py_ssize_t target_stride[4]
    char *spread                                # what SPREAD fills; lies like the source
    char *sums                                  # what it adds up, for each piece of a row
    bint rectified                              # maxima that are not positive have the label NOWHERE
    Py_ssize_t extent[3]                        # of the target
    unsigned char *labels
    int64_t *flat


cdef inline Span window(const Axis *a, Py_ssize_t o, int count) noexcept nogil:
    """What output `o` reads of the input."""
    cdef Span s
    cdef Py_ssize_t start = o * a.stride - a.lo, stop = a.kernel
    s.label = 0 if start >= 0 else (-start - 1) // a.dilation + 1
    if start + (a.kernel - 1) * a.dilation >= a.size:
        stop = (a.size - start - 1) // a.dilation + 1 if start < a.size else 0
    s.count = max(stop - s.label, 0)
    s.first, s.step, s.label_step = start + s.label * a.dilation, a.dilation, 1
    s.counted = 1 if count == ONE else s.count if count == INSIDE else min(start + a.kernel, a.size + a.hi) - start
    return s


cdef inline Span cover(const Axis *a, Py_ssize_t i, int count) noexcept nogil:
    """Which outputs read input `i`; their windows have no dilation. With a count there is at most one."""
    cdef Span s
    cdef Py_ssize_t place = i + a.lo
    s.first = 0 if place < a.kernel else (place - a.kernel) // a.stride + 1
    s.count = max(min(place // a.stride + 1, a.out) - s.first, 0)
    s.label, s.label_step = place - s.first * a.stride, -a.stride
    s.step = 1
    # A pixel between two windows adds nothing, but may lead a run of pixels that do.
    s.counted = 1 if count == ONE else window(a, s.first, count).counted if s.count else a.kernel
    return s


cdef inline (Py_ssize_t, Py_ssize_t) alike(const Axis *a, bint backward, int count) noexcept nogil:
    """Target positions lo <= i < hi that read all their taps, so that i and its next in phase have neighbouring taps."""
    cdef Py_ssize_t room = a.size - 1 - (a.kernel - 1) * a.dilation + a.lo
    cdef Py_ssize_t lo = (a.lo - 1) // a.stride + 1 if a.lo else 0          # windows wholly inside the input
    cdef Py_ssize_t hi = min(room // a.stride + 1, a.out) if room >= 0 else 0
    if not backward:
        return lo, hi
    if count == ONE:
        return max(a.kernel - a.stride - a.lo, 0), min(a.out * a.stride - a.lo, a.size)
    return lo * a.stride - a.lo, min(hi * a.stride - a.lo, a.size)


cdef struct Run:                                # target pixels that read alike, and where they lie
    Py_ssize_t pixels, channels
    Py_ssize_t phases                           # lists of taps that neighbours take in turn; pixels of each
    Py_ssize_t source, source_step, target, target_step
    Py_ssize_t flat, flat_step                  # place of the first pixel in `flat`, and from one pixel to the next
    Py_ssize_t sums
    Py_ssize_t shift                            # source pixels from one target pixel to the next
    double count


cdef void find_flat(const Walk *w, const Run *run, const ck_taps *taps, const Py_ssize_t *places, bint first) noexcept nogil:
    """One block of taps, labelled 1, 2, ..., and the flat index of each maximum that it holds."""
    cdef unsigned char labels[CHUNK]
    cdef Py_ssize_t p, b, c, j, n
    cdef int64_t *flat
    for p in range(run.pixels):
        for b in range((run.channels - 1) // CHUNK + 1):
            c = b * CHUNK
            n = min(run.channels - c, CHUNK)
            w.k.max_taps(w.element, w.flipped, 1, n, taps, w.source + (run.source + p * run.source_step + c) * w.itemsize, 0,
                         w.target + (run.target + p * run.target_step + c) * w.itemsize, labels, 0)
            flat = w.flat + run.flat + p * run.flat_step + c
            for j in range(n):
                if labels[j]:
                    flat[j] = places[labels[j] - 1] + p * run.shift
                elif first:                     # nothing above the lowest value: the first tap, or none
                    flat[j] = places[0] + p * run.shift if taps.count else -1


cdef void apply(const Walk *w, const Run *run, const ck_taps *taps, const Py_ssize_t *places, bint last) noexcept nogil:
    """One block of taps on a run."""
    cdef const char *source = w.source + run.source * w.itemsize
    cdef char *target = w.target + run.target * w.itemsize if w.target != NULL else NULL
    if w.op == MAX_FLAT:
        find_flat(w, run, taps, places, not taps.resume)
    elif w.op == SPREAD:
        w.k.max_spread(run.pixels, run.channels, taps, source, run.source_step, w.labels + run.target if w.labelled else NULL,
                       target, run.target_step, w.spread + run.source * w.itemsize,
                       w.sums + run.sums * w.itemsize if w.sums != NULL else NULL)
    elif w.op == MAX:
        w.k.max_taps(w.element, w.flipped, run.pixels, run.channels, taps, source, run.source_step, target,
                     w.labels + run.target if w.labelled else NULL, run.target_step)
    else:
        w.k.sum_taps(run.pixels, run.phases, run.channels, taps, run.count if last else 1, source,
                     w.labels + run.source if w.labelled else NULL, run.source_step, target, run.target_step)


cdef void fill(ck_taps *taps, Py_ssize_t *places, const Walk *w, const Span *spans, Py_ssize_t start) noexcept nogil:
    """Taps `start` to `start + taps.count` of a run, in row-major order."""
    cdef const Span *d = &spans[0]
    cdef const Span *h = &spans[1]
    cdef const Span *v = &spans[2]
    cdef Py_ssize_t t, l = start % max(v.count, 1), j = start // max(v.count, 1) % max(h.count, 1)
    cdef Py_ssize_t i = start // max(v.count * h.count, 1)
    cdef Py_ssize_t at_d, at_h, at_w, label
    for t in range(taps.count):
        at_d, at_h, at_w = d.first + i * d.step, h.first + j * h.step, v.first + l * v.step
        taps.offset[t] = at_d * w.source_stride[1] + at_h * w.source_stride[2] + at_w * w.source_stride[3]
        if w.op == MAX_FLAT:
            places[t] = (at_d * w.axis[1].size + at_h) * w.axis[2].size + at_w
            taps.label[t] = <unsigned char>(t + 1)
        elif w.labelled:
            label = (d.label + i * d.label_step) * w.axis[1].kernel + h.label + j * h.label_step
            taps.label[t] = <unsigned char>(label * w.axis[2].kernel + v.label + l * v.label_step)
        l += 1
        if l == v.count:
            l, j = 0, j + 1
            if j == h.count:
                j, i = 0, i + 1
    taps.start = NOWHERE if w.rectified else taps.label[0] if w.labelled and taps.count else 0
    taps.rectified = w.rectified


cdef inline Py_ssize_t length(const Span *spans) noexcept nogil:
    return spans[0].count * spans[1].count * spans[2].count


cdef void reduce(const Walk *w, const Run *run, const Span *spans) noexcept nogil:
    """All taps of a run, in blocks that a byte can label."""
    cdef ck_taps taps
    cdef Py_ssize_t places[CK_POOL_TAPS]
    cdef Py_ssize_t limit = CK_POOL_TAPS - 1 if w.op == MAX_FLAT else CK_POOL_TAPS
    cdef Py_ssize_t total = length(spans), start = 0
    if w.op == SUM and run.channels >= WIDE:
        limit = 8
    taps.resume, taps.stream = 0, w.stream
    while start == 0 or start < total:
        taps.count = min(limit, total - start)
        fill(&taps, places, w, spans, start)
        start += limit
        apply(w, run, &taps, places, start >= total)
        taps.resume = 1


cdef inline Span span(const Walk *w, int axis, Py_ssize_t i) noexcept nogil:
    cdef Span s
    if w.op == COVER:
        return cover(&w.axis[axis], i, w.count)
    s = window(&w.axis[axis], i, w.count)
    if w.op == SHARE:
        s.first, s.count = i, 1
    return s


cdef inline void locate(const Walk *w, Run *run, Span *spans, Py_ssize_t i) noexcept nogil:
    """Moves a run from the start of its row to pixel `i`."""
    spans[2] = span(w, 2, i)
    run.target += i * w.target_stride[3]
    run.flat += i * w.channels
    run.count = max(run.count * spans[2].counted, 1)    # a window that counts nothing has the mean 0


cdef void pool_run(const Walk *w, Run run, Span *spans, Py_ssize_t i, Py_ssize_t pixels) noexcept nogil:
    """`pixels` of a row from `i` on, one phase of them."""
    locate(w, &run, spans, i)
    run.pixels = pixels
    if w.merges:
        run.pixels, run.channels = 1, run.channels * pixels
    reduce(w, &run, spans)


cdef Py_ssize_t pool_phases(const Walk *w, Run run, Span *spans, Py_ssize_t i, Py_ssize_t pixels) noexcept nogil:
    """COVER of pixels from `i` on, in their order in memory, whose lists of taps repeat; returns how many were done."""
    cdef ck_taps taps[PHASES]
    cdef Py_ssize_t places[1]
    cdef Py_ssize_t q, phases = w.axis[2].stride
    if phases > PHASES or pixels < phases:
        return 0
    for q in range(phases):
        spans[2] = span(w, 2, i + q)
        taps[q].resume, taps[q].stream, taps[q].count = 0, w.stream, length(spans)
        if taps[q].count > CK_POOL_TAPS:
            return 0
        fill(&taps[q], places, w, spans, 0)
    locate(w, &run, spans, i)
    run.phases, run.pixels, run.target_step = phases, pixels // phases, w.target_stride[3]
    apply(w, &run, taps, places, True)
    return pixels // phases * phases


cdef void pool_row(const Walk *w, Py_ssize_t task) noexcept nogil:
    """One task: target pixels first <= i < last of a row, channels of one panel."""
    cdef Py_ssize_t panel = task % w.panels, piece = task // w.panels % w.pieces, line = task // (w.panels * w.pieces)
    cdef Py_ssize_t h = line % w.extent[1], d = line // w.extent[1] % w.extent[0], n = line // (w.extent[1] * w.extent[0])
    cdef Py_ssize_t first = piece * w.piece, last = min(first + w.piece, w.extent[2]), lo, hi, i
    cdef Py_ssize_t period = w.axis[2].stride if w.op == COVER and not w.single else 1
    cdef Span spans[3]
    cdef Run base
    cdef ck_mode mode = ck_flush_subnormals(w.flush)
    spans[0], spans[1] = span(w, 0, d), span(w, 1, h)
    base.phases, base.channels = 1, min(w.panel, w.channels - panel * w.panel)
    base.source = n * w.source_stride[0] + panel * w.panel
    base.target = n * w.target_stride[0] + d * w.target_stride[1] + h * w.target_stride[2] + panel * w.panel
    base.flat = line * w.extent[2] * w.channels + panel * w.panel
    base.flat_step = w.channels
    base.sums = (line * w.pieces + piece) * w.channels + panel * w.panel
    base.shift = 0 if w.single else 1 if w.op == COVER or w.op == SHARE else w.axis[2].stride
    base.source_step, base.target_step = base.shift * w.source_stride[3], period * w.target_stride[3]
    base.count = spans[0].counted * spans[1].counted
    lo, hi = alike(&w.axis[2], w.op == COVER, w.count)
    if w.single:
        lo, hi = 0, min(w.axis[2].kernel - w.axis[2].lo, w.axis[2].size)
    lo = min(max(lo, first), last)
    hi = min(max(hi, lo), last)
    for i in range(first, lo):
        pool_run(w, base, spans, i, 1)
    if period > 1:
        lo += pool_phases(w, base, spans, lo, hi - lo)
    for i in range(lo, min(lo + period, hi)):
        pool_run(w, base, spans, i, (hi - i - 1) // period + 1)
    for i in range(hi, last):
        pool_run(w, base, spans, i, 1)
    ck_write_mode(mode)


cdef class Windows:
    """The three axes (d, h, w) of a pooling, each as in `Axis`."""
    cdef Axis axis[3]

    def __init__(self, axes):
        cdef int i
        for i in range(3):
            size, kernel, stride, dilation, lo, hi, out = axes[i]
            self.axis[i] = Axis(size, kernel, stride, dilation, lo, hi, out)


def walk(int op, int count, Windows windows, Py_ssize_t piece, Py_ssize_t panel, str kind, source, target, labels, flat,
         spread, int threads, sums=None, bint rectified=False):
    """One pass from source to target, channels last; `op` says which. kind is that of their dtype.

    labels (contiguous bytes) is written by MAX, when target may be None, and read by COVER, whose source is then contiguous
    too, and by SPREAD, whose target is, instead of a search; with `rectified` MAX gives those that are not positive a label of
    their own. flat (contiguous, int64) is written by MAX_FLAT, spread by SPREAD, whose source (or spread again, with labels)
    and spread are contiguous; sums (pieces of rows, channels) are added to. piece and panel are the pixels of a row and the
    channels that a task takes.
    """
    cdef View x, y, byte, place, dx, total
    x.open = y.open = byte.open = place.open = dx.open = total.open = False
    try:
        lift(&x, source, False)
        lift(&y, target, op != SPREAD)
        lift(&byte, labels, op == MAX)
        lift(&place, flat, True)
        lift(&dx, spread, True)
        lift(&total, sums, True)
        run(op, count, windows, piece, panel, kind, &x, &y, &byte, &place, &dx, threads, total.data, rectified)
    finally:
        drop(&x)
        drop(&y)
        drop(&byte)
        drop(&place)
        drop(&dx)
        drop(&total)


cdef void run(int op, int count, Windows windows, Py_ssize_t piece, Py_ssize_t panel, str kind, const View *x, const View *y,
              const View *labels, const View *flat, const View *spread, int threads, char *sums, bint rectified) except *:
    cdef Walk w
    cdef const View *shape = y if y.data != NULL else labels
    cdef Py_ssize_t i
    w.itemsize = x.buffer.itemsize
    w.labelled = labels.data != NULL
    for i in range(4):
        w.source_stride[i], w.target_stride[i] = x.stride[i] // w.itemsize, shape.stride[i] // shape.buffer.itemsize
    set_out(&w, op, count, windows, piece, panel, kind, shape.shape)
    w.source, w.target, w.spread, w.sums, w.rectified = x.data, y.data, spread.data, sums, rectified
    w.labels, w.flat = <unsigned char *>labels.data, <int64_t *>flat.data
    # A search for labels has just filled the caches with x; without one, ordinary stores are faster.
    w.stream = ((op == COVER and w.labelled and y.shape[0] * y.stride[0] >= STREAM)
                or (op == SPREAD and x.shape[0] * x.stride[0] >= STREAM))
    share(&w, shape.shape[0] * w.extent[0] * w.extent[1] * w.pieces * w.panels, threads)


cdef void set_out(Walk *w, int op, int count, Windows windows, Py_ssize_t piece, Py_ssize_t panel, str kind,
                  const Py_ssize_t *shape) except *:
    """All but the addresses, of a walk whose strides are known, to a target of that shape."""
    cdef Py_ssize_t i
    w.k = table(8 if w.itemsize == 8 else 4)
    w.op, w.count = op, count
    w.flush = op != MAX and op != MAX_FLAT and (op != SPREAD or w.labelled) and flushes()
    w.element = CK_REAL if kind == "f" else CK_INT8 if w.itemsize == 1 else CK_INT16 if w.itemsize == 2 else CK_INT
    w.flipped = kind == "u" or kind == "b"
    w.channels, w.panel, w.piece = shape[4], panel, piece
    w.panels, w.pieces = (w.channels - 1) // panel + 1, (shape[3] - 1) // piece + 1
    for i in range(3):
        w.axis[i] = windows.axis[i]
        w.extent[i] = shape[i + 1]
    w.single = op == COVER and not w.labelled and w.axis[2].out == 1
    w.merges = (op != MAX_FLAT and not w.single and (op == SHARE or w.axis[2].stride == 1) and w.panels == 1
                and w.source_stride[3] == w.channels and w.target_stride[3] == w.channels)


cdef int share(const Walk *w, Py_ssize_t tasks, int threads) except -1:
    cdef Py_ssize_t task
    cdef Watch signals = watch()
    for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&signals, threadid(), task):
            pool_row(w, task)
    return raise_if_stopped(&signals)


include "pool_bound.pxi"
include "pool_scatter.pxi"
