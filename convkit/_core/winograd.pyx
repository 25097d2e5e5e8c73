# Winograd's convolution: tiles of the source -> points, one matrix product per point, products -> tiles of the target.
#
# There are two ways through it. `run` cuts the tiles into blocks whose points stay in a cache; a task takes a block through
# all three steps, past filters that were brought to the points before. `run_through` makes the points of all tiles first; a
# task then brings a panel of filters to the points, some of its depth at a time, and multiplies all tiles by them before the
# next: for few tiles, that costs less than to read filters at their points, four times as long as they are, from far away.
# For very few it does so in registers, with sums that are not stored in between (csrc/kernels/wino_few.h).
# Every sum has one order, taps along d and then the depth, so that neither the way nor blocks nor threads show in the bits.
#
# The axes along h and w are lists of tiles (plan/winograd.py); along d, taps are summed in the products.
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from convkit._core.call cimport Fast, Dense, Places, lifted
from convkit._core.cpu cimport (CK_BIAS, CK_FEW, CK_FEW_TILES, CK_STORED, LINE, Watch, ck_finish, ck_flush_subnormals, ck_fold,
                                ck_kernels, ck_mode, ck_patch, ck_write_mode, fence, flushes, lines as whole_lines,
                                raise_if_stopped, real, stopped, streams, table, watch)
from convkit._core.tiles cimport (KINDS, Area, Axis, Tile, axis_of, first_of_line, kind_along, lines_used, next_tile, odd_lines,
                                  panel_start, pixels_of, tiles_used)
from convkit._core.winograd_pack cimport BLOCK, Filters, at_points, block_of, filters_of

cdef enum:
    SLICES = 8                                  # most taps along d, as in plan/winograd.py
    MANY = 1 << 20                              # pieces that never start again
    THIN = 1 << 18                              # bytes of filters that come fast enough unasked
    NEAR = 3 << 18                              # bytes of filters at their points that stay in a cache


cdef struct Work:                               # what all tasks of a pass share
    const ck_kernels *k
    Axis h, w
    Py_ssize_t step[2]                          # pixels from one to the next inside a tile: the dilation
    Py_ssize_t places_w, points
    Py_ssize_t slices, slice_step, slice_first, source_depth, target_depth, images
    Py_ssize_t lines, columns                   # of tiles in a block
    Py_ssize_t line_blocks, column_blocks, batches, groups, depth, cols, words, panels, itemsize
    Py_ssize_t chunk, chunks                    # of the depth, whose points lie together
    Py_ssize_t v_row, m_row, v_step, m_step, u_step           # elements from one tile, one point to the next
    bint in_place                               # products may overwrite the points of their tiles
    const char *source
    char *target
    Py_ssize_t source_stride[4]
    Py_ssize_t target_stride[4]                 # bytes: n, d, h, w
    const char *filters
    const char *bias
    unsigned char *odd
    Py_ssize_t residual                         # bytes from the target to what is added to it
    bint adds, relu, flush, stream              # stream: past the caches
    bint fetches                                # the images, not the filters, are far away
    bint few, once                              # filters are brought to the points by wino_few.h; and stay in registers


cdef struct Soon:                               # what a product fetches on the way, in pieces: `pieces` of ck_finish
    const char *next
    Py_ssize_t pieces


cdef inline char *chunk_at(const Work *work, const char *v, Py_ssize_t slice, Py_ssize_t chunk) noexcept nogil:
    return <char *>v + (slice * work.chunks + chunk) * work.points * work.v_step * work.itemsize


cdef inline char *target_line(const Work *work, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t plane = line // work.h.count
    return (work.target + plane // work.target_depth * work.target_stride[0]
            + plane % work.target_depth * work.target_stride[1]
            + work.h.tile[line % work.h.count].target * work.target_stride[2])


cdef inline const char *source_line(const Work *work, Py_ssize_t slice, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t plane = line // work.h.count
    return (work.source + plane // work.target_depth * work.source_stride[0]
            + (plane % work.target_depth + work.slice_first + slice * work.slice_step) * work.source_stride[1]
            + work.h.tile[line % work.h.count].source * work.source_stride[2])


cdef void transform(const Work *work, const Area *area, Py_ssize_t group, Py_ssize_t line, char *v) noexcept nogil:
    """The points of a line of tiles: (slices, chunks of the depth, points, tiles, rows)."""
    cdef ck_patch patch
    cdef void *points[KINDS * KINDS]
    cdef const Tile *th = &work.h.tile[line % work.h.count]
    cdef const Tile *tw
    cdef Py_ssize_t d = line // work.h.count % work.target_depth
    cdef Py_ssize_t row = work.v_row * work.itemsize, s, c, i, at, first
    cdef const char *origin
    patch.row = work.step[0] * work.source_stride[2] // work.itemsize
    patch.col = work.step[1] * work.source_stride[3] // work.itemsize
    for s in range(work.slices):
        at = d + work.slice_first + s * work.slice_step
        for c in range(work.chunks):
            first = c * work.chunk
            origin = source_line(work, s, line) + (group * work.depth + first) * work.itemsize
            first_of_line(&work.h, &work.w, area, line, row, chunk_at(work, v, s, c), points)
            for i in range(area.first, area.last):
                tw = &work.w.tile[i]
                patch.origin = origin + tw.source * work.source_stride[3]
                pixels_of(&patch, th, tw, <size_t>at < <size_t>work.source_depth)
                work.k.wino_input(&patch, min(work.chunk, work.depth - first), points, work.v_step)
                next_tile(points, row)


cdef void multiply(const Work *work, const Area *area, Py_ssize_t point, Py_ssize_t slices, Py_ssize_t depth, int vecs,
                   const char *v, const char *panel, Soon ahead, bint resume, char *m) noexcept nogil:
    """One point: the tiles of an area that have it, times some rows of a panel."""
    cdef const void *taps[SLICES]
    cdef ck_finish finish
    cdef Py_ssize_t s, count = tiles_used(&work.h, &work.w, area, point, work.places_w)
    for s in range(slices):
        taps[s] = chunk_at(work, v, s, 0) + point * work.v_step * work.itemsize
    finish.bias, finish.relu, finish.cols, finish.next, finish.pieces = NULL, 0, vecs * work.k.vector, ahead.next, ahead.pieces
    finish.resume, finish.stream = CK_STORED if resume else CK_BIAS, 0
    if count:
        work.k.line_tiles(count, vecs, slices, depth, taps, work.v_row, panel, m + point * work.m_step * work.itemsize,
                          work.m_row, &finish)


cdef bint fold(const Work *work, const Area *area, Py_ssize_t group, Py_ssize_t line, Py_ssize_t channel,
               Py_ssize_t channels, char *m) noexcept nogil:
    """A line of tiles of products -> the target. Returns whether something is not finite."""
    cdef ck_fold how
    cdef void *points[KINDS * KINDS]
    cdef const Tile *th = &work.h.tile[line % work.h.count]
    cdef const Tile *tw
    cdef Py_ssize_t row = work.m_row * work.itemsize, i
    cdef char *origin = target_line(work, line) + (group * work.cols + channel) * work.itemsize
    cdef int odd = 0
    how.bias = work.bias + (group * work.cols + channel) * work.itemsize if work.bias != NULL else NULL
    how.relu, how.adds, how.residual = work.relu, work.adds, work.residual
    how.stream = work.stream and whole_lines((group * work.cols + channel) * work.itemsize, channels * work.itemsize)
    how.row = work.step[0] * work.target_stride[2] // work.itemsize
    how.col = work.step[1] * work.target_stride[3] // work.itemsize
    first_of_line(&work.h, &work.w, area, line, row, m, points)
    for i in range(area.first, area.last):
        tw = &work.w.tile[i]
        how.form[0], how.form[1], how.count[0], how.count[1] = th.form, tw.form, th.count, tw.count
        how.keep[0], how.keep[1] = th.keep, tw.keep
        work.k.wino_output(&how, <const void **>points, work.m_step, channels, origin + tw.target * work.target_stride[3], &odd)
        next_tile(points, row)
    if odd:
        work.odd[line // (work.h.count * work.target_depth)] = 1


cdef inline void scale(const Work *work, const Area *area, Py_ssize_t point, Py_ssize_t vecs, char *m) noexcept nogil:
    """What filters brought to the points by wino_few.h leave to be done: a panel of products."""
    work.k.wino_scale(point, tiles_of(area), vecs * work.k.vector, m + point * work.m_step * work.itemsize, work.m_row)


cdef inline Py_ssize_t tiles_of(const Area *area) noexcept nogil:
    return (area.last_line - area.first_line) * (area.last - area.first)


cdef Soon images_soon(const Work *work, const Area *area, Py_ssize_t part) noexcept nogil:
    """What a part of the products, one of a point and a panel, fetches: some of this block's target or the next one's source.

    Nothing else waits for memory while the products are made, and nothing would be made while the transforms wait.
    """
    cdef Py_ssize_t half = (work.points * work.panels + 1) // 2
    cdef Py_ssize_t all_lines = work.images * work.target_depth * work.h.count
    cdef Py_ssize_t slice = work.slices - 1     # which no plane before has read
    cdef const char *first
    cdef const char *last
    cdef Soon it
    if part < half:
        first, last = target_line(work, area.first_line), target_line(work, area.last_line)
    else:
        first = source_line(work, slice, area.last_line)
        last = source_line(work, slice, min(all_lines, 2 * area.last_line - area.first_line))
        part -= half
    it.next, it.pieces = first + (last - first) // half * part, MANY
    return it


cdef void block(const Work *work, Py_ssize_t number, char *scratch) noexcept nogil:
    """A task of `run`: a block of tiles and some panels."""
    cdef Py_ssize_t blocks = work.line_blocks * work.column_blocks, all_lines, line, point, p, start, vecs
    cdef Py_ssize_t group = number // (blocks * work.batches), batch = number // blocks % work.batches
    cdef Py_ssize_t first_panel = work.panels * batch // work.batches, last_panel = work.panels * (batch + 1) // work.batches
    cdef Py_ssize_t first = panel_start(work.words, work.panels, first_panel)
    cdef Py_ssize_t panel_depth = work.slices * work.depth * work.k.vector
    cdef char *m = scratch if work.in_place else scratch + work.slices * work.points * work.v_step * work.itemsize
    cdef const char *panel
    cdef char *to
    cdef Area area
    cdef Soon ahead
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    all_lines = work.images * work.target_depth * work.h.count
    area.first_line = all_lines * (number % blocks // work.column_blocks) // work.line_blocks
    area.last_line = all_lines * (number % blocks // work.column_blocks + 1) // work.line_blocks
    area.first = number % work.column_blocks * work.columns
    area.last = min(work.w.count, area.first + work.columns)
    for line in range(area.first_line, area.last_line):
        transform(work, &area, group, line, scratch)
    for point in range(work.points):
        for p in range(first_panel, last_panel):
            start = panel_start(work.words, work.panels, p)
            vecs = panel_start(work.words, work.panels, p + 1) - start
            panel = work.filters + ((group * work.points + point) * work.u_step + start * panel_depth) * work.itemsize
            if work.fetches:
                ahead = images_soon(work, &area, point * work.panels + p)
            else:
                ahead.next = panel + vecs * panel_depth * work.itemsize
                ahead.pieces = (vecs * work.k.vector * work.itemsize + LINE - 1) // LINE
            to = m + (start - first) * work.k.vector * work.itemsize
            multiply(work, &area, point, work.slices, work.depth, <int>vecs, scratch, panel, ahead, False, to)
            if work.few:
                scale(work, &area, point, vecs, to)
    start = first * work.k.vector
    vecs = min(work.cols, panel_start(work.words, work.panels, last_panel) * work.k.vector) - start
    for line in range(area.first_line, area.last_line):
        fold(work, &area, group, line, start, vecs, m)
    fence(work.stream)
    ck_write_mode(mode)


include "winograd_through.pxi"


cdef class Layout:
    """What all calls of a pass share, for one ISA and element size: its tables (plan/winograd.py) and sizes."""
    cdef Work work
    cdef object kept                            # what `work` points to
    cdef readonly Py_ssize_t packed             # elements of the packed filters: at their points,
    cdef readonly bint few                      # where wino_few.h brings them there,
    cdef readonly bint once                     # or taps, where each call does that, for that few tiles

    def __init__(self, const Py_ssize_t[:, ::1] across_h, const Py_ssize_t[:, ::1] across_w, Py_ssize_t step_h,
                 Py_ssize_t step_w, places, slices, Py_ssize_t images, Py_ssize_t groups, Py_ssize_t depth, Py_ssize_t cols,
                 block, bint few, Py_ssize_t itemsize):
        """places: of points (h, w); slices: (taps, dilation, first source, of source, of target) along d; block: tiles."""
        cdef Work *work = &self.work
        work.k = table(itemsize)
        work.h, work.w = axis_of(across_h), axis_of(across_w)
        work.step[0], work.step[1], work.places_w, work.points = step_h, step_w, places[1], places[0] * places[1]
        work.slices, work.slice_step, work.slice_first, work.source_depth, work.target_depth = slices
        work.images, work.groups, work.depth, work.cols, work.itemsize = images, groups, depth, cols, itemsize
        work.lines, work.columns = block
        work.line_blocks = (images * work.target_depth * work.h.count + work.lines - 1) // work.lines
        work.column_blocks = (work.w.count + work.columns - 1) // work.columns
        work.words = (cols + work.k.vector - 1) // work.k.vector
        work.panels = (work.words + work.k.vecs - 1) // work.k.vecs
        work.v_row, work.m_row = odd_lines(depth, itemsize), odd_lines(work.words * work.k.vector, itemsize)
        work.chunk, work.chunks = depth, 1
        work.in_place = work.panels == 1 and work.slices == 1 and work.m_row <= work.v_row
        if work.in_place:
            work.m_row = work.v_row
        work.v_step, work.m_step = (odd_lines(work.lines * work.columns * row, itemsize) for row in (work.v_row, work.m_row))
        work.u_step = odd_lines(work.slices * depth * work.words * work.k.vector, itemsize)
        self.packed = groups * work.points * work.u_step
        work.few, work.once = few, few and images * work.target_depth * work.h.count * work.w.count <= CK_FEW_TILES
        self.few, self.once = work.few, work.once
        if work.once:
            self.packed = groups * work.words * slices[0] * ((depth + CK_FEW - 1) // CK_FEW) * BLOCK * work.k.vector
        self.kept = across_h.base, across_w.base

    cdef void share(self, Work *work, int threads):
        """Cuts the work evenly: whole rounds of blocks, or ranges of panels where there are too few blocks."""
        cdef Py_ssize_t lines = work.images * work.target_depth * work.h.count, each = work.column_blocks * work.groups
        if work.line_blocks * each > threads:
            work.line_blocks = min(lines, ((work.line_blocks * each + threads - 1) // threads * threads + each - 1) // each)
        elif work.line_blocks * each * work.panels < threads:
            work.line_blocks = min(lines, (threads + each - 1) // each)
        work.batches = min(work.panels, (threads + work.line_blocks * each - 1) // (work.line_blocks * each))
        work.fetches = work.batches * each == 1 and work.points * work.u_step * work.itemsize <= THIN

    cdef Work through(self, int threads, bint gathered):
        """The work of `run_through`: one block; a panel for each thread if there are words enough, whose filters stay in a
        cache a chunk of their depth at a time; or a panel for each word."""
        cdef Work work = self.work
        cdef Py_ssize_t tiles = work.images * work.target_depth * work.h.count * work.w.count, width
        work.once = work.once and gathered
        if work.once:                           # points follow each other without a gap
            work.panels, work.m_row = work.words, work.k.vector
            work.v_step, work.m_step = tiles * work.v_row, odd_lines(tiles * work.m_row, work.itemsize)
            return work
        work.panels = min(work.words, (work.panels + threads - 1) // threads * threads)
        width = (work.words + work.panels - 1) // work.panels * work.k.vector
        work.chunks = (work.points * work.depth * width * work.itemsize + NEAR - 1) // NEAR
        work.chunk = (work.depth + work.chunks * work.k.vector - 1) // (work.chunks * work.k.vector) * work.k.vector
        work.chunks = (work.depth + work.chunk - 1) // work.chunk
        work.v_row, work.m_row = odd_lines(work.chunk, work.itemsize), odd_lines(width, work.itemsize)
        work.v_step, work.m_step = (odd_lines(tiles * row, work.itemsize) for row in (work.v_row, work.m_row))
        return work

    def scratch(self, taps, bint gathered, int threads):
        """Elements that a pass needs: of all threads, of each. taps: of filters that are brought to the points on the way."""
        cdef Work work = self.through(threads, gathered or taps is None) if taps is not None or self.once else self.work
        cdef Py_ssize_t turned = work.points * work.slices * work.depth * work.v_step // work.v_row if work.once else 0
        cdef Py_ssize_t filters, aside
        if taps is None and not self.once:
            return 0, work.points * (work.slices * work.v_step + (0 if work.in_place else work.m_step)) + LINE
        filters = 0 if work.once else (work.words + work.panels - 1) // work.panels * work.k.vector * work.chunk
        aside = BLOCK * work.k.vector if work.once else taps[0] * taps[1] * filters if gathered else 0
        return (work.points * work.slices * work.chunks * work.v_step + odd_lines(turned, work.itemsize),
                work.points * (work.m_step + odd_lines(filters, work.itemsize)) + odd_lines(aside, work.itemsize))

    @property
    def tasks(self):
        cdef Py_ssize_t blocks = self.work.words if self.once else self.work.line_blocks * self.work.column_blocks
        return blocks * self.work.groups


cdef void place(Work *work, const real[:, :, :, :, :] source, const real[::1] bias, real[:, :, :, :, :] target,
                unsigned char[::1] odd, bint relu, const real[:, :, :, :, :] residual):
    """The arrays of a call."""
    cdef Py_ssize_t i
    work.adds = residual is not None
    if work.adds:
        work.residual = <const char *>&residual[0, 0, 0, 0, 0] - <const char *>&target[0, 0, 0, 0, 0]
    work.relu, work.flush, work.odd = relu, flushes(), &odd[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    for i in range(4):
        work.source_stride[i], work.target_stride[i] = source.strides[i], target.strides[i]
    work.stream = not work.adds and streams(work.target, target.strides, target.shape, work.itemsize)


def run(Layout layout, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, unsigned char[::1] odd, bint relu, int threads,
        const real[:, :, :, :, :] residual=None):
    """target = source * filters + bias, and ReLU of it; odd[n] = 1 where image n came out not finite somewhere.

    `residual`, of the strides of the target, is added before ReLU.
    """
    cdef Work work = layout.work
    layout.share(&work, threads)
    place(&work, source, bias, target, odd, relu, residual)
    work.filters = <const char *>&filters[0]
    blocks(&work, threads, <char *>&scratch[0], layout.scratch(None, False, threads)[1] * sizeof(real))


cdef int blocks(const Work *work, int threads, char *scratch, Py_ssize_t each) except -1:
    cdef Py_ssize_t t, tasks = work.line_blocks * work.column_blocks * work.batches * work.groups
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&w, threadid(), t):
            block(work, t, scratch + each * threadid())
    return raise_if_stopped(&w)


cdef class Bound(Fast):
    """`run` on C-contiguous arrays of known sizes, with filters that are packed."""
    cdef Work work
    cdef Filters f
    cdef Py_ssize_t shared, each                # bytes of scratch
    cdef int threads
    cdef object layout, filters

    def __init__(self, Layout layout, tuple source, tuple target, filters, bint relu, int threads):
        """source and target are shapes (N, D, H, W, C); what `filters` holds does not change."""
        cdef const unsigned char[::1] packed = filters.view("u1")
        cdef Work *work = &self.work
        cdef Dense x, y
        cdef Py_ssize_t i
        work[0] = layout.through(threads, True) if layout.once else layout.work
        layout.share(work, threads)
        x, y = lifted(source, work.itemsize), lifted(target, work.itemsize)
        self.layout, self.filters, self.threads = layout, filters, threads
        self.shared, self.each = (size * work.itemsize for size in layout.scratch(None, False, threads))
        self.f.k, self.f.itemsize, self.f.few, self.f.packed = work.k, work.itemsize, work.few, <const char *>&packed[0]
        self.f.slices, self.f.depth, self.f.cols = work.slices, work.depth, work.cols
        self.room = self.shared + threads * self.each + work.images
        work.relu, work.flush, work.filters = relu, flushes(), <const char *>&packed[0]
        for i in range(4):
            work.source_stride[i], work.target_stride[i] = x.stride[i], y.stride[i]

    cdef int run(self, const Places *at) except -1:
        cdef Work work = self.work
        cdef Py_ssize_t n
        work.source, work.target, work.bias, work.adds = at.x, at.y, at.b, at.residual != NULL
        work.residual = at.residual - at.y if work.adds else 0
        work.odd = <unsigned char *>at.room + self.shared + self.threads * self.each
        memset(work.odd, 0, work.images)
        if work.once:
            pass_through(&work, &self.f, self.threads, at.room, self.shared, self.each)
        else:
            blocks(&work, self.threads, at.room, self.each)
        for n in range(work.images):
            if work.odd[n]:
                return 1
        return 0
