# Convolution in groups of a few channels: several groups share a SIMD word (csrc/kernels/grouped.h).
#
# A task walks down a column of the target, a strip of pixels wide, for the channels of one word. The tables come from
# plan/grouped.py.
from libc.stdint cimport uintptr_t

from cython.parallel cimport prange, threadid

from convkit._core.call cimport Dense, Fast, Places, lifted
from convkit._core.cpu cimport (CK_RESIDUAL, Watch, ck_finish, ck_flush_subnormals, ck_group, ck_kernels, ck_mode, ck_pixels,
                                ck_run, ck_write_mode, flushes, raise_if_stopped, real, stopped, table, watch)

cdef enum:
    LINES = 64                                  # most lines of the source that a row reads, as in plan/grouped.py
    WIDTH = 512                                 # most pixels of a line,
    PIXELS = 4096                               # and of all lines together
    OUTSIDE = 1                                 # no byte offset of a pixel: those are whole elements


cdef struct Geometry:                           # as named in plan/grouped.py
    Py_ssize_t groups, depth, cols, together, words, images, strip, strips, pixels
    Py_ssize_t row_chunk, row_step, taps


cdef struct Phase:                              # a row of `phases`
    Py_ssize_t first_tap, taps, pixels, first


cdef struct Axis:
    const Phase *phases
    Py_ssize_t count
    const Py_ssize_t *offsets                   # of the taps, phase after phase
    Py_ssize_t step, target_step, size          # source pixels from target pixel to target pixel; source pixels


cdef struct Array:
    char *origin
    Py_ssize_t stride[4]                        # bytes: n, d, h, w


cdef struct Work:                               # what all tasks of a pass share
    const ck_kernels *k
    Geometry g
    Axis d, h, w
    const Py_ssize_t *columns
    const Py_ssize_t *rows
    const Py_ssize_t *planes
    const Py_ssize_t *places
    const Py_ssize_t *entries
    const ck_run *runs
    const int *lanes
    const char *zeros
    const Py_ssize_t *nowhere                   # offsets of a line of zeros
    Py_ssize_t width, row_count, plane_count, row_parts, itemsize, chunks
    Array source, target                        # of a call
    const char *filters
    const char *bias
    Py_ssize_t residual                         # bytes from the target to what is added to it
    int start                                   # what sums begin with: CK_BIAS, or CK_RESIDUAL
    bint relu, flush


cdef struct Word:                               # the channels of one SIMD word, in elements
    Py_ssize_t source, channels, target, cols


cdef struct Column:                             # of a task
    Word word
    Py_ssize_t start, width                     # target pixels along w
    const char *origin                          # of the image and channel in the source
    char *target
    const Py_ssize_t *plane
    bint border                                 # whether some pixel lies outside of the image
    Py_ssize_t at[WIDTH]                        # byte offset of each pixel in its line, or OUTSIDE
    ck_pixels lines[LINES]                      # that a row reads
    Py_ssize_t bordered[PIXELS]                 # offsets in those lines, from the zeros, where some pixels lie outside


cdef inline Word word_of(const Work *work, Py_ssize_t number) noexcept nogil:
    cdef const Geometry *g = &work.g
    cdef Py_ssize_t parts = g.words // g.groups, first = number * g.together, count = min(g.together, g.groups - first)
    cdef Word word
    if g.together > 1:
        word.source, word.channels, word.target, word.cols = first * g.depth, count * g.depth, first * g.cols, count * g.cols
    else:
        first = number % parts * work.k.vector
        word.source, word.channels = number // parts * g.depth, g.depth
        word.target, word.cols = number // parts * g.cols + first, min(<Py_ssize_t>work.k.vector, g.cols - first)
    return word


cdef inline void locate(Column *c, const Work *work, Py_ssize_t unit, Py_ssize_t word) noexcept nogil:
    """The column of a unit: strips, then parts of the rows, planes, images."""
    cdef Py_ssize_t strip = unit % work.g.strips, plane = unit // work.g.strips // work.row_parts % work.plane_count, i, w
    cdef Py_ssize_t image = unit // work.g.strips // work.row_parts // work.plane_count
    c.word = word_of(work, word)
    c.start = strip * work.g.pixels // work.g.strips
    c.width = (strip + 1) * work.g.pixels // work.g.strips - c.start
    c.plane = work.planes + 3 * plane
    c.origin = work.source.origin + image * work.source.stride[0] + c.word.source * work.itemsize
    c.target = (work.target.origin + image * work.target.stride[0] + c.plane[0] * work.target.stride[1]
                + c.word.target * work.itemsize)
    c.border = False
    for i in range(work.width):
        w = c.start * work.w.step + work.columns[i]
        if <size_t>w < <size_t>work.w.size:
            c.at[i] = w * work.source.stride[3]
        else:
            c.at[i], c.border = OUTSIDE, True


cdef inline void hem(const Work *work, const Column *c, const char *line, Py_ssize_t *at) noexcept nogil:
    """Offsets of a line's pixels from the zeros, which stand for those outside."""
    cdef Py_ssize_t i, far = <Py_ssize_t>(<uintptr_t>line - <uintptr_t>work.zeros)
    for i in range(work.width):
        at[i] = far + c.at[i] if c.at[i] != OUTSIDE else 0


cdef inline Py_ssize_t gather(Column *c, const Work *work, Py_ssize_t row, const Phase *h) noexcept nogil:
    """The lines of the source that a target row reads; their number."""
    cdef const Phase *d = work.d.phases + c.plane[1]
    cdef Py_ssize_t i, j, plane, y, count = 0
    cdef const char *line
    for i in range(d.taps):
        plane = c.plane[2] * work.d.step + work.d.offsets[d.first_tap + i]
        for j in range(h.taps):
            y = row * work.h.step + work.h.offsets[h.first_tap + j]
            if <size_t>plane >= <size_t>work.d.size or <size_t>y >= <size_t>work.h.size:
                c.lines[count].line, c.lines[count].at = work.zeros, work.nowhere
            else:
                line = c.origin + plane * work.source.stride[1] + y * work.source.stride[2]
                if c.border:
                    hem(work, c, line, c.bordered + count * work.width)
                    c.lines[count].line, c.lines[count].at = work.zeros, c.bordered + count * work.width
                else:
                    c.lines[count].line, c.lines[count].at = line, c.at
            count += 1
    return count


cdef inline ck_group group_of(const Work *work, const Word *word, const Phase *w) noexcept nogil:
    cdef ck_group group
    group.lanes, group.run, group.runs, group.width = work.lanes, work.runs + w.first_tap, w.taps, work.width
    group.depth, group.channels, group.alone = work.g.depth, word.channels, work.g.together == 1
    return group


cdef void task(const Work *work, Py_ssize_t number) noexcept nogil:
    """The pixels of a part of a column: one word of each."""
    cdef Column c
    cdef Py_ssize_t word = number % work.g.words, unit = number // work.g.words
    cdef Py_ssize_t first = unit // work.g.strips % work.row_parts * work.g.row_chunk, i, j, p, row, count, place, pixels
    cdef Py_ssize_t step = work.w.target_step * work.target.stride[3], down = work.h.target_step * work.target.stride[2]
    cdef Py_ssize_t size = work.g.depth * work.k.vector * work.itemsize, ahead = work.g.row_step * work.source.stride[2]
    cdef const Phase *h
    cdef const Phase *w
    cdef ck_group group
    cdef ck_finish finish
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    locate(&c, work, unit, word)
    finish.bias = work.bias + c.word.target * work.itemsize if work.bias != NULL else NULL
    finish.cols, finish.relu, finish.resume, finish.next = c.word.cols, work.relu, work.start, NULL
    finish.residual = work.residual
    for i in range(first, min(work.row_count, first + work.g.row_chunk)):
        row = work.rows[i]
        for j in range(work.h.count):
            h = work.h.phases + j
            if row >= h.pixels:
                continue
            count = gather(&c, work, row, h)
            for p in range(work.w.count):
                w = work.w.phases + p
                pixels = min(c.width, w.pixels - c.start)
                if pixels <= 0:
                    continue
                place = word * work.g.taps + work.places[(c.plane[1] * work.h.count + j) * work.w.count + p]
                group = group_of(work, &c.word, w)
                work.k.group_rows(<int>pixels, &group, count, c.lines, ahead, work.filters + place * size,
                                  c.target + h.first * work.target.stride[2] + row * down + w.first * work.target.stride[3]
                                  + c.start * step, step // work.itemsize, down // work.itemsize, &finish)
    ck_write_mode(mode)


cdef void add_sums(const Work *work, Watch *w, int thread, Py_ssize_t number, char *sums) noexcept nogil:
    """The gradient of the filters of one word, over a chunk of the columns; `target` is the gradient of the output."""
    cdef Column c
    cdef Py_ssize_t units = work.g.images * work.plane_count * work.row_parts * work.g.strips, chunk = number // work.g.words
    cdef Py_ssize_t unit, i, first, count
    cdef ck_group group
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    for unit in range(units * chunk // work.chunks, units * (chunk + 1) // work.chunks):
        if stopped(w, thread, unit):
            break
        locate(&c, work, unit, number % work.g.words)
        group = group_of(work, &c.word, work.w.phases)
        first = unit // work.g.strips % work.row_parts * work.g.row_chunk
        for i in range(first, min(work.row_count, first + work.g.row_chunk)):
            count = gather(&c, work, work.rows[i], work.h.phases)
            work.k.group_sums(c.width, c.word.cols, &group, count, c.lines,
                              c.target + work.rows[i] * work.target.stride[2] + c.start * work.target.stride[3],
                              work.target.stride[3] // work.itemsize, sums)
    ck_write_mode(mode)


cdef class Schedule:
    """What all calls of a pass share, for one ISA and element size."""
    cdef Work work
    cdef readonly Py_ssize_t tasks
    cdef readonly Py_ssize_t packed             # elements of the packed filters, and of a chunk of their gradient
    cdef readonly Py_ssize_t chunks             # of the gradient of the filters
    cdef object kept                            # what `work` points to

    def __init__(self, dict geometry, tuple tables, const Py_ssize_t[::1] source_step, const Py_ssize_t[::1] target_step,
                 const Py_ssize_t[::1] source, const int[:, ::1] lanes, Py_ssize_t chunks, Py_ssize_t itemsize):
        cdef const Py_ssize_t[::1] columns = tables[0], rows = tables[2]
        cdef const Py_ssize_t[:, ::1] runs = tables[1], planes = tables[3], entries = tables[10]
        cdef const Py_ssize_t[:, :, ::1] places = tables[9]
        cdef Work *work = &self.work
        work.g = geometry
        work.k, work.itemsize, work.width, work.chunks = table(itemsize), itemsize, columns.shape[0], chunks
        work.columns, work.rows, work.planes, work.places = &columns[0], &rows[0], &planes[0, 0], &places[0, 0, 0]
        work.runs, work.entries, work.lanes = <const ck_run *>&runs[0, 0], &entries[0, 0], &lanes[0, 0]
        work.row_count, work.plane_count = rows.shape[0], planes.shape[0]
        work.row_parts = (work.row_count + work.g.row_chunk - 1) // work.g.row_chunk
        zeros = bytes(max(work.g.depth, <Py_ssize_t>work.k.vector) * itemsize)
        nowhere = bytes(WIDTH * sizeof(Py_ssize_t))
        work.zeros, work.nowhere = zeros, <const Py_ssize_t *><const char *>nowhere
        set_axis(&work.d, tables[4], tables[7], source_step[0], target_step[0], source[0])
        set_axis(&work.h, tables[5], tables[8], source_step[1], target_step[1], source[1])
        set_axis(&work.w, tables[6], tables[8], source_step[2], target_step[2], source[2])
        self.kept = (tables, lanes, zeros, nowhere)
        self.tasks = work.g.words * work.g.images * work.plane_count * work.row_parts * work.g.strips
        self.packed = work.g.words * work.g.taps * work.g.depth * work.k.vector
        self.chunks = chunks


cdef void set_axis(Axis *axis, const Py_ssize_t[:, ::1] phases, const Py_ssize_t[::1] offsets, Py_ssize_t step,
                   Py_ssize_t target_step, Py_ssize_t size):
    axis.phases, axis.count, axis.offsets = <const Phase *>&phases[0, 0], phases.shape[0], &offsets[0]
    axis.step, axis.target_step, axis.size = step, target_step, size


cdef Work started(Schedule schedule, const real[:, :, :, :, :] source, const real[:, :, :, :, :] target):
    """The work of a call."""
    cdef Work work = schedule.work
    cdef Py_ssize_t i
    work.flush = flushes()
    work.source.origin, work.target.origin = <char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    for i in range(4):
        work.source.stride[i], work.target.stride[i] = source.strides[i], target.strides[i]
    return work


def run(Schedule schedule, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, bint relu, int threads,
        const real[:, :, :, :, :] residual=None):
    """target = source * filters + bias, and ReLU of it, for the pixels of the phases.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = started[real](schedule, source, target)
    work.relu, work.filters = relu, <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    if residual is not None:
        work.start, work.residual = CK_RESIDUAL, <const char *>&residual[0, 0, 0, 0, 0] - <const char *>work.target.origin
    share(&work, schedule.tasks, threads)


cdef int share(const Work *work, Py_ssize_t tasks, int threads) except -1:
    cdef Py_ssize_t t
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&w, threadid(), t):
            task(work, t)
    return raise_if_stopped(&w)


cdef class Bound(Fast):
    """`run` on C-contiguous arrays of known sizes."""
    cdef Work work
    cdef int threads
    cdef Py_ssize_t tasks
    cdef object schedule, filters

    def __init__(self, Schedule schedule, tuple source, tuple target, filters, bint relu, int threads):
        """source and target are shapes (N, D, H, W, C); what `filters` holds does not change."""
        cdef const unsigned char[::1] packed = filters.view("u1")
        cdef Work *work = &self.work
        cdef Dense x, y
        cdef Py_ssize_t i
        work[0] = schedule.work
        x, y = lifted(source, work.itemsize), lifted(target, work.itemsize)
        self.schedule, self.filters, self.threads, self.tasks = schedule, filters, threads, schedule.tasks
        work.relu, work.flush, work.filters = relu, flushes(), <const char *>&packed[0]
        for i in range(4):
            work.source.stride[i], work.target.stride[i] = x.stride[i], y.stride[i]

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        work.source.origin, work.target.origin, work.bias = <char *>at.x, at.y, at.b
        if at.residual != NULL:
            work.start, work.residual = CK_RESIDUAL, at.residual - at.y
        return share(&work, self.tasks, self.threads)


def grad(Schedule schedule, const real[:, :, :, :, :] source, const real[:, :, :, :, :] target, real[:, ::1] sums,
         real[:, :, :, :, ::1] dw, int threads):
    """dw = the gradient of the filters; `sums` (chunks, packed) is zero, and summed over its chunks one after the other."""
    cdef Work work = started[real](schedule, source, target)
    cdef Py_ssize_t t, words = work.g.words, tasks = words * work.chunks
    cdef Py_ssize_t size = schedule.packed // words
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        add_sums(&work, &w, threadid(), t, <char *>&sums[t // words, t % words * size])
    raise_if_stopped(&w)
    if work.chunks > 1:
        work.k.sum_rows(work.chunks - 1, schedule.packed, &sums[1, 0], schedule.packed, &sums[0, 0])
    for t in range(words):
        copy_word(&work, t, False, &dw[0, 0, 0, 0, 0], dw.strides, &sums[0, t * size], True)


cdef inline void copy_word(const Work *work, Py_ssize_t number, bint transposed, real *w, const Py_ssize_t *stride,
                           real *packed, bint back) noexcept nogil:
    """The filters of one word (O, KD, KH, KW, I), of byte strides `stride`, to their packed form or back."""
    cdef Word word = word_of(work, number)
    cdef Py_ssize_t size = sizeof(real), vector = work.k.vector, depth = work.g.depth, cols = work.g.cols
    cdef Py_ssize_t output = stride[0] // size, tap = stride[3] // size, input = stride[4] // size
    cdef Py_ssize_t deeper = output if transposed else input
    cdef Py_ssize_t lane[64]
    cdef Py_ssize_t i, e, k
    cdef const Py_ssize_t *entry
    cdef real *to
    cdef real *of
    for i in range(word.cols):
        lane[i] = (((word.target + i) // cols * depth * output + (word.target + i) % cols * input) if transposed
                   else (word.target + i) * output)
    for e in range(work.g.taps):
        entry = work.entries + 3 * e
        for k in range(depth):
            of, to = w + entry[0] * tap + k * deeper, packed + (entry[1] + k * entry[2]) * vector
            for i in range(word.cols):
                if back:
                    of[lane[i]] = to[i]
                else:
                    to[i] = of[lane[i]]
            if not back:
                for i in range(word.cols, vector):
                    to[i] = 0


def pack(Schedule schedule, bint transposed, const real[:, :, :, :, ::1] w, real[::1] packed, int threads):
    """w -> packed (words, taps, depth, vector) in the order of the tables; `transposed` for the gradient of the input."""
    cdef Work work = schedule.work
    cdef Py_ssize_t t, words = work.g.words, size = schedule.packed // words
    for t in prange(words, nogil=True, schedule="static", num_threads=threads):
        copy_word(&work, t, transposed, <real *>&w[0, 0, 0, 0, 0], w.strides, &packed[t * size], False)
