# Passes whose target has few channels, turned round: instead of gathering what a target pixel reads, every source pixel is
# multiplied by all taps at once, which fills the vectors, and the windows it writes to are added up (csrc/kernels/few.h).
#
# This is the gradient of the input of a first layer, and the forward pass of a layer with few outputs at stride 1. Source
# pixel i adds tap k to target pixel i * stride - lo + k * dilation. A task is a block of lines of the target; the products of
# the source lines that it needs live in a ring of as many lines as one target line reads.
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy, memset

from convkit._core.border cimport ceil_div, clip
from convkit._core.cpu cimport ck_finish, ck_flush_subnormals, ck_kernels, ck_mode, ck_write_mode, flushes, real, table

cdef enum:
    TAPS = 64                                   # most lines of products that a target line reads, as in plan/first.py
    PIXELS = 128                                # about as many source pixels in a line of products
    LINES = 56                                  # most target lines of a task: the lines before them are multiplied twice
    TASKS = 8                                   # enough for the threads to finish together


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
    bint relu, flush
    Py_ssize_t itemsize, images, depth, cols, vecs, panels, width           # width: of a pixel's products, in elements
    Py_ssize_t reach                            # windows that a target pixel lies under
    Py_ssize_t ring                             # source lines of one plane that a target line reads
    Py_ssize_t line                             # elements of a line of products
    Py_ssize_t blocks, lines, pieces, pixels    # tasks along h and w, target pixels of each


cdef struct Ring:                               # of one task
    char *products                              # kd * ring lines, and one of zeros where a target line reads none
    Py_ssize_t held[TAPS]                       # which source line, or -1
    Py_ssize_t first, last                      # source pixels, where those before 0 and after the last one are zeros


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
        columns = ah.kernel * aw.kernel * cols
        work.vecs = (columns + work.k.vector - 1) // work.k.vector
        work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
        work.width = work.vecs * work.k.vector
        work.reach = ceil_div(aw.kernel, aw.stride)
        work.ring = (ah.kernel - 1) * ah.dilation // ah.stride + 1
        work.pieces = ceil_div(aw.target, max(<Py_ssize_t>PIXELS, 4 * work.reach) * aw.stride)
        work.pixels = ceil_div(aw.target, work.pieces)
        work.lines = min(ah.target, max(<Py_ssize_t>LINES, 4 * ah.kernel))
        while work.lines > 4 * ah.kernel and (
                images * work.axes[0].target * ceil_div(ah.target, work.lines) * work.pieces < TASKS):
            work.lines = (work.lines + 1) // 2
        work.blocks = ceil_div(ah.target, work.lines)
        # The first and the last window of a piece may each stand out by a stride; sums_windows reads and writes a vector more.
        work.line = (work.pixels // aw.stride + 2 + 2 * work.reach) * work.width
        self.scratch = work.axes[0].kernel * work.ring * work.line + self.target_line() + 2 * work.k.vector
        self.packed = work.axes[0].kernel * depth * work.width

    cdef Py_ssize_t target_line(self):
        return (self.work.pixels + 2 * self.work.axes[2].stride) * self.work.cols

    @property
    def tasks(self):
        """Pieces of work that the threads share out."""
        return self.work.images * self.work.axes[0].target * self.work.blocks * self.work.pieces


def run(Windows windows, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, bint relu, int threads):
    """target = the sum of the windows + bias, and ReLU of it."""
    cdef Work work = windows.work
    cdef Py_ssize_t i, t, tasks = windows.tasks, room = windows.scratch * sizeof(real)
    work.relu, work.flush = relu, flushes()
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    for i in range(4):
        work.source_stride[i], work.target_stride[i] = source.strides[i], target.strides[i]
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        task(&work, t, <char *>&scratch[0] + room * threadid())


cdef void task(const Work *work, Py_ssize_t number, char *room) noexcept nogil:
    """A block of lines of the target, or pieces of them."""
    cdef const Window *aw = &work.axes[2]
    cdef Ring ring
    cdef Py_ssize_t piece = number % work.pieces, block = number // work.pieces % work.blocks, h, i
    cdef Py_ssize_t d = number // (work.pieces * work.blocks) % work.axes[0].target
    cdef Py_ssize_t n = number // (work.pieces * work.blocks * work.axes[0].target)
    cdef Py_ssize_t first = piece * work.pixels, pixels = min(work.pixels, aw.target - first), base, start, stop, end
    cdef char *line = room + work.axes[0].kernel * work.ring * work.line * work.itemsize
    cdef char *y
    cdef ck_mode mode
    if pixels <= 0:
        return
    mode = ck_flush_subnormals(work.flush)
    base = (first + aw.lo) // aw.stride - ((first + aw.lo) % aw.stride < 0)         # the window that starts at the piece
    end = ceil_div(first + pixels + aw.lo, aw.stride)
    stop = clip(end, 0, aw.source + work.reach - 1)
    start = clip(base, 0, stop)
    ring.products, ring.first, ring.last = room, start - (work.reach - 1), stop
    for i in range(work.axes[0].kernel * work.ring):
        ring.held[i] = -1
    for h in range(block * work.lines, min((block + 1) * work.lines, work.axes[1].target)):
        fill(work, line, start - base)
        fill(work, line + (stop - base) * aw.stride * work.cols * work.itemsize, end - stop)
        add(work, &ring, n, d, h, line + (start - base) * aw.stride * work.cols * work.itemsize, stop - start)
        y = (work.target + n * work.target_stride[0] + d * work.target_stride[1] + h * work.target_stride[2]
             + first * work.target_stride[3])
        write(work, y, line + (first + aw.lo - base * aw.stride) * work.cols * work.itemsize, pixels)
    ck_write_mode(mode)


cdef inline void fill(const Work *work, char *line, Py_ssize_t windows) noexcept nogil:
    """What a target reads that no window reaches."""
    if windows > 0:
        work.k.sum_windows(windows, 0, 0, NULL, 0, line, work.axes[2].stride * work.cols, work.bias, work.relu)


cdef inline void write(const Work *work, char *y, const char *line, Py_ssize_t pixels) noexcept nogil:
    cdef Py_ssize_t bytes = work.cols * work.itemsize, i
    if work.target_stride[3] == bytes:
        memcpy(y, line, pixels * bytes)
    else:
        for i in range(pixels):
            memcpy(y + i * work.target_stride[3], line + i * bytes, bytes)


cdef inline void add(const Work *work, Ring *ring, Py_ssize_t n, Py_ssize_t d, Py_ssize_t h, char *line,
                     Py_ssize_t windows) noexcept nogil:
    """The windows of all source lines that reach line (d, h) of the target."""
    cdef const void *taps[TAPS]
    cdef const Window *ad = &work.axes[0]
    cdef const Window *ah = &work.axes[1]
    cdef const Window *aw = &work.axes[2]
    cdef Py_ssize_t kd, kh, sd, sh, slot, count = 0
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
            taps[count] = (ring.products + ((slot * work.line + (work.reach - 1) * work.width)
                                            + kh * aw.kernel * work.cols) * work.itemsize)
            count += 1
    work.k.sum_windows(windows, count, aw.kernel * work.cols, taps, work.width, line, aw.stride * work.cols, work.bias, work.relu)


cdef void multiply(const Work *work, Ring *ring, Py_ssize_t slot, Py_ssize_t kd, Py_ssize_t n, Py_ssize_t d,
                   Py_ssize_t h) noexcept nogil:
    """A line of the source times the taps of plane kd."""
    cdef Py_ssize_t first = max(ring.first, <Py_ssize_t>0), last = max(first, min(ring.last, work.axes[2].source)), p, start, stop
    cdef Py_ssize_t pixel = work.width * work.itemsize
    cdef const void *line = (work.source + n * work.source_stride[0] + d * work.source_stride[1] + h * work.source_stride[2]
                             + first * work.source_stride[3])
    cdef char *to = ring.products + slot * work.line * work.itemsize
    cdef ck_finish finish
    finish.bias, finish.resume, finish.relu = NULL, False, False
    memset(to, 0, (first - ring.first) * pixel)
    memset(to + (last - ring.first) * pixel, 0, (ring.last - last) * pixel)
    to += (first - ring.first) * pixel
    if last == first:
        return
    for p in range(work.panels):
        start, stop = work.vecs * p // work.panels, work.vecs * (p + 1) // work.panels
        finish.cols = (stop - start) * work.k.vector
        work.k.line_tiles(last - first, <int>(stop - start), 1, work.depth, &line, work.source_stride[3] // work.itemsize,
                          work.filters + (start * work.axes[0].kernel + (stop - start) * kd) * work.depth * work.k.vector
                          * work.itemsize, to + start * work.k.vector * work.itemsize, work.width, &finish)
