# Passes whose target has few channels, turned round: instead of gathering what a target pixel reads, every source pixel is
# multiplied by all taps at once, which fills the vectors, and the windows it writes to are added up (csrc/kernels/few.h).
#
# This is the gradient of the input of a first layer, and the forward pass of a layer with few outputs at stride 1. Source
# pixel i adds tap k to target pixel i * stride - lo + k * dilation. A task is a block of lines of the target. A line of the
# source is multiplied a run at a time and its windows are added up along the line while they are in L1, which leaves one line
# for each row of the filter; those of the source lines that a target line reads are kept in a ring.
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy, memmove, memset

from convkit._core.border cimport ceil_div, clip
from convkit._core.cpu cimport (Watch, ck_finish, ck_flush_subnormals, ck_kernels, ck_mode, ck_write_mode, flushes,
                                raise_if_stopped, real, stopped, table, watch)

cdef enum:
    TAPS = 64                                   # most lines that a target line is the sum of, as in plan/first.py
    PIXELS = 256                                # most target pixels of a task along its lines, for short filters
    RUN_BYTES = 24576                           # of the products of a run: half of L1


cdef struct Window:                             # one axis, a row of `windows`: lo may be negative
    Py_ssize_t source, kernel, stride, dilation, lo, target


cdef struct Work:                               # what all tasks of a pass share; strides in bytes: n, d, h, w
    const ck_kernels *k
    Window axes[3]
    const char *source
    char *target
    Py_ssize_t source_stride[4]
    Py_ssize_t target_stride[4]
    const char *filters
    const char *bias
    Py_ssize_t residual                         # bytes from the target to what is added to it
    bint adds, relu, flush
    Py_ssize_t itemsize, images, depth, cols, vecs, panels, width           # width: of a pixel's products, in elements
    Py_ssize_t step                             # elements from one window to the next
    Py_ssize_t reach                            # windows that a target pixel lies under
    Py_ssize_t ring                             # source lines of one plane that a target line reads
    Py_ssize_t run                              # source pixels that are multiplied at a time
    Py_ssize_t line                             # elements of a line of sums, and of the target
    Py_ssize_t blocks, lines, pieces, pixels    # tasks along h and w, target pixels of each


cdef struct Ring:                               # of one task
    char *sums                                  # kd * ring * kh lines
    char *products                              # of a run, after those of the pixels before it that its windows reach
    Py_ssize_t held[TAPS]                       # which source line, or -1
    Py_ssize_t first, last                      # windows along the line


cdef class Windows:
    """What all calls of a pass share, for one ISA and element size."""
    cdef Work work
    cdef readonly Py_ssize_t scratch            # elements a thread needs in `run`
    cdef readonly Py_ssize_t packed             # elements of the packed filters

    def __init__(self, const Py_ssize_t[:, ::1] windows, Py_ssize_t images, Py_ssize_t depth, Py_ssize_t cols,
                 Py_ssize_t itemsize):
        cdef Work *work = &self.work
        cdef Window *ah = &work.axes[1]
        cdef Window *aw = &work.axes[2]
        cdef Py_ssize_t i
        for i in range(3):
            work.axes[i].source, work.axes[i].kernel, work.axes[i].stride = windows[i, 0], windows[i, 1], windows[i, 2]
            work.axes[i].dilation, work.axes[i].lo, work.axes[i].target = windows[i, 3], windows[i, 4], windows[i, 5]
        work.k, work.itemsize, work.images, work.depth, work.cols = table(itemsize), itemsize, images, depth, cols
        work.vecs = (ah.kernel * aw.kernel * cols + work.k.vector - 1) // work.k.vector
        work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
        work.width, work.step, work.reach = work.vecs * work.k.vector, aw.stride * cols, ceil_div(aw.kernel, aw.stride)
        work.ring = (ah.kernel - 1) * ah.dilation // ah.stride + 1
        work.run = clip(RUN_BYTES // max(<Py_ssize_t>1, work.width * itemsize), 12, PIXELS)
        work.pieces = ceil_div(aw.target, max(<Py_ssize_t>PIXELS, 8 * aw.kernel))
        work.pixels = ceil_div(aw.target, work.pieces)
        # Windows stand out of the piece at both ends, and the kernels read and write a vector further.
        work.line = (work.pixels + 2 * aw.stride) * cols + work.k.vector
        self.scratch = ((work.axes[0].kernel * work.ring * ah.kernel + 3) * work.line
                        + (work.run + work.reach) * work.width + work.k.vector)
        self.packed = work.axes[0].kernel * depth * work.width

    cdef void cut(self, Work *work, int threads):
        """Whole planes if there are enough for the threads: the source lines before a block are multiplied twice."""
        cdef Window *ah = &work.axes[1]
        work.lines = ah.target
        while (threads > 1 and work.lines > 4 * ah.kernel
               and work.images * work.axes[0].target * ceil_div(ah.target, work.lines) * work.pieces < 4 * threads):
            work.lines = (work.lines + 1) // 2
        work.blocks = ceil_div(ah.target, work.lines)

    def tasks(self, int threads):
        """Pieces of work that the threads share out."""
        cdef Work work = self.work
        self.cut(&work, threads)
        return work.images * work.axes[0].target * work.blocks * work.pieces


def run(Windows windows, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, bint relu, int threads,
        const real[:, :, :, :, :] residual=None):
    """target = the sum of the windows + bias, and ReLU of it.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = windows.work
    cdef Py_ssize_t i, t, tasks = windows.tasks(threads), room = windows.scratch * sizeof(real)
    windows.cut(&work, threads)
    work.relu, work.flush = relu, flushes()
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    work.adds = residual is not None
    if work.adds:
        work.residual = <const char *>&residual[0, 0, 0, 0, 0] - <const char *>work.target
    for i in range(4):
        work.source_stride[i], work.target_stride[i] = source.strides[i], target.strides[i]
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        task(&work, &w, threadid(), t, <char *>&scratch[0] + room * threadid())
    raise_if_stopped(&w)


cdef void task(const Work *work, Watch *w, int thread, Py_ssize_t number, char *room) noexcept nogil:
    """A block of lines of the target, or pieces of them."""
    cdef const Window *aw = &work.axes[2]
    cdef Ring ring
    cdef Py_ssize_t piece = number % work.pieces, block = number // work.pieces % work.blocks, h, i
    cdef Py_ssize_t d = number // (work.pieces * work.blocks) % work.axes[0].target
    cdef Py_ssize_t n = number // (work.pieces * work.blocks * work.axes[0].target)
    cdef Py_ssize_t first = piece * work.pixels, pixels = min(work.pixels, aw.target - first), base, end, before
    cdef Py_ssize_t slots = work.axes[0].kernel * work.ring, bytes = work.line * work.itemsize
    cdef char *line = room + slots * work.axes[1].kernel * bytes
    cdef char *bias = line + bytes
    cdef char *residual = bias + bytes
    cdef char *y
    cdef ck_mode mode
    if pixels <= 0:
        return
    mode = ck_flush_subnormals(work.flush)
    base = (first + aw.lo) // aw.stride - ((first + aw.lo) % aw.stride < 0)         # the window that starts at the piece
    end = ceil_div(first + pixels + aw.lo, aw.stride)
    ring.last = clip(end, 0, aw.source + work.reach - 1)
    ring.first = clip(base, 0, ring.last)
    ring.sums, ring.products = room, residual + bytes
    for i in range(slots):
        ring.held[i] = -1
    memset(bias, 0, 2 * bytes)
    for i in range((end - base) * aw.stride if work.bias != NULL else 0):
        memcpy(bias + i * work.cols * work.itemsize, work.bias, work.cols * work.itemsize)
    for h in range(block * work.lines, min((block + 1) * work.lines, work.axes[1].target)):
        if stopped(w, thread, h):
            break
        y = (work.target + n * work.target_stride[0] + d * work.target_stride[1] + h * work.target_stride[2]
             + first * work.target_stride[3])
        before = (first + aw.lo - base * aw.stride) * work.cols * work.itemsize         # of the windows stand out of the piece
        if work.adds:
            copy(residual + before, work.cols * work.itemsize, y + work.residual, work.target_stride[3], work, pixels)
        add(work, &ring, n, d, h, line, bias, residual, clip(ring.first - base, 0, end - base), end - base)
        copy(y, work.target_stride[3], line + before, work.cols * work.itemsize, work, pixels)
    ck_write_mode(mode)


cdef inline void copy(char *to, Py_ssize_t to_step, const char *of, Py_ssize_t of_step, const Work *work,
                      Py_ssize_t pixels) noexcept nogil:
    cdef Py_ssize_t bytes = work.cols * work.itemsize, i
    if to_step == bytes and of_step == bytes:
        memcpy(to, of, pixels * bytes)
    else:
        for i in range(pixels):
            memcpy(to + i * to_step, of + i * of_step, bytes)


cdef inline void add(const Work *work, Ring *ring, Py_ssize_t n, Py_ssize_t d, Py_ssize_t h, char *line, const char *bias,
                     const char *residual, Py_ssize_t before, Py_ssize_t windows) noexcept nogil:
    """Line (d, h) of the target: `windows` steps of bias and residual, to which the sums are added from step `before` on."""
    cdef const void *taps[TAPS + 1]
    cdef const void *rest = residual
    cdef const Window *ad = &work.axes[0]
    cdef const Window *ah = &work.axes[1]
    cdef Py_ssize_t kd, kh, sd, sh, slot, count = 0, step = work.step * work.itemsize
    cdef Py_ssize_t inside = ring.last - ring.first
    for kd in range(ad.kernel):
        sd = d + ad.lo - kd * ad.dilation
        if sd < 0 or sd % ad.stride or sd // ad.stride >= ad.source:
            continue
        for kh in range(ah.kernel):
            sh = h + ah.lo - kh * ah.dilation
            if sh < 0 or sh % ah.stride or sh // ah.stride >= ah.source:
                continue
            sh //= ah.stride
            slot = kd * work.ring + sh % work.ring
            if ring.held[slot] != sh:
                multiply(work, ring, slot, kd, n, sd // ad.stride, sh)
                ring.held[slot] = sh
            taps[count] = ring.sums + (slot * ah.kernel + kh) * work.line * work.itemsize
            count += 1
    # In this order, as the kernel stores whole vectors.
    work.k.sum_lines(work.adds, before * work.step, &rest, bias, line, work.relu)
    rest = residual + before * step
    taps[count] = rest
    work.k.sum_lines(count + work.adds, inside * work.step, taps, bias + before * step, line + before * step, work.relu)
    before += inside
    rest = residual + before * step
    work.k.sum_lines(work.adds, (windows - before) * work.step, &rest, bias + before * step, line + before * step, work.relu)


cdef void multiply(const Work *work, Ring *ring, Py_ssize_t slot, Py_ssize_t kd, Py_ssize_t n, Py_ssize_t d,
                   Py_ssize_t h) noexcept nogil:
    """A line of the source times the taps of plane kd, its windows added up for each row of the filter."""
    cdef const char *line = work.source + n * work.source_stride[0] + d * work.source_stride[1] + h * work.source_stride[2]
    cdef Py_ssize_t first = ring.first, stop, kh, row = work.axes[2].kernel * work.cols, before = work.reach - 1
    cdef Py_ssize_t pixel = work.width * work.itemsize, kernel = work.axes[1].kernel
    products(work, line, first - before, first, kd, ring.products)
    while first < ring.last:
        stop = min(first + work.run, ring.last)
        products(work, line, first, stop, kd, ring.products + before * pixel)
        for kh in range(kernel):
            work.k.sum_windows(stop - first, row, ring.products + before * pixel + kh * row * work.itemsize, work.width,
                               ring.sums + ((slot * kernel + kh) * work.line + (first - ring.first) * work.step)
                               * work.itemsize, work.step)
        memmove(ring.products, ring.products + (stop - first) * pixel, before * pixel)
        first = stop


cdef inline void products(const Work *work, const char *line, Py_ssize_t first, Py_ssize_t last, Py_ssize_t kd,
                          char *to) noexcept nogil:
    """Source pixels times all taps of plane kd; zeros for pixels outside of the line."""
    cdef Py_ssize_t lo = clip(0, first, last), hi = clip(work.axes[2].source, lo, last), p, start, stop
    cdef Py_ssize_t pixel = work.width * work.itemsize
    cdef const void *inside = line + lo * work.source_stride[3]
    cdef ck_finish finish
    finish.bias, finish.next, finish.resume, finish.relu, finish.stream = NULL, NULL, False, False, False
    memset(to, 0, (lo - first) * pixel)
    memset(to + (hi - first) * pixel, 0, (last - hi) * pixel)
    for p in range(work.panels if hi > lo else 0):
        start, stop = work.vecs * p // work.panels, work.vecs * (p + 1) // work.panels
        finish.cols = (stop - start) * work.k.vector
        work.k.line_tiles(hi - lo, <int>(stop - start), 1, work.depth, &inside, work.source_stride[3] // work.itemsize,
                          work.filters + (start * work.axes[0].kernel + (stop - start) * kd) * work.depth * work.k.vector
                          * work.itemsize, to + (lo - first) * pixel + start * work.k.vector * work.itemsize, work.width,
                          &finish)
