# Winograd's convolution: tiles of the source -> points, one matrix product per point, products -> tiles of the target.
#
# A task is a block of tiles and a range of panels of filters. Its points lie in scratch that stays in a cache, row strides
# padded so that rows do not meet in one set. Every tile is computed on its own: neither the blocks nor the threads show in
# the bits. The axes along h and w are lists of tiles (plan/winograd.py); along d, taps are summed in the products.
from cython.parallel cimport prange, threadid
from convkit._core.cpu cimport (Watch, ck_finish, ck_flush_subnormals, ck_fold, ck_kernels, ck_mode, ck_patch,
                                ck_write_mode, flushes, raise_if_stopped, real, stopped, table, watch)
from convkit._core.tiles cimport Tile, has, odd_lines, pixels_of

cdef enum:
    TILES = 128                                 # most tiles of a block, as in plan/winograd.py
    SLICES = 8                                  # most taps along d
    LINE = 64                                   # bytes that one fetch brings


cdef struct Work:                               # what all tasks of a pass share
    const ck_kernels *k
    const Tile *across[2]                       # tiles along h, along w
    Py_ssize_t tiles[2]
    Py_ssize_t step[2]                          # pixels from one to the next inside a tile: the dilation
    Py_ssize_t places_w, points
    Py_ssize_t slices, slice_step, slice_first, source_depth, target_depth, images
    Py_ssize_t lines, columns                   # of tiles in a block
    Py_ssize_t line_blocks, column_blocks, batches, groups, depth, cols, vecs, panels, itemsize
    Py_ssize_t v_row, m_row, v_step, m_step, u_step           # elements from one tile, one point to the next
    const char *source
    char *target
    Py_ssize_t source_stride[4]
    Py_ssize_t target_stride[4]                 # bytes: n, d, h, w
    const char *filters
    const char *bias
    unsigned char *odd
    bint relu, flush


cdef struct Rows:                               # tiles of a block
    Py_ssize_t count
    Py_ssize_t tile[TILES]


cdef inline Py_ssize_t panel_start(const Work *work, Py_ssize_t panel) noexcept nogil:
    """In words of columns."""
    return work.vecs * panel // work.panels


cdef void transform(const Work *work, Py_ssize_t group, Py_ssize_t line, Py_ssize_t first, Py_ssize_t last,
                    char *v) noexcept nogil:
    """The points of a line of tiles, for every slice."""
    cdef ck_patch patch
    cdef const Tile *th = &work.across[0][line % work.tiles[0]]
    cdef const Tile *tw
    cdef Py_ssize_t d = line // work.tiles[0] % work.target_depth, n = line // (work.tiles[0] * work.target_depth)
    cdef Py_ssize_t s, i, at, to
    cdef const char *origin
    patch.row = work.step[0] * work.source_stride[2] // work.itemsize
    patch.col = work.step[1] * work.source_stride[3] // work.itemsize
    for s in range(work.slices):
        at = d + work.slice_first + s * work.slice_step
        origin = (work.source + n * work.source_stride[0] + at * work.source_stride[1] + th.source * work.source_stride[2]
                  + group * work.depth * work.itemsize)
        for i in range(first, last):
            tw = &work.across[1][i]
            patch.origin = origin + tw.source * work.source_stride[3]
            pixels_of(&patch, th, tw, <size_t>at < <size_t>work.source_depth)
            to = s * work.points * work.v_step + (i - first) * work.v_row
            work.k.wino_input(&patch, work.depth, v + to * work.itemsize, work.v_step)


cdef void gather(const Work *work, Py_ssize_t first_line, Py_ssize_t last_line, Py_ssize_t first, Py_ssize_t last, int kind,
                 Rows *rows) noexcept nogil:
    """The tiles of a block that use points of a kind: 3 * that along h + that along w, where 1 is place 3 and 2 is place 4."""
    cdef Py_ssize_t line, i, place_h = kind // 3 + 2 if kind >= 3 else 0, place_w = kind % 3 + 2 if kind % 3 else 0
    rows.count = 0
    for line in range(first_line, last_line):
        if has(work.across[0][line % work.tiles[0]].form, place_h):
            for i in range(first, last):
                if has(work.across[1][i].form, place_w):
                    rows.tile[rows.count] = (line - first_line) * (last - first) + i - first
                    rows.count += 1


cdef inline int kind_of(Py_ssize_t point, Py_ssize_t places_w) noexcept nogil:
    cdef Py_ssize_t h = point // places_w, w = point % places_w
    return <int>(3 * (h - 2 if 3 <= h <= 4 else 0) + (w - 2 if 3 <= w <= 4 else 0))


cdef void multiply(const Work *work, Py_ssize_t group, Py_ssize_t point, const Rows *used, Py_ssize_t first_panel,
                   Py_ssize_t last_panel, const char *v, char *m) noexcept nogil:
    """One point: rows of the block's tiles times the panels."""
    cdef const void *rows[SLICES * TILES]
    cdef void *targets[TILES]
    cdef ck_finish finish
    cdef Py_ssize_t count = used.count, s, r, p, start, vecs, height, tiles, lo, hi, parts, part
    cdef Py_ssize_t word = work.k.vector * work.itemsize, panel_depth = work.slices * work.depth
    cdef Py_ssize_t v_row = work.v_row * work.itemsize, m_row = work.m_row * work.itemsize
    cdef const char *panel
    for s in range(work.slices):
        panel = v + (s * work.points + point) * work.v_step * work.itemsize
        for r in range(count):
            rows[s * TILES + r] = panel + used.tile[r] * v_row
    m += (point * work.m_step - panel_start(work, first_panel) * work.k.vector) * work.itemsize
    if not count:
        return
    finish.bias, finish.resume, finish.relu = NULL, 0, 0
    for p in range(first_panel, last_panel):
        start, vecs = panel_start(work, p), panel_start(work, p + 1) - panel_start(work, p)
        panel = work.filters + (group * work.points + point) * work.u_step * work.itemsize + start * panel_depth * word
        finish.cols = vecs * work.k.vector
        height = work.k.rows[vecs]
        tiles = (count + height - 1) // height
        parts = (vecs * word + LINE - 1) // LINE
        for r in range(count):
            targets[r] = m + used.tile[r] * m_row + start * word
        for r in range(tiles):
            lo, hi, part = count * r // tiles, count * (r + 1) // tiles, min(r, parts - 1)
            finish.next = panel + vecs * panel_depth * word + part * panel_depth * LINE
            work.k.tile_rows(<int>(hi - lo), <int>vecs, work.slices, work.depth, rows + lo, TILES, panel, targets + lo, &finish)


cdef bint fold(const Work *work, Py_ssize_t group, Py_ssize_t line, Py_ssize_t first, Py_ssize_t last, Py_ssize_t channel,
               Py_ssize_t channels, const char *m) noexcept nogil:
    """A line of tiles of products -> the target. Returns whether something is not finite."""
    cdef ck_fold how
    cdef const Tile *th = &work.across[0][line % work.tiles[0]]
    cdef const Tile *tw
    cdef Py_ssize_t d = line // work.tiles[0] % work.target_depth, n = line // (work.tiles[0] * work.target_depth), i
    cdef char *origin = (work.target + n * work.target_stride[0] + d * work.target_stride[1]
                         + th.target * work.target_stride[2] + (group * work.cols + channel) * work.itemsize)
    cdef int odd = 0
    how.bias = work.bias + (group * work.cols + channel) * work.itemsize if work.bias != NULL else NULL
    how.relu = work.relu
    how.row = work.step[0] * work.target_stride[2] // work.itemsize
    how.col = work.step[1] * work.target_stride[3] // work.itemsize
    for i in range(first, last):
        tw = &work.across[1][i]
        how.form[0], how.form[1], how.count[0], how.count[1] = <int>th.form, <int>tw.form, <int>th.count, <int>tw.count
        how.keep[0], how.keep[1] = <int>th.keep, <int>tw.keep
        work.k.wino_output(&how, m + (i - first) * work.m_row * work.itemsize, work.m_step, channels,
                           origin + tw.target * work.target_stride[3], &odd)
    return odd


cdef void task(const Work *work, Py_ssize_t number, char *scratch) noexcept nogil:
    cdef Py_ssize_t blocks = work.line_blocks * work.column_blocks, all_lines, line, first_line, last_line, first, last, point
    cdef Py_ssize_t group = number // (blocks * work.batches), batch = number // blocks % work.batches, start, stop, offset
    cdef Py_ssize_t first_panel = work.panels * batch // work.batches, last_panel = work.panels * (batch + 1) // work.batches
    cdef char *m = scratch + work.slices * work.points * work.v_step * work.itemsize
    cdef Rows rows[9]
    cdef int kind
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    all_lines = work.images * work.target_depth * work.tiles[0]
    first_line = all_lines * (number % blocks // work.column_blocks) // work.line_blocks
    last_line = all_lines * (number % blocks // work.column_blocks + 1) // work.line_blocks
    first = number % work.column_blocks * work.columns
    last = min(work.tiles[1], first + work.columns)
    start = panel_start(work, first_panel) * work.k.vector
    stop = min(work.cols, panel_start(work, last_panel) * work.k.vector)
    for line in range(first_line, last_line):
        offset = (line - first_line) * (last - first) * work.v_row * work.itemsize
        transform(work, group, line, first, last, scratch + offset)
    for kind in range(9):
        gather(work, first_line, last_line, first, last, kind, &rows[kind])
    for point in range(work.points):
        multiply(work, group, point, &rows[kind_of(point, work.places_w)], first_panel, last_panel, scratch, m)
    for line in range(first_line, last_line):
        offset = (line - first_line) * (last - first) * work.m_row * work.itemsize
        if fold(work, group, line, first, last, start, stop - start, m + offset):
            work.odd[line // (work.target_depth * work.tiles[0])] = 1
    ck_write_mode(mode)


cdef class Layout:
    """What all calls of a pass share, for one ISA and element size: its tables (plan/winograd.py) and sizes."""
    cdef Work work
    cdef object kept                            # what `work` points to
    cdef readonly Py_ssize_t packed             # elements of the transformed filters

    def __init__(self, const Py_ssize_t[:, ::1] across_h, const Py_ssize_t[:, ::1] across_w, Py_ssize_t step_h,
                 Py_ssize_t step_w, places, slices, Py_ssize_t images, Py_ssize_t groups, Py_ssize_t depth, Py_ssize_t cols,
                 block, Py_ssize_t itemsize):
        """places: of points (h, w); slices: (taps, dilation, first source, of source, of target) along d; block: tiles."""
        cdef Work *work = &self.work
        work.k = table(itemsize)
        work.across[0], work.across[1] = <const Tile *>&across_h[0, 0], <const Tile *>&across_w[0, 0]
        work.tiles[0], work.tiles[1] = across_h.shape[0], across_w.shape[0]
        work.step[0], work.step[1], work.places_w, work.points = step_h, step_w, places[1], places[0] * places[1]
        work.slices, work.slice_step, work.slice_first, work.source_depth, work.target_depth = slices
        work.images, work.groups, work.depth, work.cols, work.itemsize = images, groups, depth, cols, itemsize
        work.lines, work.columns = block
        work.line_blocks = (images * work.target_depth * work.tiles[0] + work.lines - 1) // work.lines
        work.column_blocks = (work.tiles[1] + work.columns - 1) // work.columns
        work.vecs = (cols + work.k.vector - 1) // work.k.vector
        work.panels = (work.vecs + work.k.vecs - 1) // work.k.vecs
        work.v_row = (depth + work.k.vector - 1) // work.k.vector * work.k.vector + LINE // itemsize
        work.m_row = work.vecs * work.k.vector + LINE // itemsize
        work.v_step, work.m_step = (odd_lines(work.lines * work.columns * row, itemsize) for row in (work.v_row, work.m_row))
        work.u_step = odd_lines(work.slices * depth * work.vecs * work.k.vector, itemsize)
        self.packed = groups * work.points * work.u_step
        self.kept = across_h.base, across_w.base

    cdef void share(self, Work *work, int threads):
        """Cuts the work evenly: whole rounds of blocks, or ranges of panels where there are too few blocks."""
        cdef Py_ssize_t lines = work.images * work.target_depth * work.tiles[0], each = work.column_blocks * work.groups
        if work.line_blocks * each > threads:
            work.line_blocks = min(lines, ((work.line_blocks * each + threads - 1) // threads * threads + each - 1) // each)
        elif work.line_blocks * each * work.panels < threads:
            work.line_blocks = min(lines, (threads + each - 1) // each)
        work.batches = min(work.panels, (threads + work.line_blocks * each - 1) // (work.line_blocks * each))

    @property
    def scratch(self):
        """Elements a thread needs."""
        cdef const Work *work = &self.work
        return work.points * (work.slices * work.v_step + work.m_step) + LINE

    @property
    def tasks(self):
        return self.work.line_blocks * self.work.column_blocks * self.work.groups


def run(Layout layout, const real[:, :, :, :, :] source, const real[::1] filters, const real[::1] bias,
        real[:, :, :, :, :] target, real[::1] scratch, unsigned char[::1] odd, bint relu, int threads):
    """target = source * filters + bias, and ReLU of it; odd[n] = 1 where image n came out not finite somewhere."""
    cdef Work work = layout.work
    cdef Py_ssize_t i, t, tasks, each = layout.scratch
    layout.share(&work, threads)
    work.relu, work.flush, work.odd = relu, flushes(), &odd[0]
    work.filters = <const char *>&filters[0]
    work.bias = <const char *>&bias[0] if bias is not None else NULL
    work.source, work.target = <const char *>&source[0, 0, 0, 0, 0], <char *>&target[0, 0, 0, 0, 0]
    for i in range(4):
        work.source_stride[i], work.target_stride[i] = source.strides[i], target.strides[i]
    tasks = work.line_blocks * work.column_blocks * work.batches * work.groups
    cdef Watch w = watch()
    for t in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        if not stopped(&w, threadid(), t):
            task(&work, t, <char *>&scratch[0] + each * threadid() * sizeof(real))
    raise_if_stopped(&w)


cdef enum:
    CHUNK = 32                                  # of the depth, in one piece of packing


cdef struct Packing:
    const ck_kernels *k
    int form[2]
    int taps[2]
    bint reversed, flush
    Py_ssize_t points, slices, depth, cols, vecs, panels, itemsize
    const char *w
    Py_ssize_t group                            # bytes to the next
    Py_ssize_t tap[3]
    Py_ssize_t depth_step, col_step             # elements
    char *packed


cdef void pack_chunk(const Packing *work, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t slice, Py_ssize_t first,
                     char *scratch) noexcept nogil:
    """The filters of a panel for some of the depth: gathered tap by tap, then transformed."""
    cdef Py_ssize_t start = work.vecs * panel // work.panels, vecs = work.vecs * (panel + 1) // work.panels - start
    cdef Py_ssize_t depth = min(work.depth - first, <Py_ssize_t>CHUNK), width = vecs * work.k.vector, h, w, d, tap
    cdef Py_ssize_t cols = min(work.cols - start * work.k.vector, width), each = depth * width
    cdef Py_ssize_t step = odd_lines(work.slices * work.depth * work.vecs * work.k.vector, work.itemsize)
    cdef const char *origin = work.w + group * work.group
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    origin += (first * work.depth_step + start * work.k.vector * work.col_step) * work.itemsize
    d = work.slices - 1 - slice if work.reversed else slice
    for tap in range(work.taps[0] * work.taps[1]):
        h, w = tap // work.taps[1], tap % work.taps[1]
        if work.reversed:
            h, w = work.taps[0] - 1 - h, work.taps[1] - 1 - w
        work.k.pack_panel(depth, cols, vecs, origin + d * work.tap[0] + h * work.tap[1] + w * work.tap[2], work.depth_step,
                          work.col_step, scratch + tap * each * work.itemsize)
    work.k.wino_filter(work.form, work.taps, scratch, each, each,
                       work.packed + (group * work.points * step + start * work.slices * work.depth * work.k.vector
                                      + (slice * work.depth + first) * width) * work.itemsize, step)
    ck_write_mode(mode)


def pack(form, taps, Py_ssize_t points, bint from_outputs, const real[:, :, :, :, :] w, Py_ssize_t groups, real[::1] packed,
         real[::1] scratch, int threads):
    """w (O, KD, KH, KW, I) -> its values at the points: (groups, points, panels, slices, depth, panel width).

    The depth of the pass is I and its columns O, or with `from_outputs` (gradient of the input) the other way round and the
    taps reversed. `scratch` holds `pack_scratch` elements a thread.
    """
    cdef Packing work
    cdef Py_ssize_t t, chunks, each, outputs = w.shape[0] // groups
    work.k, work.reversed, work.flush, work.points = table(sizeof(real)), from_outputs, flushes(), points
    work.slices, work.itemsize = w.shape[1], sizeof(real)
    for t in range(2):
        work.form[t], work.taps[t] = form[t], taps[t]
    work.w, work.packed, work.group = <const char *>&w[0, 0, 0, 0, 0], <char *>&packed[0], outputs * w.strides[0]
    for t in range(3):
        work.tap[t] = w.strides[t + 1]
    work.depth, work.cols = w.shape[4], outputs
    work.depth_step, work.col_step = w.strides[4] // <Py_ssize_t>sizeof(real), w.strides[0] // <Py_ssize_t>sizeof(real)
    if from_outputs:
        work.depth, work.cols, work.depth_step, work.col_step = work.cols, work.depth, work.col_step, work.depth_step
    work.vecs = (work.cols + work.k.vector - 1) // work.k.vector
    work.panels, chunks = (work.vecs + work.k.vecs - 1) // work.k.vecs, (work.depth + CHUNK - 1) // CHUNK
    each = pack_scratch(taps, sizeof(real))
    for t in prange(groups * work.panels * work.slices * chunks, nogil=True, schedule="static", num_threads=threads):
        pack_chunk(&work, t // (work.panels * work.slices * chunks), t // (work.slices * chunks) % work.panels,
                   t // chunks % work.slices, t % chunks * CHUNK, <char *>&scratch[0] + each * threadid() * sizeof(real))


def pack_scratch(taps, Py_ssize_t itemsize):
    """Elements of `pack`'s scratch, a thread."""
    cdef const ck_kernels *k = table(itemsize)
    return taps[0] * taps[1] * CHUNK * k.vecs * k.vector
