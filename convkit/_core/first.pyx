# Layers whose source has few channels: the pixels that a row of the filter reads are neighbours, and one tap.
#
# A task is a few lines of the target, or a piece of one. Each line of the source that it reads is copied once, between zeros
# where it hangs over the border, so that a tap is a pointer to a line and all pixels of a line are a step apart. The sums
# are those of _core/direct.pyx, in the same order, over the same packed filters.
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy, memset

from convkit._core.call cimport Fast, Dense, Places, lifted
from convkit._core.border cimport ceil_div, clip
from convkit._core.cpu cimport (CK_MAX_ROWS, CK_RESIDUAL, CK_SUMS_TOGETHER, Watch, ck_finish, ck_flush_subnormals,
                                ck_kernels, ck_mode, ck_write_mode, fence, flushes, lines as whole_lines, raise_if_stopped,
                                real, stopped, streams, table, watch)

cdef enum:
    TAPS = 64                                   # most rows of a filter, as in plan/first.py
    PIXELS = 112                                # most target pixels of a piece of a line
    CHUNK_BYTES = 14336                         # of the gradient of the output in a chunk of that of the filters
    TOGETHER = 224                              # about as many of them in a task
    LINES = 16                                  # most lines of a task
    TASKS = 32                                  # enough for the threads to finish together
    LITTLE = 1 << 20                            # FLOP, as SERIAL_FLOP of plan/conv.py
    RUN = 10                                    # numbers in a row of `runs`, named in plan/conv.py


cdef struct Source:
    const char *origin
    Py_ssize_t size[3]                          # d, h, w
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t pixel                            # bytes of a pixel's channels
    const char *zeros                           # a line of them


cdef inline const char *fetch(const Source *s, Py_ssize_t n, Py_ssize_t d, Py_ssize_t h, Py_ssize_t w, Py_ssize_t pixels,
                              char **room) noexcept nogil:
    """`pixels` pixels of a line from w on, with zeros outside of the image: where they lie, or a copy that moves `room` on."""
    cdef Py_ssize_t lo = clip(-w, 0, pixels), hi = clip(s.size[2] - w, lo, pixels), p
    cdef const char *line = s.origin + n * s.stride[0] + d * s.stride[1] + h * s.stride[2] + w * s.stride[3]
    cdef char *to = room[0]
    if <size_t>d >= <size_t>s.size[0] or <size_t>h >= <size_t>s.size[1] or lo == hi:
        return s.zeros
    if s.stride[3] == s.pixel and lo == 0 and hi == pixels:
        return line
    memset(to, 0, lo * s.pixel)
    if s.stride[3] == s.pixel:
        memcpy(to + lo * s.pixel, line + lo * s.pixel, (hi - lo) * s.pixel)
    else:
        for p in range(lo, hi):
            memcpy(to + p * s.pixel, line + p * s.stride[3], s.pixel)
    memset(to + hi * s.pixel, 0, (pixels - hi) * s.pixel)
    room[0] += pixels * s.pixel
    return to


cdef struct Work:                               # what all tasks of a pass share
    const ck_kernels *k
    Source source
    char *target
    Py_ssize_t target_stride[4]                 # bytes: n, d, h, w
    Py_ssize_t source_step[3]
    Py_ssize_t target_step[3]
    const Py_ssize_t *taps                      # source offsets d, h, w of each
    const Py_ssize_t *runs
    const Py_ssize_t *again                     # for each tap, the tap that read the same line one target line before, or -1
    const char *filters
    const char *bias
    Py_ssize_t residual                         # bytes from the target to what is added to it
    int start                                   # what sums begin with: CK_BIAS, or CK_RESIDUAL
    bint relu, flush
    bint stream                                 # the target is too large for the caches
    Py_ssize_t images, depth, cols, filter_taps, itemsize, vecs, panels
    Py_ssize_t planes, pieces, pixels, blocks, lines        # of a phase: tasks along d and w, pixels of one; along h, lines


cdef class Lines:
    """What all calls of a pass share, for one ISA and element size: its tables (plan/conv.py) and how it is cut into tasks."""
    cdef Work work
    cdef Py_ssize_t phases
    cdef readonly Py_ssize_t scratch            # elements a thread needs in `run`
    cdef readonly Py_ssize_t packed             # elements of the packed filters
    cdef object kept                            # what `work` points to

    def __init__(self, const Py_ssize_t[:, ::1] taps, const Py_ssize_t[:, ::1] runs, const Py_ssize_t[::1] again,
                 const Py_ssize_t[::1] source_step, const Py_ssize_t[::1] target_step, Py_ssize_t images, Py_ssize_t depth,
                 Py_ssize_t cols, Py_ssize_t filter_taps, Py_ssize_t itemsize):
        cdef Work *work = &self.work
        cdef Py_ssize_t i, height = 1, width = 1, span = 1, copies = 1, rows
        cdef bint little
        work.k, work.images, work.depth, work.cols, work.filter_taps = table(itemsize), images, depth, cols, filter_taps
        work.itemsize, work.source.pixel, work.planes = itemsize, depth * itemsize, 1
        work.vecs = (cols + work.k.vector - 1) // work.k.vector
        work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
        work.taps, work.runs, work.again = &taps[0, 0], &runs[0, 0], &again[0]
        for i in range(runs.shape[0]):
            work.planes = max(work.planes, runs[i, 4])
            height, width = max(height, runs[i, 5]), max(width, runs[i, 6])
            span, copies = max(span, runs[i, 2]), max(copies, runs[i, 1])
        for i in range(3):
            work.source_step[i], work.target_step[i] = source_step[i], target_step[i]
        work.pieces = ceil_div(width, PIXELS)
        work.pixels = ceil_div(width, work.pieces)
        self.phases = runs.shape[0]
        work.lines = min(height, min(<Py_ssize_t>LINES, max(<Py_ssize_t>1, TOGETHER // work.pixels)))
        # Little work is done in one thread, which copies each line once for all target lines that read it.
        little = 2 * self.phases * images * work.planes * height * width * span * copies * depth * cols <= LITTLE
        rows = self.phases * images * work.planes * work.pieces
        while not little and work.lines > 1 and rows * ceil_div(height, work.lines) < TASKS:
            work.lines = (work.lines + 1) // 2
        work.blocks = ceil_div(height, work.lines)
        longest = (work.pixels - 1) * source_step[2] + span
        zeros = bytes(longest * depth * itemsize)
        work.source.zeros = zeros
        self.kept = (taps.base, runs.base, again.base, zeros)
        self.scratch = copies * work.lines * longest * depth
        self.packed = filter_taps * depth * work.vecs * work.k.vector

    @property
    def tasks(self):
        """Pieces of work that the threads share out."""
        return self.phases * self.work.images * self.work.planes * self.work.blocks * self.work.pieces


def run(Lines lines, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, bint relu, int threads,
        const real[:, :, :, :, :] residual=None):
    """target = source * filters + bias, and ReLU of it, for the pixels of the phases.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = lines.work
    cdef Py_ssize_t i
    work.relu, work.flush = relu, flushes()
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source.origin, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    if residual is not None:
        work.start, work.residual = CK_RESIDUAL, <const char *>&residual[0, 0, 0, 0, 0] - <const char *>work.target
    for i in range(4):
        work.source.stride[i], work.target_stride[i] = source.strides[i], target.strides[i]
    for i in range(3):
        work.source.size[i] = source.shape[i + 1]
    work.stream = residual is None and streams(work.target, target.strides, target.shape, work.itemsize)
    share(&work, lines.tasks, threads, <char *>&scratch[0], lines.scratch * sizeof(real))


cdef int share(const Work *work, Py_ssize_t tasks, int threads, char *scratch, Py_ssize_t each) except -1:
    cdef Py_ssize_t t
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&w, threadid(), t):
            task(work, t, scratch + each * threadid())
    return raise_if_stopped(&w)


cdef class Bound(Fast):
    """`run` for the forward pass on C-contiguous arrays of known sizes."""
    cdef Work work
    cdef Py_ssize_t tasks, each
    cdef int threads
    cdef object lines, filters

    def __init__(self, Lines lines, tuple source, tuple target, filters, bint relu, int threads):
        """source and target are shapes (N, D, H, W, C); what `filters` holds does not change."""
        cdef const unsigned char[::1] packed = filters.view("u1")
        cdef Work *work = &self.work
        cdef Dense x, y
        cdef Py_ssize_t i
        work[0] = lines.work
        x, y = lifted(source, work.itemsize), lifted(target, work.itemsize)
        self.lines, self.filters, self.tasks, self.threads = lines, filters, lines.tasks, threads
        self.each = lines.scratch * work.itemsize
        self.room = threads * self.each
        work.relu, work.flush, work.filters = relu, flushes(), <const char *>&packed[0]
        for i in range(4):
            work.source.stride[i], work.target_stride[i] = x.stride[i], y.stride[i]
        for i in range(3):
            work.source.size[i] = x.shape[i + 1]

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        work.source.origin, work.target, work.bias = at.x, at.y, at.b
        if at.residual != NULL:
            work.start, work.residual = CK_RESIDUAL, at.residual - at.y
        return share(&work, self.tasks, self.threads, at.room, self.each)


cdef void task(const Work *work, Py_ssize_t number, char *room) noexcept nogil:
    """A few lines of one phase, or a piece of one line, for all filters."""
    cdef const void *pointers[2][TAPS]          # to the lines of the taps, of this target line and the one before
    cdef Py_ssize_t piece = number % work.pieces, block = number // work.pieces % work.blocks
    cdef Py_ssize_t d = number // (work.pieces * work.blocks) % work.planes
    cdef Py_ssize_t n = number // (work.pieces * work.blocks * work.planes) % work.images
    cdef const Py_ssize_t *r = work.runs + RUN * (number // (work.pieces * work.blocks * work.planes * work.images))
    cdef const Py_ssize_t *taps = work.taps + 3 * r[0]
    cdef const Py_ssize_t *again = work.again + r[0]
    cdef Py_ssize_t first = piece * work.pixels, pixels = min(work.pixels, r[6] - first), start = block * work.lines
    cdef Py_ssize_t h, t, now
    cdef char *y = work.target + n * work.target_stride[0] + (r[7] + d * work.target_step[0]) * work.target_stride[1]
    cdef ck_mode mode
    if d >= r[4] or pixels <= 0:
        return
    mode = ck_flush_subnormals(work.flush)
    y += (r[9] + first * work.target_step[2]) * work.target_stride[3]
    for h in range(start, min(start + work.lines, r[5])):
        now = h % 2
        for t in range(r[1]):
            if h > start and again[t] >= 0:
                pointers[now][t] = pointers[1 - now][again[t]]
            else:
                pointers[now][t] = fetch(&work.source, n, d * work.source_step[0] + taps[3 * t],
                                         h * work.source_step[1] + taps[3 * t + 1],
                                         first * work.source_step[2] + taps[3 * t + 2],
                                         (pixels - 1) * work.source_step[2] + r[2], &room)
        line(work, r, pointers[now], pixels, y + (r[8] + h * work.target_step[1]) * work.target_stride[2])
    fence(work.stream)
    ck_write_mode(mode)


cdef inline void line(const Work *work, const Py_ssize_t *r, const void *const *taps, Py_ssize_t pixels,
                      char *y) noexcept nogil:
    """All panels of filters over a line."""
    cdef ck_finish finish
    cdef Py_ssize_t p, start, stop, channel, place
    finish.next, finish.resume, finish.residual, finish.relu = NULL, work.start, work.residual, work.relu
    for p in range(work.panels):
        start, stop = work.vecs * p // work.panels, work.vecs * (p + 1) // work.panels
        channel = start * work.k.vector
        finish.cols = min(work.cols, stop * work.k.vector) - channel
        finish.bias = work.bias + channel * work.itemsize if work.bias != NULL else NULL
        finish.stream = work.stream and whole_lines(channel * work.itemsize, finish.cols * work.itemsize)
        place = start * work.filter_taps + (stop - start) * r[3]
        work.k.line_tiles(pixels, <int>(stop - start), r[1], work.depth * r[2], taps, work.source_step[2] * work.depth,
                          work.filters + place * work.depth * work.k.vector * work.itemsize, y + channel * work.itemsize,
                          work.target_step[2] * work.target_stride[3] // work.itemsize, &finish)


# The gradient of the filters: every part of the pixels sums for itself, in chunks that stay in L1.
cdef struct Window:                             # one axis of the convolution, a row of `windows`
    Py_ssize_t size, kernel, stride, dilation, lo, out


cdef struct Sums:                               # what all parts share
    const ck_kernels *k
    const Window *axes
    Source x
    const char *dy
    Py_ssize_t dy_stride[4]                     # bytes: n, d, h, w
    bint flush
    Py_ssize_t itemsize, outputs, vecs, panels, tiles
    Py_ssize_t taps, span                       # rows of the filters, and numbers in one
    Py_ssize_t together, groups                 # neighbours that are summed together; the last ones of a row may overlap
    Py_ssize_t pieces, pixels, blocks, lines                # chunks along w and h, as in Work


cdef void cut(Sums *work, const Py_ssize_t[:, ::1] windows, Py_ssize_t outputs, Py_ssize_t itemsize):
    """Chunks: of so many pixels that L1 holds the gradients of their outputs, and those of the next chunk."""
    cdef Py_ssize_t out = windows[2, 5], height = windows[1, 5]
    cdef Py_ssize_t most = clip(CHUNK_BYTES // (outputs * itemsize), PIXELS // 4, PIXELS)
    work.pieces = ceil_div(out, most)
    work.pixels = ceil_div(out, work.pieces)
    work.lines = min(height, clip(most // out, 1, LINES))
    work.blocks = ceil_div(height, work.lines)


def parts(const Py_ssize_t[:, ::1] windows, Py_ssize_t images, Py_ssize_t outputs, Py_ssize_t itemsize, Py_ssize_t flop):
    """Parts of the pixels that are summed on their own; shapes alone decide."""
    cdef Sums work
    cut(&work, windows, outputs, itemsize)
    return min(images * windows[0, 5] * work.blocks * work.pieces, clip(flop >> 22, 1, 16))


def sums_scratch(const Py_ssize_t[:, ::1] windows, Py_ssize_t depth, Py_ssize_t outputs, Py_ssize_t itemsize):
    """Elements a thread needs in `sum_filters`."""
    cdef Sums work
    cut(&work, windows, outputs, itemsize)
    return windows[0, 1] * windows[1, 1] * work.lines * ((work.pixels - 1) * windows[2, 2] + windows[2, 1]) * depth


def sums_rows(Py_ssize_t taps, Py_ssize_t span):
    """Which row of the sums holds each number of the filters, and how many rows there are; taps and span as in Sums."""
    cdef Py_ssize_t together = min(span, <Py_ssize_t>CK_SUMS_TOGETHER), groups = ceil_div(span, together), i
    within = [i // together * together + i - min(i // together * together, span - together) for i in range(span)]
    return [tap * groups * together + row for tap in range(taps) for row in within], taps * groups * together


def sum_filters(const Py_ssize_t[:, ::1] windows, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x,
                real[:, :, ::1] partial, real[::1] scratch, int threads):
    """partial (parts, rows of `sums_rows`, outputs up to whole vectors), zero, += the gradient of the filters by parts."""
    cdef Sums work
    cdef Py_ssize_t i, t, count = partial.shape[0], room = scratch.shape[0] // threads * sizeof(real), chunks
    work.k, work.flush, work.itemsize = table(sizeof(real)), flushes(), sizeof(real)
    work.axes = <const Window *>&windows[0, 0]
    work.x.origin, work.dy = <const char *>&x[0, 0, 0, 0, 0], <const char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.x.stride[i], work.dy_stride[i] = x.strides[i], dy.strides[i]
    for i in range(3):
        work.x.size[i] = x.shape[i + 1]
    work.x.pixel, work.outputs = x.shape[4] * sizeof(real), dy.shape[4]
    work.taps, work.span = work.axes[0].kernel * work.axes[1].kernel, work.axes[2].kernel * x.shape[4]
    work.together = min(work.span, <Py_ssize_t>CK_SUMS_TOGETHER)
    work.groups = work.taps * ceil_div(work.span, work.together)
    work.vecs = (work.outputs + work.k.vector - 1) // work.k.vector
    work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
    i = work.k.rows[ceil_div(work.vecs, work.panels)] // work.together if work.together == CK_SUMS_TOGETHER else 1
    work.tiles = ceil_div(work.groups, i)
    cut(&work, windows, work.outputs, work.itemsize)
    chunks = dy.shape[0] * work.axes[0].out * work.blocks * work.pieces
    zeros = bytes(((work.pixels - 1) * work.axes[2].stride + work.axes[2].kernel) * work.x.pixel)
    work.x.zeros = zeros
    cdef Watch w = watch()
    for t in prange(count, nogil=True, schedule="static", num_threads=threads):
        part(&work, &w, threadid(), chunks * t // count, chunks * (t + 1) // count, <char *>&partial[t, 0, 0],
             <char *>&scratch[0] + room * threadid())
    raise_if_stopped(&w)


cdef void part(const Sums *work, Watch *w, int thread, Py_ssize_t first, Py_ssize_t last, char *sums,
               char *room) noexcept nogil:
    cdef Py_ssize_t i
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    for i in range(first, last):
        if stopped(w, thread, i):
            break
        chunk(work, i, sums, room)
    ck_write_mode(mode)


cdef void chunk(const Sums *work, Py_ssize_t number, char *sums, char *room) noexcept nogil:
    """A few lines of one image, or a piece of one line, for all of dw."""
    cdef const void *taps[LINES][TAPS]
    cdef const void *dy[LINES]
    cdef const Window *ad = &work.axes[0]
    cdef const Window *ah = &work.axes[1]
    cdef const Window *aw = &work.axes[2]
    cdef Py_ssize_t piece = number % work.pieces, start = number // work.pieces % work.blocks * work.lines
    cdef Py_ssize_t d = number // (work.pieces * work.blocks) % ad.out, n = number // (work.pieces * work.blocks * ad.out)
    cdef Py_ssize_t first = piece * work.pixels, pixels = min(work.pixels, aw.out - first)
    cdef Py_ssize_t lines = min(work.lines, ah.out - start), i, td, th, before
    for i in range(lines):
        dy[i] = (work.dy + n * work.dy_stride[0] + d * work.dy_stride[1] + (start + i) * work.dy_stride[2]
                 + first * work.dy_stride[3])
        for td in range(ad.kernel):
            for th in range(ah.kernel):
                before = th * ah.dilation + ah.stride   # the row of the filter that read this line one target line before
                if i > 0 and before % ah.dilation == 0 and before // ah.dilation < ah.kernel:
                    taps[i][td * ah.kernel + th] = taps[i - 1][td * ah.kernel + before // ah.dilation]
                else:
                    taps[i][td * ah.kernel + th] = fetch(
                        &work.x, n, d * ad.stride + td * ad.dilation - ad.lo,
                        (start + i) * ah.stride + th * ah.dilation - ah.lo, first * aw.stride - aw.lo,
                        (pixels - 1) * aw.stride + aw.kernel, &room)
    for i in range(work.panels * work.tiles):
        tile(work, i // work.tiles, i % work.tiles, lines, pixels, taps, dy, sums)


cdef inline void tile(const Sums *work, Py_ssize_t panel, Py_ssize_t number, Py_ssize_t lines, Py_ssize_t pixels,
                      const void *(*taps)[TAPS], const void *const *dy, char *sums) noexcept nogil:
    """A chunk's share of a register tile of dw."""
    cdef const void *groups[LINES * CK_MAX_ROWS]
    cdef const void *from_channel[LINES]
    cdef Py_ssize_t start = work.vecs * panel // work.panels, stop = work.vecs * (panel + 1) // work.panels
    cdef Py_ssize_t first = work.groups * number // work.tiles, last = work.groups * (number + 1) // work.tiles, i, g, at
    cdef Py_ssize_t channel = start * work.k.vector, width = work.vecs * work.k.vector, per_tap = work.groups // work.taps
    cdef Py_ssize_t tap = first // per_tap, place = first % per_tap
    for i in range(lines):
        from_channel[i] = <const char *>dy[i] + channel * work.itemsize
    for g in range(last - first):                       # no division here: short chunks would feel it
        at = min(place * work.together, work.span - work.together) * work.itemsize
        for i in range(lines):
            groups[i * CK_MAX_ROWS + g] = <const char *>taps[i][tap] + at
        place += 1
        if place == per_tap:
            place, tap = 0, tap + 1
    work.k.line_sums(<int>((last - first) * work.together), min(work.outputs, stop * work.k.vector) - channel, lines, pixels,
                     groups, CK_MAX_ROWS, work.axes[2].stride * (work.x.pixel // work.itemsize), from_channel,
                     work.dy_stride[3] // work.itemsize, sums + (first * work.together * width + channel) * work.itemsize,
                     width)
