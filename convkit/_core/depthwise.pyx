# Depthwise convolution: lines of target pixels, one or two at a time. Nothing is copied: what lies in the padding is left
# out. The tables are made in plan/depthwise.py; rank, stride, dilation and direction are not known here.
#
# A task is a few lines of one image and a panel of channels, small enough that a line of x is still in L1 when the next line
# of the target reads it.
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from convkit._core.border cimport ceil_div, clip
from convkit._core.call cimport Fast, Dense, Places, lifted
from convkit._core.cpu cimport (CK_RESIDUAL, CK_STORED, Watch, ck_depthwise, ck_depthwise_filters, ck_flush_subnormals,
                                ck_kernels, ck_mode, ck_write_mode, end_relu6, fence, flushes, lines as whole_lines,
                                raise_if_stopped, real, stopped, streams, table, watch)

cdef enum:
    PAIRED = 5                                  # taps of neighbouring outputs that go in two lines, as in kernels/depthwise.h
    NEAR = 24 << 10                             # bytes: what the lines of x that a target line reads may take of L1
    BLOCK = 256 << 10                           # bytes of the target that a task writes at most: a share of L2
    FAR = 1 << 20                               # bytes of an image of source and target: from there on read in order, whole
    PANEL = 256                                 # bytes of a pixel that a panel has at least: whole cache lines
    TASKS = 16                                  # enough for the threads to finish together
    ROWS = 32                                   # lines of the source at a time; more of them resume the sums
    PART = 16                                   # pixels of a phase before the next phase has its turn
    # That a word of the gradient of the filters sums before the next word: as their lines may all meet in a few sets of L1,
    # those of one line of most maps.
    PIXELS = 48
    LEAST = 64                                  # pixels of a chunk for that gradient

cdef struct Phase:                              # a row of the table of phases
    Py_ssize_t first, step, pixels, taps, tap, tap_step, at, at_step, between, apart, lo, hi

COLUMNS = sizeof(Phase) // sizeof(Py_ssize_t)

cdef struct Axis:
    const Phase *phases
    Py_ssize_t count, size, step, weight        # phases; source size; source step; packed taps from one tap to the next
    Py_ssize_t slots                            # target pixels, one phase after the other for each; the last may be missing


cdef struct Work:                               # what all tasks share; strides in elements, of n, d, h, w
    const ck_kernels *k
    Axis axis[3]
    const char *source
    char *target
    const char *filters
    const char *bias
    Py_ssize_t source_stride[4]
    Py_ssize_t target_stride[4]
    Py_ssize_t images, channels, words, taps, itemsize
    Py_ssize_t panel, panels, block, blocks     # words of a panel; lines of a task
    Py_ssize_t residual                         # bytes from the target to what is added to it
    int start                                   # what sums begin with: CK_BIAS, or CK_RESIDUAL
    bint pairs                                  # whether neighbouring lines of the target read lines in common
    bint relu, relu6, flush
    bint stream                                 # the target is too large for the caches


cdef struct Span:                               # the taps of a target pixel that lie inside the source
    Py_ssize_t first, count, at


cdef inline Span inside(const Axis *a, const Phase *p, Py_ssize_t j) noexcept nogil:
    cdef Span s
    cdef Py_ssize_t at = p.at + j * a.step
    s.first = clip(ceil_div(-at, p.at_step), 0, p.taps)
    s.count = clip(ceil_div(a.size - at, p.at_step), s.first, p.taps) - s.first
    s.at = at + s.first * p.at_step
    return s


cdef class Schedule:
    """What all calls of a pass share, for one ISA and element size: its tables and how it is cut into tasks."""
    cdef Work work
    cdef readonly Py_ssize_t packed             # elements of the packed filters
    cdef readonly Py_ssize_t tasks              # pieces of work that the threads share out
    cdef readonly Py_ssize_t chunks             # of the lines, for the gradient of the filters: each has sums of its own
    cdef object kept                            # what `work` points to

    def __init__(self, const Py_ssize_t[:, ::1] phases, const Py_ssize_t[:, ::1] axes, Py_ssize_t images, Py_ssize_t channels,
                 Py_ssize_t taps, Py_ssize_t itemsize):
        cdef Work *work = &self.work
        cdef Axis *a
        cdef Py_ssize_t i, j, first = 0, lines = 1, width, height, most
        work.k, work.images, work.channels, work.taps, work.itemsize = table(itemsize), images, channels, taps, itemsize
        work.words = ceil_div(channels, work.k.vector)
        for i in range(3):
            a = &work.axis[i]
            a.count, a.size, a.step, a.weight, a.slots = axes[i, 0], axes[i, 1], axes[i, 2], axes[i, 3], 0
            a.phases = <const Phase *>&phases[first, 0] if a.count else NULL
            for j in range(a.count):
                a.slots = max(a.slots, a.count * a.phases[j].pixels)
            first += a.count
            lines *= a.slots if i < 2 else 1
        a = &work.axis[1]
        work.pairs = (a.count == 1 and a.phases.between == 1 and a.phases.apart < a.phases.taps
                      and work.axis[2].count == 1 and work.axis[2].phases.taps == PAIRED and work.axis[2].phases.apart == 1)
        width = max(work.axis[2].size, work.axis[2].slots) * work.k.vector * itemsize
        height = 0
        for j in range(work.axis[1].count):
            height = max(height, work.axis[1].phases[j].taps)
        most = max(<Py_ssize_t>PANEL // (work.k.vector * itemsize), <Py_ssize_t>NEAR // max(<Py_ssize_t>1, width * height))
        if 2 * width * lines * work.words > FAR:
            most = work.words
        work.panels = ceil_div(work.words, most)
        work.panel = ceil_div(work.words, work.panels)
        work.block = clip(BLOCK // max(<Py_ssize_t>1, width * work.panel), 1, max(<Py_ssize_t>1, lines))
        while work.block > 4 and images * work.panels * ceil_div(lines, work.block) < TASKS:
            work.block = ceil_div(work.block, 2)
        work.blocks = ceil_div(lines, work.block)
        self.tasks = images * work.blocks * work.panels
        self.chunks = clip(min(TASKS // work.panels, images * lines * work.axis[2].slots // LEAST), 1,
                           max(<Py_ssize_t>1, images * lines))
        self.packed = work.words * taps * work.k.vector
        self.kept = (phases.base, axes.base)


cdef struct Packing:                            # filters (O, KD, KH, KW), strides in bytes
    const ck_kernels *k
    const char *w
    Py_ssize_t shape[4]
    Py_ssize_t stride[4]
    Py_ssize_t itemsize, words


cdef void pack_words(const Packing *p, char *packed) noexcept nogil:
    cdef Py_ssize_t vector = p.k.vector, kh = p.shape[2], kw = p.shape[3], rows = p.shape[1] * kh, taps = rows * kw, t
    cdef Py_ssize_t tap_step = p.stride[3] // p.itemsize, word_step = p.stride[0] // p.itemsize
    if p.stride[1] == kh * p.stride[2] and p.stride[2] == kw * p.stride[3]:
        for t in range(p.words):
            p.k.pack_panel(taps, min(p.shape[0] - t * vector, vector), 1, p.w + t * vector * p.stride[0], tap_step, word_step,
                           packed + t * taps * vector * p.itemsize)
    else:
        for t in range(p.words * rows):
            p.k.pack_panel(kw, min(p.shape[0] - t // rows * vector, vector), 1,
                           p.w + t // rows * vector * p.stride[0] + t % rows // kh * p.stride[1] + t % rows % kh * p.stride[2],
                           tap_step, word_step, packed + t * kw * vector * p.itemsize)


cdef bint finite(const real *packed, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef int strange = 0
    for i in range(size):
        strange |= 0 * packed[i] != 0
    return not strange


def pack(const real[:, :, :, :] w, real[::1] packed, int threads):
    """w (O, KD, KH, KW) -> packed (words, taps, elements of a word), zeros after the last channel; whether all are finite."""
    cdef Packing p
    cdef Py_ssize_t i
    cdef bint good
    for i in range(4):
        p.shape[i], p.stride[i] = w.shape[i], w.strides[i]
    p.k, p.itemsize, p.w = table(sizeof(real)), sizeof(real), <const char *>&w[0, 0, 0, 0]
    p.words = packed.shape[0] // (p.k.vector * w.shape[1] * w.shape[2] * w.shape[3])
    with nogil:
        pack_words(&p, <char *>&packed[0])
        good = finite(&packed[0], packed.shape[0])
    return good


def run(Schedule schedule, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, bint relu, int threads,
        const real[:, :, :, :, :] residual=None):
    """target = source * filters + bias, and ReLU of it, for the pixels of the schedule's phases.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = schedule.work
    cdef Py_ssize_t i
    work.relu, work.flush = relu, flushes()
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    if residual is not None:
        work.start, work.residual = CK_RESIDUAL, <const char *>&residual[0, 0, 0, 0, 0] - <const char *>work.target
    for i in range(4):
        work.source_stride[i] = source.strides[i] // <Py_ssize_t>sizeof(real)
        work.target_stride[i] = target.strides[i] // <Py_ssize_t>sizeof(real)
    # Only where phases take turns along a line: what is written in the order of memory goes through the caches as fast.
    work.stream = (work.axis[2].count > 1 and residual is None
                   and streams(work.target, target.strides, target.shape, work.itemsize))
    share(&work, target.shape[0] * work.blocks * work.panels, threads)


cdef int share(const Work *work, Py_ssize_t tasks, int threads) except -1:
    cdef Py_ssize_t t
    cdef Watch w = watch()
    if threads == 1:
        with nogil:
            for t in range(tasks):
                if not stopped(&w, 0, t):
                    task(work, t)
    else:
        for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&w, threadid(), t):
                task(work, t)
    return raise_if_stopped(&w)


cdef void task(const Work *work, Py_ssize_t number) noexcept nogil:
    """A block of lines of one image, for a panel of channels."""
    cdef Py_ssize_t panel = number % work.panels, image = number // (work.panels * work.blocks)
    cdef Py_ssize_t first = number // work.panels % work.blocks * work.block, slot, i, j, d, h
    cdef Py_ssize_t last = min(first + work.block, work.axis[0].slots * work.axis[1].slots)
    cdef const Axis *ad = &work.axis[0]
    cdef const Axis *ah = &work.axis[1]
    cdef bint two
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    slot = first
    while slot < last:
        i, j = slot // ah.slots, slot % ah.slots
        d, h = i // ad.count, j // ah.count
        two = work.pairs and slot + 1 < last and j + 1 < ah.slots
        if d < ad.phases[i % ad.count].pixels and h < ah.phases[j % ah.count].pixels:
            line(work, image, panel, &ad.phases[i % ad.count], d, &ah.phases[j % ah.count], h, two)
        slot += 2 if two else 1
    if work.relu6:                                      # of a contiguous target
        i, j = panel * work.panel * work.k.vector, work.target_stride[3] * work.itemsize
        end_relu6(work.k, work.itemsize, (last - first) * work.axis[2].slots,
                  min(work.panel * work.k.vector, work.channels - i),
                  work.target + (image * work.target_stride[0] + first * work.target_stride[2] + i) * work.itemsize, j)
    fence(work.stream)
    ck_write_mode(mode)


cdef void line(const Work *work, Py_ssize_t image, Py_ssize_t panel, const Phase *pd, Py_ssize_t d, const Phase *ph,
               Py_ssize_t h, bint two) noexcept nogil:
    """One line of target pixels, or two."""
    cdef const void *lines[ROWS]
    cdef const void *filters[2][ROWS]
    cdef ck_depthwise g
    cdef const Axis *ad = &work.axis[0]
    cdef const Axis *ah = &work.axis[1]
    cdef Span sd = inside(ad, pd, d)
    cdef Py_ssize_t word = panel * work.panel, vector = work.k.vector, channel = word * vector, td = 0, th = 0, at, i, tap
    cdef Py_ssize_t channels = min(work.channels - channel, work.panel * vector)
    cdef Py_ssize_t apart = ah.step // ph.at_step if two else 0, all_taps = ph.taps + apart
    cdef const char *x = work.source + (image * work.source_stride[0] + channel) * work.itemsize
    cdef const char *w = work.filters + word * work.taps * vector * work.itemsize
    cdef const char *taps
    cdef char *y = work.target + (image * work.target_stride[0] + (pd.first + d * pd.step) * work.target_stride[1]
                                  + (ph.first + h * ph.step) * work.target_stride[2] + channel) * work.itemsize
    g.x, g.w[0], g.w[1], g.w_word = lines, filters[0], filters[1], work.taps * vector
    g.resume, g.residual = work.start, work.residual
    g.lines, g.y_line = 2 if two else 1, ph.step * work.target_stride[2]
    g.bias = work.bias + channel * work.itemsize if work.bias != NULL else NULL
    while True:
        g.rows = 0
        while td < sd.count and g.rows < ROWS:
            at = ph.at + h * ah.step + th * ph.at_step
            if 0 <= at < ah.size:
                lines[g.rows] = x + ((sd.at + td * pd.at_step) * work.source_stride[1]
                                     + at * work.source_stride[2]) * work.itemsize
                taps = w + (pd.tap + (sd.first + td) * pd.tap_step) * ad.weight * vector * work.itemsize
                for i in range(g.lines):
                    filters[i][g.rows] = NULL
                    if 0 <= th - i * apart < ph.taps:
                        tap = ph.tap + (th - i * apart) * ph.tap_step
                        filters[i][g.rows] = taps + tap * ah.weight * vector * work.itemsize
                g.rows += 1
            th += 1
            if th == all_taps:
                td, th = td + 1, 0
        g.relu = work.relu and td == sd.count
        # Sums that go on in a later round are read again.
        g.stream = (work.stream and td == sd.count and g.resume == work.start
                    and whole_lines(channel * work.itemsize, channels * work.itemsize))
        runs(work, &g, channels, y)
        if td == sd.count:
            return
        g.resume = CK_STORED


cdef inline void runs(const Work *work, ck_depthwise *g, Py_ssize_t channels, char *y) noexcept nogil:
    """The phases of a line, a part of it at a time; taps lie between those of neighbouring pixels where these go apart."""
    cdef const Axis *a = &work.axis[2]
    cdef const Phase *p
    cdef Py_ssize_t step = work.source_stride[3], first = 0, count, i, j, at
    cdef Py_ssize_t part = PART if a.count > 1 else a.slots
    while first * a.count < a.slots:
        for i in range(a.count):
            p = &a.phases[i]
            count = min(p.pixels - first, part)
            g.taps, g.x_tap, g.w_tap = p.taps, p.at_step * step, p.tap_step * work.k.vector
            g.step, g.y_pixel = p.apart, p.between * p.step * work.target_stride[3]
            for j in range(first, first + min(count, p.between)):
                at = p.at + j * a.step
                g.lo, g.hi = ceil_div(-at, p.at_step), ceil_div(a.size - at, p.at_step)
                work.k.depthwise_strip(ceil_div(first + count - j, p.between), channels, g, at * step, p.tap * work.k.vector,
                                       y + (p.first + j * p.step) * work.target_stride[3] * work.itemsize)
        first += part


def grad(Schedule schedule, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x, real[:, ::1] sums, real[:, ::1] dw,
         int threads):
    """dw (O, taps) = the gradient of the filters; sums (schedule.chunks, schedule.packed) is scratch."""
    cdef Work work = schedule.work
    cdef Py_ssize_t i, t, tasks = schedule.chunks * work.panels, chunks = schedule.chunks
    work.flush = flushes()
    work.source, work.target = <const char *>&x[0, 0, 0, 0, 0], <char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.source_stride[i] = x.strides[i] // <Py_ssize_t>sizeof(real)
        work.target_stride[i] = dy.strides[i] // <Py_ssize_t>sizeof(real)
    cdef Watch w = watch()
    if threads == 1:
        with nogil:
            for t in range(tasks):
                chunk(&work, &w, 0, t, chunks, <char *>&sums[0, 0])
    else:
        for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
            chunk(&work, &w, threadid(), t, chunks, <char *>&sums[0, 0])
    raise_if_stopped(&w)
    with nogil:
        for t in range(work.words):
            gather(&work, t, chunks, &sums[0, 0], &dw[0, 0])


cdef void gather(const Work *work, Py_ssize_t word, Py_ssize_t chunks, real *sums, real *dw) noexcept nogil:
    """Adds up the chunks of one word of channels, in their order."""
    cdef Py_ssize_t vector = work.k.vector, taps = work.taps, first = word * taps * vector, size = work.words * taps * vector
    cdef Py_ssize_t c, t, i
    for i in range(1, chunks):
        for c in range(first, first + taps * vector):
            sums[c] += sums[i * size + c]
    for c in range(word * vector, min(work.channels, (word + 1) * vector)):
        for t in range(taps):
            dw[c * taps + t] = sums[first + t * vector + c - word * vector]


cdef void chunk(const Work *work, Watch *w, int thread, Py_ssize_t number, Py_ssize_t chunks, char *sums) noexcept nogil:
    """The sums of one chunk of lines, for a panel of channels."""
    cdef const Axis *ad = &work.axis[0]
    cdef const Axis *ah = &work.axis[1]
    cdef const Phase *ph = ah.phases
    cdef Py_ssize_t panel = number % work.panels, part = number // work.panels, count, line, most, steps = 0
    cdef Py_ssize_t all_lines = work.images * ad.slots * ah.slots, last = all_lines * (part + 1) // chunks, h
    cdef Py_ssize_t words = min(work.words - panel * work.panel, work.panel), size = work.taps * work.k.vector * work.itemsize
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    sums += (part * work.words + panel * work.panel) * size
    memset(sums, 0, words * size)
    line, most = all_lines * part // chunks, max(<Py_ssize_t>1, PIXELS // work.axis[2].slots)
    while line < last and not stopped(w, thread, steps):
        h = line % ah.slots
        count = min(min(ph.hi - h, last - line), most) if ph.lo <= h < ph.hi else 1
        add(work, panel, line // (ah.slots * ad.slots), line // ah.slots % ad.slots, h, count, sums)
        line += count
        steps += 1
    ck_write_mode(mode)


cdef void add(const Work *work, Py_ssize_t panel, Py_ssize_t n, Py_ssize_t d, Py_ssize_t h, Py_ssize_t count,
              char *sums) noexcept nogil:
    """Adds `count` lines that read the same lines of the filters."""
    cdef const Axis *ad = &work.axis[0]
    cdef const Axis *ah = &work.axis[1]
    cdef const Axis *aw = &work.axis[2]
    cdef const Phase *pw = aw.phases
    cdef Span sd = inside(ad, ad.phases, d), sh = inside(ah, ah.phases, h)
    cdef Py_ssize_t vector = work.k.vector, channel = panel * work.panel * vector, j, t, at
    cdef Py_ssize_t channels = min(work.channels - channel, work.panel * vector)
    cdef const Py_ssize_t *step = &work.source_stride[0]
    cdef const char *x = work.source + (n * step[0] + sd.at * step[1] + sh.at * step[2] + channel) * work.itemsize
    cdef const char *dy = work.target + (n * work.target_stride[0] + d * work.target_stride[1] + h * work.target_stride[2]
                                         + channel) * work.itemsize
    cdef ck_depthwise_filters g
    g.rows, g.x_row, g.taps, g.x_tap = sh.count, ah.phases.at_step * step[2], pw.taps, pw.at_step * step[3]
    g.step, g.dy_pixel = pw.apart, pw.between * work.target_stride[3]
    g.dy_line, g.x_line = work.target_stride[2], ah.step * step[2]
    g.sums_row, g.sums_word = ah.weight * vector, work.taps * vector
    sums += (sd.first * ad.weight + sh.first * ah.weight) * vector * work.itemsize
    for j in range(min(pw.between, pw.pixels)):
        at = pw.at + j * aw.step
        g.lo, g.hi = ceil_div(-at, pw.at_step), ceil_div(aw.size - at, pw.at_step)
        for t in range(sd.count if sh.count else 0):
            work.k.depthwise_filters(count, ceil_div(pw.pixels - j, pw.between), channels, &g,
                                     dy + j * work.target_stride[3] * work.itemsize,
                                     x + (t * ad.phases.at_step * step[1] + at * step[3]) * work.itemsize,
                                     sums + t * ad.weight * vector * work.itemsize)


include "depthwise_bound.pxi"
