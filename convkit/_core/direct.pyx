# The direct convolution: register tiles over pointers to the source pixels of each tap. Nothing is lowered or copied.
#
# A task is a block of target pixels and a few panels of filters. For each tap the block gets a table of pointers, one for
# each pixel; a tap in the padding points at zeros, and a merged tap (several neighbouring pixels, see plan/conv.py) that
# lies partly in the padding points at a patch, a copy of its few pixels between zeros.
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from convkit._core.cpu cimport ck_finish, ck_kernels, real, table

cdef enum:
    BLOCK = 48                                  # most target pixels of a task, as in plan/conv.py
    TAPS = 32                                   # taps in a table of pointers; more of them resume the sums
    RUN = 10                                    # numbers in a row of `runs`, named in plan/conv.py

cdef struct Source:
    const char *origin
    Py_ssize_t size[3]                          # d, h, w
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t step[3]                          # pixels, from one target pixel to the next
    Py_ssize_t pixel                            # bytes of the channels of one group
    const char *zeros
    char *patches


cdef struct Target:
    char *origin
    Py_ssize_t images
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t step[3]                          # pixels, from one pixel of a phase to the next


cdef struct Work:                               # what all tasks of a pass share; sizes as in `run`
    const ck_kernels *k
    Source source
    Target target
    const Py_ssize_t *taps
    const Py_ssize_t *runs
    const char *filters
    const char *bias
    double low
    Py_ssize_t groups, depth, cols, block, together, taps_of_filter, itemsize, vecs, panels, batches, blocks


cdef struct Block:
    int rows
    Py_ssize_t image[BLOCK]                     # byte offset of each row's image, and its window's origin there
    Py_ssize_t place[BLOCK][3]
    char *target[BLOCK]


cdef inline void locate(Block *b, const Source *s, const Target *y, const Py_ssize_t *run, Py_ssize_t first) noexcept nogil:
    """Source place and target address of `b.rows` pixels of a phase, from the flat index `first` on."""
    cdef Py_ssize_t nd = run[4], nh = run[5], nw = run[6]
    cdef Py_ssize_t w = first % nw, h = first // nw % nh, d = first // (nw * nh) % nd, n = first // (nw * nh * nd)
    cdef int r
    for r in range(b.rows):
        b.image[r] = n * s.stride[0]
        b.place[r][0], b.place[r][1], b.place[r][2] = d * s.step[0], h * s.step[1], w * s.step[2]
        b.target[r] = (y.origin + n * y.stride[0] + (run[7] + d * y.step[0]) * y.stride[1]
                       + (run[8] + h * y.step[1]) * y.stride[2] + (run[9] + w * y.step[2]) * y.stride[3])
        w += 1
        if w == nw:
            w, h = 0, h + 1
            if h == nh:
                h, d = 0, d + 1
                if d == nd:
                    d, n = 0, n + 1


cdef inline const char *patch(const Source *s, const char *line, Py_ssize_t w, Py_ssize_t span, char *room) noexcept nogil:
    """`span` pixels from w on, zeros outside the line."""
    cdef Py_ssize_t lo = min(max(0, -w), span), hi = max(min(span, s.size[2] - w), lo)
    memset(room, 0, span * s.pixel)
    memcpy(room + lo * s.pixel, line + (w + lo) * s.pixel, (hi - lo) * s.pixel)
    return room


cdef inline void point(const void **pointers, const Block *b, const Source *s, const Py_ssize_t *taps, Py_ssize_t count,
                       Py_ssize_t span) noexcept nogil:
    """The table of pointers: pointers[t * BLOCK + r] for tap t and row r."""
    cdef Py_ssize_t t, d, h, w, at
    cdef int r
    for t in range(count):
        for r in range(b.rows):
            d, h, w = b.place[r][0] + taps[3 * t], b.place[r][1] + taps[3 * t + 1], b.place[r][2] + taps[3 * t + 2]
            at = t * BLOCK + r
            if <size_t>d >= <size_t>s.size[0] or <size_t>h >= <size_t>s.size[1]:
                pointers[at] = s.zeros
            elif w >= 0 and w + span <= s.size[2]:
                pointers[at] = s.origin + (b.image[r] + d * s.stride[1] + h * s.stride[2] + w * s.stride[3])
            elif span == 1:
                pointers[at] = s.zeros
            else:
                pointers[at] = patch(s, s.origin + (b.image[r] + d * s.stride[1] + h * s.stride[2]), w, span,
                                     s.patches + at * span * s.pixel)


cdef inline void multiply(const ck_kernels *k, const Block *b, const void *const *pointers, Py_ssize_t taps, Py_ssize_t depth,
                          int vecs, const char *filters, Py_ssize_t column, const ck_finish *finish) noexcept nogil:
    """One panel over the rows of the block, in tiles of nearly equal height."""
    cdef void *targets[BLOCK]
    cdef int tiles = (b.rows + k.rows[vecs] - 1) // k.rows[vecs]
    cdef int i, r, start, stop
    for r in range(b.rows):
        targets[r] = b.target[r] + column
    for i in range(tiles):
        start, stop = b.rows * i // tiles, b.rows * (i + 1) // tiles
        k.tile_rows(stop - start, vecs, taps, depth, pointers + start, BLOCK, filters, targets + start, finish)


def packed_size(Py_ssize_t taps, Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t groups, size_t itemsize):
    """Elements of the packed filters."""
    cdef Py_ssize_t vector = table(itemsize).vector
    return groups * taps * depth * ((cols + vector - 1) // vector) * vector


def pack(const Py_ssize_t[::1] order, Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t groups, bint from_outputs,
         const real[:, :, :, :, :] w, real[::1] packed, int threads):
    """w (O, KD, KH, KW, I) -> packed (groups, panels, taps in `order`, depth, panel width).

    The depth of the pass is I and its columns O, or with `from_outputs` (gradient of the input) the other way round.
    """
    cdef const ck_kernels *k = table(sizeof(real))
    cdef Py_ssize_t taps = order.shape[0], vector = k.vector
    cdef Py_ssize_t vecs = (cols + vector - 1) // vector, panels = (vecs + k.vecs - 1) // k.vecs
    cdef Py_ssize_t output_step = w.strides[0] // <Py_ssize_t>sizeof(real), input_step = w.strides[4] // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t t, g, p, tap, start, stop, output, input, kh = w.shape[2], kw = w.shape[3]
    for t in prange(groups * panels * taps, nogil=True, schedule="static", num_threads=threads):
        tap, p, g = t % taps, t // taps % panels, t // (taps * panels)
        start, stop = vecs * p // panels, vecs * (p + 1) // panels
        output = g * (w.shape[0] // groups) + (0 if from_outputs else start * vector)
        input = start * vector if from_outputs else 0
        k.pack_panel(depth, min(cols, stop * vector) - start * vector, stop - start,
                     &w[output, order[tap] // (kh * kw), order[tap] // kw % kh, order[tap] % kw, input],
                     output_step if from_outputs else input_step, input_step if from_outputs else output_step,
                     &packed[((g * vecs + start) * taps + (stop - start) * tap) * depth * vector])


def scratch_size(Py_ssize_t depth, Py_ssize_t span, Py_ssize_t taps, int threads):
    """Elements of the zeros and, for merged taps, the patches of each thread."""
    cdef Py_ssize_t patches = BLOCK * min(taps, TAPS) * span * depth if span > 1 else 0
    return span * depth + threads * patches


def run(const Py_ssize_t[:, ::1] taps, const Py_ssize_t[:, ::1] runs, const Py_ssize_t[::1] source_step,
        const Py_ssize_t[::1] target_step, Py_ssize_t groups, Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t block,
        Py_ssize_t together, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, double low, int threads):
    """target = max(low, source * filters + bias), for the pixels that `runs` names; see plan/conv.py for the tables."""
    cdef Work work
    cdef Py_ssize_t i, t, patches, span = 1
    work.k = table(sizeof(real))
    work.groups, work.depth, work.cols, work.block, work.together = groups, depth, cols, block, together
    work.itemsize, work.low = sizeof(real), low
    work.vecs = (cols + work.k.vector - 1) // work.k.vector
    work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
    work.batches = (work.panels + together - 1) // together
    work.taps_of_filter = filters.shape[0] // (groups * depth * work.vecs * work.k.vector)
    work.taps, work.runs = &taps[0, 0], &runs[0, 0]
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL

    work.blocks = 0
    for i in range(runs.shape[0]):
        work.blocks = max(work.blocks, (source.shape[0] * runs[i, 4] * runs[i, 5] * runs[i, 6] + block - 1) // block)
        span = max(span, runs[i, 2])

    work.source.origin, work.target.origin = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    work.source.pixel = depth * sizeof(real)
    work.source.stride[0], work.target.stride[0], work.target.images = source.strides[0], target.strides[0], source.shape[0]
    for i in range(3):
        work.source.size[i] = source.shape[i + 1]
        work.source.stride[i + 1], work.target.stride[i + 1] = source.strides[i + 1], target.strides[i + 1]
        work.source.step[i], work.target.step[i] = source_step[i], target_step[i]

    memset(&scratch[0], 0, span * depth * sizeof(real))
    work.source.zeros = <const char *>&scratch[0]
    work.source.patches = <char *>&scratch[0] + span * depth * sizeof(real)
    patches = (scratch.shape[0] - span * depth) // threads * sizeof(real)
    for t in prange(runs.shape[0] * groups * work.batches * work.blocks, nogil=True, schedule="static", num_threads=threads):
        task(&work, t, patches * threadid())


cdef void task(const Work *work, Py_ssize_t number, Py_ssize_t patches) noexcept nogil:
    """A block of target pixels of one phase, group and batch of panels."""
    cdef const void *pointers[TAPS * BLOCK]
    cdef Block b
    cdef Source s = work.source
    cdef ck_finish finish
    cdef const Py_ssize_t *run = work.runs + RUN * (number // (work.blocks * work.batches * work.groups))
    cdef Py_ssize_t group = number // (work.blocks * work.batches) % work.groups
    cdef Py_ssize_t batch = number // work.blocks % work.batches
    cdef Py_ssize_t pixels = work.target.images * run[4] * run[5] * run[6], first = number % work.blocks * work.block
    cdef Py_ssize_t taps = run[1], span = run[2], tap = 0, channel, count, p, start, stop, place
    cdef bint last
    if first >= pixels:
        return
    b.rows = <int>min(work.block, pixels - first)
    s.origin += group * s.pixel
    s.patches += patches
    locate(&b, &s, &work.target, run, first)
    while tap < taps:
        count = min(<Py_ssize_t>TAPS, taps - tap)
        last = tap + count == taps
        point(pointers, &b, &s, work.taps + 3 * (run[0] + tap), count, span)
        finish.resume = tap > 0
        finish.low = work.low if last else -INFINITY
        for p in range(batch * work.together, min(work.panels, (batch + 1) * work.together)):
            start, stop = work.vecs * p // work.panels, work.vecs * (p + 1) // work.panels
            channel = group * work.cols + start * work.k.vector
            finish.cols = min(work.cols, stop * work.k.vector) - start * work.k.vector
            finish.bias = work.bias + channel * work.itemsize if work.bias != NULL and last else NULL
            place = (group * work.vecs + start) * work.taps_of_filter + (stop - start) * (run[3] + tap * span)
            multiply(work.k, &b, pointers, count, work.depth * span, <int>(stop - start),
                     work.filters + place * work.depth * work.k.vector * work.itemsize, channel * work.itemsize, &finish)
        tap += count
