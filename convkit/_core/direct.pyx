# The direct convolution: register tiles over pointers to the source pixels of each tap. Nothing is lowered or copied.
#
# A task is a block of target pixels and a few panels of filters. For each tap the block gets a table of pointers, one for
# each pixel; a tap in the padding points at zeros. Where each pixel reads the one of its own place and all of them lie evenly
# apart, a block is a piece of one line and needs no table: the same sums in the same order.
from cython.parallel cimport prange, threadid
import numpy as np
from convkit._core.border cimport spacing
from convkit._core.call cimport Fast, Dense, Places, lifted
from convkit._core.cpu cimport (CK_MAX_VECS, CK_RESIDUAL, CK_STORED, Watch, ck_finish, ck_flush_subnormals, ck_kernels, ck_mode,
                                ck_write_mode, end_relu6, fence, flushes, lines, raise_if_stopped, real, stopped, streams,
                                table, watch)
from convkit._core.pixels cimport BLOCK, Block, Source, Target, locate, point, rebase

cdef enum:
    TAPS = 32                                   # taps in a table of pointers; more of them resume the sums
    LINE = 64                                   # bytes that one fetch brings
    RUN = 10                                    # numbers in a row of `runs`, named in plan/conv.py
    ONCE = 2                                    # blocks of a map so small that filters are fetched ahead, not pixels
    OUTPUTS = 16                                # whose filters are packed together
    LARGE = 1 << 18                             # bytes of filters whose packed form is better not written to memory
    PIECE = 32                                  # whose filters are packed where they are used
    INPUTS = 1024                               # likewise
    KEPT = 1 << 15                              # most bytes of the tables of pointers that a small call keeps

cdef struct Work:                               # what all tasks of a pass share; sizes as in `run`
    const ck_kernels *k
    Source source
    Target target
    const Py_ssize_t *taps
    const Py_ssize_t *runs
    const size_t *places                        # of a `Small` call, or NULL
    const char *filters
    const char *bias
    Py_ssize_t residual                         # bytes from the target to what is added to it
    int start                                   # what sums begin with: CK_BIAS, or CK_RESIDUAL
    bint relu, relu6, flush
    bint stream                                 # the target is too large for the caches
    Py_ssize_t source_spacing, target_spacing   # elements from pixel to pixel of one line of them all, or 0
    Py_ssize_t groups, depth, cols, block, together, taps_of_filter, itemsize, vecs, panels, batches, blocks


cdef struct Panel:
    const char *filters
    Py_ssize_t column                           # bytes of the target's pixel before it
    int vecs


cdef struct Through:                            # filters that are packed where they are used
    const char *w
    const Py_ssize_t *taps                      # bytes to each tap, in the order of the pass
    Py_ssize_t depth_step, col_step, group_step  # bytes
    Py_ssize_t run                              # rows of a piece


cdef inline void multiply(const Work *work, const Block *b, const void *const *pointers, Py_ssize_t taps, Py_ssize_t depth,
                          Py_ssize_t step, const Panel *panel, const char *next, ck_finish *finish) noexcept nogil:
    """One panel over the rows of the block, in tiles of nearly equal height, each of which fetches a part of `next`."""
    cdef void *targets[BLOCK]
    cdef const ck_kernels *k = work.k
    cdef Py_ssize_t part = taps * depth * LINE
    cdef int tiles = (b.rows + k.rows[panel.vecs] - 1) // k.rows[panel.vecs]
    cdef int i, r, start, stop
    for r in range(b.rows):
        targets[r] = b.target[r] + panel.column
    for i in range(tiles):
        start, stop = b.rows * i // tiles, b.rows * (i + 1) // tiles
        finish.next = next + min(i, CK_MAX_VECS - 1) * part if next != NULL else NULL
        k.tile_rows(stop - start, panel.vecs, taps, depth, pointers + start, step, panel.filters, targets + start,
                    finish)


cdef struct Packing:                            # filters (O, KD, KH, KW, I) and where they go
    const ck_kernels *k
    const Py_ssize_t *order
    const char *w
    char *packed
    Py_ssize_t stride[5]                        # of w, bytes
    Py_ssize_t outputs, kh, kw                  # of a group; taps along two axes
    Py_ssize_t groups, taps, depth, cols, vecs, panels, itemsize
    Py_ssize_t run, runs                        # of the depth that a piece of work packs; how many there are
    bint from_outputs


cdef Packing packing_of(const Py_ssize_t[::1] order, Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t groups, bint from_outputs,
                        Py_ssize_t outputs, Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t itemsize) except *:
    """All but addresses and strides."""
    cdef Packing p
    p.k, p.order, p.taps, p.itemsize = table(itemsize), &order[0], order.shape[0], itemsize
    p.depth, p.cols, p.groups, p.from_outputs = depth, cols, groups, from_outputs
    p.outputs, p.kh, p.kw = outputs // groups, kh, kw
    p.vecs = (cols + p.k.vector - 1) // p.k.vector
    p.panels = (p.vecs + p.k.vecs - 1) // p.k.vecs
    # All of a few outputs is read before the next: their filters lie far apart.
    p.run = OUTPUTS if from_outputs else depth
    p.runs = (depth + p.run - 1) // p.run
    return p


cdef void pack_piece(const Packing *p, Py_ssize_t t) noexcept nogil:
    """One tap of a panel, for a run of the depth."""
    cdef Py_ssize_t vector = p.k.vector, tap = t % p.taps, panel = t // p.taps % p.panels
    cdef Py_ssize_t d = t // (p.taps * p.panels) % p.runs * p.run, g = t // (p.taps * p.panels * p.runs)
    cdef Py_ssize_t start = p.vecs * panel // p.panels, stop = p.vecs * (panel + 1) // p.panels, place = p.order[tap]
    cdef Py_ssize_t output = g * p.outputs + (d if p.from_outputs else start * vector)
    cdef Py_ssize_t input = start * vector if p.from_outputs else d
    cdef Py_ssize_t output_step = p.stride[0] // p.itemsize, input_step = p.stride[4] // p.itemsize
    p.k.pack_panel(min(p.run, p.depth - d), min(p.cols, stop * vector) - start * vector, stop - start,
                   p.w + output * p.stride[0] + place // (p.kh * p.kw) * p.stride[1] + place // p.kw % p.kh * p.stride[2]
                   + place % p.kw * p.stride[3] + input * p.stride[4],
                   output_step if p.from_outputs else input_step, input_step if p.from_outputs else output_step,
                   p.packed + (((g * p.vecs + start) * p.taps + (stop - start) * tap) * p.depth
                               + (stop - start) * d) * vector * p.itemsize)


def pack(const Py_ssize_t[::1] order, Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t groups, bint from_outputs,
         const real[:, :, :, :, :] w, real[::1] packed, int threads):
    """w (O, KD, KH, KW, I) -> packed (groups, panels, taps in `order`, depth, panel width).

    The depth of the pass is I and its columns O, or with `from_outputs` (gradient of the input) the other way round.
    """
    cdef Packing p = packing_of(order, depth, cols, groups, from_outputs, w.shape[0], w.shape[2], w.shape[3], sizeof(real))
    cdef Py_ssize_t t
    for t in range(5):
        p.stride[t] = w.strides[t]
    p.w, p.packed = <const char *>&w[0, 0, 0, 0, 0], <char *>&packed[0]
    for t in prange(p.groups * p.runs * p.panels * p.taps, nogil=True, schedule="static", num_threads=threads):
        pack_piece(&p, t)


cdef class Schedule:
    """What all calls of a pass share, for one ISA and element size: its tables (plan/conv.py) and how it is cut into tasks.

    block     target pixels of a task
    together  panels of filters of a task
    padded    whether a tap may lie outside the source
    """
    cdef Work work
    cdef Py_ssize_t phases, pixels              # of the largest phase
    cdef bint pointwise                         # each pixel reads the one of its own place
    cdef readonly Py_ssize_t packed             # elements of the packed filters
    cdef readonly Py_ssize_t scratch            # elements a thread needs: none
    cdef object kept                            # what `work` points to

    def __init__(self, const Py_ssize_t[:, ::1] taps, const Py_ssize_t[:, ::1] runs, const Py_ssize_t[::1] source_step,
                 const Py_ssize_t[::1] target_step, Py_ssize_t images, Py_ssize_t groups, Py_ssize_t depth, Py_ssize_t cols,
                 Py_ssize_t filter_taps, Py_ssize_t block, Py_ssize_t together, Py_ssize_t itemsize, bint padded):
        cdef Work *work = &self.work
        cdef Py_ssize_t i
        work.k = table(itemsize)
        work.groups, work.depth, work.cols, work.block, work.together = groups, depth, cols, block, together
        work.itemsize, work.taps_of_filter, work.target.images = itemsize, filter_taps, images
        work.vecs = (cols + work.k.vector - 1) // work.k.vector
        work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
        work.batches = (work.panels + together - 1) // together
        work.taps, work.runs, work.places = &taps[0, 0], &runs[0, 0], NULL
        for i in range(runs.shape[0]):
            self.pixels = max(self.pixels, images * runs[i, 4] * runs[i, 5] * runs[i, 6])
        work.blocks = (self.pixels + block - 1) // block
        for i in range(3):
            work.source.step[i], work.target.step[i] = source_step[i], target_step[i]
        zeros = bytes(depth * itemsize if padded else 1)
        work.source.zeros, work.source.pixel = zeros, depth * itemsize
        self.kept = (taps.base, runs.base, zeros)
        self.phases = runs.shape[0]
        self.pointwise = taps.shape[0] == 1 and runs.shape[0] == 1 and not padded
        for i in range(3):
            self.pointwise = self.pointwise and taps[0, i] == 0 and source_step[i] == 1 and target_step[i] == 1
        self.packed = groups * filter_taps * depth * work.vecs * work.k.vector

    def piece(self, bint from_outputs):
        """Elements of filters that `run_through` packs at a time: they are read along their memory, and stay in a cache."""
        cdef Py_ssize_t most = PIECE if from_outputs else INPUTS
        return min(self.work.depth, most) * self.work.k.vecs * self.work.k.vector

    def pays_through(self, int threads):
        """Whether packing all filters would write much more than the pixels that use them, and each thread has panels."""
        return (self.pixels <= ONCE * BLOCK and self.packed * self.work.itemsize >= LARGE
                and self.work.groups * self.work.panels >= threads)

    @property
    def tasks(self):
        """Pieces of work that the threads share out."""
        return self.phases * self.work.groups * self.work.batches * self.work.blocks


cdef Work bound(Schedule schedule, const real[:, :, :, :, :] source, const real[::1] bias, real[:, :, :, :, :] target,
                bint relu, const real[:, :, :, :, :] residual):                     # but the filters
    cdef Work work = schedule.work
    cdef Py_ssize_t i
    work.relu, work.flush, work.filters = relu, flushes(), NULL
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source.origin, work.target.origin = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    if residual is not None:
        work.start, work.residual = CK_RESIDUAL, <const char *>&residual[0, 0, 0, 0, 0] - <const char *>work.target.origin
    work.source.stride[0], work.target.stride[0] = source.strides[0], target.strides[0]
    for i in range(3):
        work.source.size[i] = source.shape[i + 1]
        work.source.stride[i + 1], work.target.stride[i + 1] = source.strides[i + 1], target.strides[i + 1]
    work.stream = residual is None and streams(work.target.origin, target.strides, target.shape, work.itemsize)
    if schedule.pointwise:
        space(&work)
    return work


cdef void space(Work *work) noexcept:
    work.source_spacing = spacing(work.source.size, work.source.stride, work.runs + 4, work.target.images, work.itemsize)
    work.target_spacing = spacing(work.runs + 4, work.target.stride, work.runs + 4, work.target.images, work.itemsize)


def run(Schedule schedule, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, bint relu, int threads, const real[:, :, :, :, :] residual=None):
    """target = source * filters + bias, and ReLU of it, for the pixels of the schedule's phases.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = bound(schedule, source, bias, target, relu, residual)
    work.filters = <const char *>&filters[0]
    share(&work, schedule.tasks, threads)


cdef int share(const Work *work, Py_ssize_t tasks, int threads) except -1:
    cdef bint even = work.blocks > ONCE and work.source_spacing != 0 and work.target_spacing != 0
    cdef Watch w = watch()
    cdef Py_ssize_t t
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&w, threadid(), t):
            if even:
                piece(work, t)
            else:
                task(work, t)
    return raise_if_stopped(&w)


cdef void piece(const Work *work, Py_ssize_t number) noexcept nogil:
    """`task` for pixels that lie evenly apart."""
    cdef Py_ssize_t group = number // (work.blocks * work.batches), batch = number // work.blocks % work.batches
    cdef Py_ssize_t pixels = work.target.images * work.runs[4] * work.runs[5] * work.runs[6], p
    cdef Py_ssize_t first = number % work.blocks * work.block, source_step = work.source_spacing * work.itemsize
    cdef Py_ssize_t target_step = work.target_spacing * work.itemsize
    cdef const void *line = work.source.origin + first * source_step + group * work.source.pixel
    cdef Panel panel
    cdef ck_finish finish
    cdef ck_mode mode
    if first >= pixels:
        return
    mode = ck_flush_subnormals(work.flush)
    finish.next, finish.resume, finish.residual, finish.relu = NULL, work.start, work.residual, work.relu
    for p in range(batch * work.together, min(work.panels, (batch + 1) * work.together)):
        panel = panel_of(work, group, p, 0, &finish)
        work.k.line_tiles(min(work.block, pixels - first), panel.vecs, 1, work.depth, &line, work.source_spacing, panel.filters,
                          work.target.origin + first * target_step + panel.column, work.target_spacing, &finish)
    if work.relu6:
        end(work, min(work.block, pixels - first), group, batch, work.target.origin + first * target_step)
    fence(work.stream)
    ck_write_mode(mode)


cdef void end(const Work *work, Py_ssize_t pixels, Py_ssize_t group, Py_ssize_t batch, char *y) noexcept nogil:
    """ReLU6 of what a task has stored in a contiguous target, from pixel y on."""
    cdef Py_ssize_t start = batch * work.together, stop = min(work.panels, start + work.together), vector = work.k.vector
    start, stop = work.vecs * start // work.panels * vector, min(work.cols, work.vecs * stop // work.panels * vector)
    y += (group * work.cols + start) * work.itemsize
    end_relu6(work.k, work.itemsize, pixels, stop - start, y, work.target.stride[3])


cdef inline Panel panel_of(const Work *work, Py_ssize_t group, Py_ssize_t p, Py_ssize_t tap, ck_finish *finish) noexcept nogil:
    """A panel of filters from a tap on, and the bias that goes with it."""
    cdef Panel panel
    cdef Py_ssize_t start = work.vecs * p // work.panels, stop = work.vecs * (p + 1) // work.panels
    cdef Py_ssize_t channel = group * work.cols + start * work.k.vector
    panel.vecs, panel.column = <int>(stop - start), channel * work.itemsize
    panel.filters = work.filters + (((group * work.vecs + start) * work.taps_of_filter + panel.vecs * tap) * work.depth
                                    * work.k.vector * work.itemsize)
    finish.cols = min(work.cols, stop * work.k.vector) - start * work.k.vector
    finish.bias = work.bias + panel.column if work.bias != NULL else NULL
    finish.stream = work.stream and lines(panel.column, finish.cols * work.itemsize)
    return panel


cdef void task(const Work *work, Py_ssize_t number) noexcept nogil:
    """A block of target pixels of one phase, group and batch of panels."""
    cdef const void *pointers[TAPS * BLOCK]
    cdef Block b
    cdef Source s = work.source
    cdef ck_finish finish
    cdef Panel panel
    cdef const char *next
    cdef const Py_ssize_t *run = work.runs + RUN * (number // (work.blocks * work.batches * work.groups))
    cdef Py_ssize_t group = number // (work.blocks * work.batches) % work.groups
    cdef Py_ssize_t batch = number // work.blocks % work.batches
    cdef Py_ssize_t pixels = work.target.images * run[4] * run[5] * run[6], first = number % work.blocks * work.block
    cdef Py_ssize_t taps = run[1], tap = 0, count, p
    cdef bint last
    cdef ck_mode mode
    if first >= pixels:
        return
    mode = ck_flush_subnormals(work.flush)
    b.rows = <int>min(work.block, pixels - first)
    s.origin += group * s.pixel
    locate(&b, &s, &work.target, run, first)
    finish.next, finish.residual = NULL, work.residual
    while tap < taps:
        count = min(<Py_ssize_t>TAPS, taps - tap)
        last = tap + count == taps
        if work.places != NULL:
            rebase(pointers, work.block, work.places + 2 * (first // work.block * taps + tap) * work.block, &s, b.rows,
                   count)
        else:
            point(pointers, work.block, &b, &s, work.taps + 3 * (run[0] + tap), count)
        finish.resume = CK_STORED if tap > 0 else work.start
        finish.relu = work.relu and last
        for p in range(batch * work.together, min(work.panels, (batch + 1) * work.together)):
            panel = panel_of(work, group, p, run[3] + tap, &finish)
            finish.stream = finish.stream and taps <= TAPS          # else the sums are read again
            # A map of few pixels meets each panel once: what takes long is to read it. A large one reads its pixels ahead.
            next = NULL
            if work.blocks <= ONCE:
                next = panel.filters + panel.vecs * count * work.depth * work.k.vector * work.itemsize
            multiply(work, &b, pointers, count, work.depth, work.block, &panel, next, &finish)
        tap += count
    if work.relu6:
        end(work, b.rows, group, batch, b.target[0])
    fence(work.stream)
    ck_write_mode(mode)


def run_through(Schedule schedule, const real[:, :, :, :, :] source, const real[:, :, :, :, :] w, const Py_ssize_t[::1] order,
                bint from_outputs, const real[::1] bias, real[:, :, :, :, :] target, real[:, ::1] room, bint relu, int threads,
                const real[:, :, :, :, :] residual=None):
    """As `run`, with filters that are packed in `room` (threads, `piece`) where they are used; `order` is as for `pack`."""
    cdef Work work = bound(schedule, source, bias, target, relu, residual)
    cdef Through f
    cdef Py_ssize_t t, phase, panels = work.groups * work.panels, kh = w.shape[2], kw = w.shape[3]
    cdef Py_ssize_t[::1] places = np.empty(order.shape[0], np.intp)
    cdef Watch signals = watch()
    for t in range(order.shape[0]):
        places[t] = order[t] // (kh * kw) * w.strides[1] + order[t] // kw % kh * w.strides[2] + order[t] % kw * w.strides[3]
    f.w, f.taps, f.run = <const char *>&w[0, 0, 0, 0, 0], &places[0], PIECE if from_outputs else INPUTS
    f.depth_step, f.col_step = w.strides[0 if from_outputs else 4], w.strides[4 if from_outputs else 0]
    f.group_step = w.shape[0] // work.groups * w.strides[0]
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        for phase in range(schedule.phases):
            share_through(&work, &f, &signals, threadid(), work.runs + RUN * phase, &room[t, 0], panels * t // threads,
                          panels * (t + 1) // threads)
    raise_if_stopped(&signals)


cdef void share_through(const Work *work, const Through *f, Watch *signals, int thread, const Py_ssize_t *run, void *room,
                        Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """A phase and a range of panels; piece by piece, so that neighbouring panels read neighbouring memory."""
    cdef Py_ssize_t pixels = work.target.images * run[4] * run[5] * run[6], blocks = (pixels + BLOCK - 1) // BLOCK
    cdef Py_ssize_t tap, start, count, number, group, before = -1, i, at
    cdef Block block[ONCE]
    cdef const void *pointers[ONCE * BLOCK]
    cdef Source s = work.source
    cdef Panel panel
    cdef ck_finish finish
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    finish.residual = work.residual
    for i in range(blocks):
        at = pixels * i // blocks
        block[i].rows = <int>(pixels * (i + 1) // blocks - at)
        locate(&block[i], &s, &work.target, run, at)
    for tap in range(run[1]):
        start = 0
        while start < work.depth:
            if stopped(signals, thread, start // f.run):
                break
            count, before = min(f.run, work.depth - start), -1
            finish.resume = CK_STORED if tap + start > 0 else work.start
            finish.relu = work.relu and tap == run[1] - 1 and start + count == work.depth
            for number in range(first, last):
                group = number // work.panels
                panel = panel_of(work, group, number % work.panels, 0, &finish)
                finish.stream = 0
                if group != before:             # all of its panels read the same pixels
                    before, s.origin = group, work.source.origin + group * s.pixel + start * work.itemsize
                    for i in range(blocks):
                        point(pointers + i * BLOCK, BLOCK, &block[i], &s, work.taps + 3 * (run[0] + tap), 1)
                work.k.pack_panel(count, finish.cols, panel.vecs, f.w + group * f.group_step + f.taps[run[3] + tap]
                                  + start * f.depth_step + (panel.column // work.itemsize - group * work.cols) * f.col_step,
                                  f.depth_step // work.itemsize, f.col_step // work.itemsize, room)
                panel.filters = <const char *>room
                for i in range(blocks):
                    multiply(work, &block[i], pointers + i * BLOCK, 1, count, BLOCK, &panel, NULL, &finish)
            start += count
    ck_write_mode(mode)


include "direct_bound.pxi"
