# Convolution in groups of a few channels: several groups share a SIMD word (csrc/kernels/grouped.h).
#
# A task walks down a column of the target for the channels of one word: it spreads each line of the source into a slot when a
# row first reads it, and then every row is sums over its lines' slots. The tables come from plan/grouped.py.
from libc.stdint cimport uintptr_t

from cython.parallel cimport prange, threadid

from convkit._core.cpu cimport (ck_finish, ck_flush_subnormals, ck_kernels, ck_mode, ck_run, ck_write_mode, flushes, real,
                                  table)

cdef enum:
    SLOTS = 64                                  # most slots, as in plan/grouped.py
    WIDTH = 512                                 # most pixels of a slot
    OUTSIDE = 1                                 # no byte offset of a pixel: those are whole elements
    ALIGNMENT = 64


cdef struct Geometry:                           # as named in plan/grouped.py
    Py_ssize_t groups, depth, cols, together, words, images, strip, strips, pixels
    Py_ssize_t row_chunk, row_step, row_base, row_slots, slots, taps


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
    Py_ssize_t width, row_count, plane_count, row_parts, slot_bytes, itemsize, chunks
    Array source, target                        # of a call
    const char *filters
    const char *bias
    bint relu, flush


cdef struct Word:                               # the channels of one SIMD word, in elements
    Py_ssize_t source, channels, target, cols


cdef struct Column:                             # of a task
    Word word
    char *slots
    Py_ssize_t start, width                     # target pixels along w
    const char *origin                          # of the image and channel in the source
    char *target
    const Py_ssize_t *plane
    Py_ssize_t at[WIDTH]                        # byte offset in a line of each pixel of a slot, or OUTSIDE
    Py_ssize_t held[SLOTS]                      # the line that a slot holds, or -1


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


cdef inline void locate(Column *c, const Work *work, Py_ssize_t image, Py_ssize_t plane, Py_ssize_t strip, Py_ssize_t word,
                        char *slots) noexcept nogil:
    cdef Py_ssize_t i, w
    c.word, c.slots = word_of(work, word), slots
    c.start = strip * work.g.pixels // work.g.strips
    c.width = (strip + 1) * work.g.pixels // work.g.strips - c.start
    c.plane = work.planes + 3 * plane
    c.origin = work.source.origin + image * work.source.stride[0] + c.word.source * work.itemsize
    c.target = (work.target.origin + image * work.target.stride[0] + c.plane[0] * work.target.stride[1]
                + c.word.target * work.itemsize)
    for i in range(work.width):
        w = c.start * work.w.step + work.columns[i]
        c.at[i] = w * work.source.stride[3] if <size_t>w < <size_t>work.w.size else OUTSIDE
    for i in range(work.g.slots):
        c.held[i] = -1


cdef inline void spread(const Work *work, const Column *c, const char *line, char *slot) noexcept nogil:
    cdef const void *pixels[WIDTH]
    cdef Py_ssize_t i, ahead = work.g.row_step * work.source.stride[2]
    for i in range(work.width):
        pixels[i] = line + c.at[i] if c.at[i] != OUTSIDE else work.zeros
    work.k.spread_pixels(work.width, work.g.depth, c.word.channels, work.lanes, pixels, ahead, slot)


cdef inline Py_ssize_t gather(const void **lines, const Work *work, Column *c, Py_ssize_t row, const Phase *h) noexcept nogil:
    """The slots that a target row reads, spread where they are not yet."""
    cdef const Phase *d = work.d.phases + c.plane[1]
    cdef Py_ssize_t i, j, plane, line, slot, count = 0
    for i in range(d.taps):
        plane = c.plane[2] * work.d.step + work.d.offsets[d.first_tap + i]
        for j in range(h.taps):
            line = row * work.h.step + work.h.offsets[h.first_tap + j]
            if <size_t>plane < <size_t>work.d.size and <size_t>line < <size_t>work.h.size:
                slot = i * work.g.row_slots + (line - work.g.row_base) // work.g.row_step % work.g.row_slots
                lines[count] = c.slots + slot * work.slot_bytes
                if c.held[slot] != line:
                    c.held[slot] = line
                    spread(work, c, c.origin + plane * work.source.stride[1] + line * work.source.stride[2],
                           c.slots + slot * work.slot_bytes)
            else:
                lines[count] = work.zeros
            count += 1
    return count


cdef void walk(const Work *work, Column *c, Py_ssize_t word, Py_ssize_t first_row, Py_ssize_t last_row) noexcept nogil:
    """The rows of a part of a column."""
    cdef const void *lines[SLOTS]
    cdef Py_ssize_t i, j, p, row, count, place, step = work.w.target_step * work.target.stride[3], vector = work.k.vector
    cdef Py_ssize_t pixels, size = work.g.depth * vector * work.itemsize
    cdef const Phase *h
    cdef const Phase *w
    cdef char *line
    cdef ck_finish finish
    finish.bias = work.bias + c.word.target * work.itemsize if work.bias != NULL else NULL
    finish.cols, finish.relu, finish.resume = c.word.cols, work.relu, 0
    for i in range(first_row, last_row):
        row = work.rows[i]
        for j in range(work.h.count):
            h = work.h.phases + j
            if row >= h.pixels:
                continue
            count = gather(lines, work, c, row, h)
            line = c.target + (h.first + row * work.h.target_step) * work.target.stride[2]
            for p in range(work.w.count):
                w = work.w.phases + p
                pixels = min(c.width, w.pixels - c.start)
                if pixels > 0:
                    place = word * work.g.taps + work.places[(c.plane[1] * work.h.count + j) * work.w.count + p]
                    work.k.group_rows(<int>pixels, count, lines, work.g.depth, work.width, w.taps, work.runs + w.first_tap,
                                      work.filters + place * size,
                                      line + w.first * work.target.stride[3] + c.start * step, step // work.itemsize,
                                      work.h.target_step * work.target.stride[2], &finish)


cdef void task(const Work *work, Py_ssize_t number, char *slots) noexcept nogil:
    cdef Column c
    cdef Py_ssize_t word = number % work.g.words, unit = number // work.g.words
    cdef Py_ssize_t first = unit // work.g.strips % work.row_parts * work.g.row_chunk
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    unit = unit // work.g.strips // work.row_parts
    locate(&c, work, unit // work.plane_count, unit % work.plane_count, number // work.g.words % work.g.strips, word, slots)
    walk(work, &c, word, first, min(work.row_count, first + work.g.row_chunk))
    ck_write_mode(mode)


cdef void add_sums(const Work *work, Py_ssize_t number, char *slots, char *sums) noexcept nogil:
    """The gradient of the filters of one word, over a chunk of the columns; `target` is the gradient of the output."""
    cdef const void *lines[SLOTS]
    cdef Column c
    cdef const Phase *w = work.w.phases
    cdef Py_ssize_t units = work.g.images * work.plane_count * work.row_parts * work.g.strips, chunk = number // work.g.words
    cdef Py_ssize_t unit, part, i, first, count
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    for unit in range(units * chunk // work.chunks, units * (chunk + 1) // work.chunks):
        part = unit // work.g.strips // work.row_parts
        locate(&c, work, part // work.plane_count, part % work.plane_count, unit % work.g.strips, number % work.g.words, slots)
        first = unit // work.g.strips % work.row_parts * work.g.row_chunk
        for i in range(first, min(work.row_count, first + work.g.row_chunk)):
            count = gather(lines, work, &c, work.rows[i], work.h.phases)
            work.k.group_sums(c.width, c.word.cols, count, lines, work.g.depth, work.width, w.taps, work.runs,
                              c.target + work.rows[i] * work.target.stride[2] + c.start * work.target.stride[3],
                              work.target.stride[3] // work.itemsize, sums)
    ck_write_mode(mode)


cdef class Schedule:
    """What all calls of a pass share, for one ISA and element size."""
    cdef Work work
    cdef readonly Py_ssize_t tasks
    cdef readonly Py_ssize_t scratch            # elements a thread needs
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
        work.slot_bytes = work.g.depth * work.width * work.k.vector * itemsize
        zeros = bytearray(work.slot_bytes + ALIGNMENT)
        cdef char[::1] room = zeros
        work.zeros = &room[0] + (-<uintptr_t>&room[0]) % ALIGNMENT
        set_axis(&work.d, tables[4], tables[7], source_step[0], target_step[0], source[0])
        set_axis(&work.h, tables[5], tables[8], source_step[1], target_step[1], source[1])
        set_axis(&work.w, tables[6], tables[8], source_step[2], target_step[2], source[2])
        if work.g.together == 1:
            work.lanes = NULL
        self.kept = (tables, lanes, zeros)
        self.tasks = work.g.words * work.g.images * work.plane_count * work.row_parts * work.g.strips
        self.scratch = work.g.slots * work.slot_bytes // itemsize
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
        real[:, :, :, :, :] target, real[::1] scratch, bint relu, int threads):
    """target = source * filters + bias, and ReLU of it; `scratch` holds `schedule.scratch` elements for each thread."""
    cdef Work work = started[real](schedule, source, target)
    cdef Py_ssize_t t, tasks = schedule.tasks, each = schedule.scratch
    work.relu, work.filters = relu, <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        task(&work, t, <char *>&scratch[threadid() * each])


def grad(Schedule schedule, const real[:, :, :, :, :] source, const real[:, :, :, :, :] target, real[:, ::1] sums,
         real[:, :, :, :, ::1] dw, real[::1] scratch, int threads):
    """dw = the gradient of the filters; `sums` (chunks, packed) is zero, and summed over its chunks one after the other."""
    cdef Work work = started[real](schedule, source, target)
    cdef Py_ssize_t t, words = work.g.words, tasks = words * work.chunks, each = schedule.scratch
    cdef Py_ssize_t size = schedule.packed // words
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        add_sums(&work, t, <char *>&scratch[threadid() * each], <char *>&sums[t // words, t % words * size])
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
