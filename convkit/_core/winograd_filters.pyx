# Winograd's gradient of the filters: tiles of the input and of dy -> points, one product per point that sums over the tiles,
# products -> dw. The outputs of a tile are its taps here, so the tables are those of the forward pass.
#
# The tiles come in chunks whose size depends on the shapes alone, summed one after the other: the threads share out the
# tiles of a chunk, then its points, and never show in the bits.
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from convkit._core.border cimport ceil_div
from convkit._core.cpu cimport (Watch, ck_flush_subnormals, ck_fold, ck_kernels, ck_lines, ck_mode, ck_patch,
                                ck_write_mode, flushes, raise_if_stopped, real, stopped, table, watch)
from convkit._core.tiles cimport Tile, has, odd_lines, pixels_of

cdef enum:
    LINES = 1024                                # most lines of tiles in a chunk, as in plan/winograd.py
    PAD = 16                                    # elements between rows, so that they do not meet in one set


cdef struct Work:
    const ck_kernels *k
    const Tile *across[2]
    Py_ssize_t tiles[2]
    Py_ssize_t step[2]
    Py_ssize_t places_w, points, slice_step, slice_first, source_depth, target_depth, images
    Py_ssize_t lines, columns, line_blocks, column_blocks     # of tiles in a chunk
    Py_ssize_t depth, outputs, x_row, dy_row, x_step, dy_step, itemsize     # steps from one point to the next
    const char *x
    const char *dy
    Py_ssize_t x_stride[4]
    Py_ssize_t dy_stride[4]                     # bytes: n, d, h, w
    char *x_points                              # (points, tiles of a chunk, x_row)
    char *dy_points
    char *sums                                  # (points, sum_rows, x_row - PAD), for each thread if they are few
    Py_ssize_t sum_rows, sum_row                # outputs summed together; bytes of each
    bint flush


cdef struct Chunk:
    Py_ssize_t first_line, last_line, first, last, slice, group


cdef void transform(const Work *work, const Chunk *c, Py_ssize_t line) noexcept nogil:
    """The points of a line of tiles, of the input and of dy."""
    cdef ck_patch x, dy
    cdef const Tile *th = &work.across[0][line % work.tiles[0]]
    cdef const Tile *tw
    cdef Py_ssize_t d = line // work.tiles[0] % work.target_depth, n = line // (work.tiles[0] * work.target_depth), i, tile
    cdef Py_ssize_t at = d + work.slice_first + c.slice * work.slice_step
    cdef const char *x_line = (work.x + n * work.x_stride[0] + at * work.x_stride[1] + th.source * work.x_stride[2]
                               + c.group * work.depth * work.itemsize)
    cdef const char *dy_line = (work.dy + n * work.dy_stride[0] + d * work.dy_stride[1] + th.target * work.dy_stride[2]
                                + c.group * work.outputs * work.itemsize)
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    x.row, x.col = work.step[0] * work.x_stride[2] // work.itemsize, work.step[1] * work.x_stride[3] // work.itemsize
    dy.row, dy.col = work.step[0] * work.dy_stride[2] // work.itemsize, work.step[1] * work.dy_stride[3] // work.itemsize
    for i in range(c.first, c.last):
        tw = &work.across[1][i]
        tile = (line - c.first_line) * (c.last - c.first) + i - c.first
        x.origin, dy.origin = x_line + tw.source * work.x_stride[3], dy_line + tw.target * work.dy_stride[3]
        pixels_of(&x, th, tw, <size_t>at < <size_t>work.source_depth)
        dy.form[0], dy.form[1], dy.taps[0], dy.taps[1] = <int>th.form, <int>tw.form, <int>th.count, <int>tw.count
        dy.lo[0] = dy.lo[1] = 0
        dy.hi[0], dy.hi[1] = <int>th.keep, <int>tw.keep
        work.k.wino_input(&x, work.depth, work.x_points + tile * work.x_row * work.itemsize, work.x_step)
        work.k.wino_taps(&dy, work.outputs, work.dy_points + tile * work.dy_row * work.itemsize, work.dy_step)
    ck_write_mode(mode)


cdef void multiply(const Work *work, const Chunk *c, Py_ssize_t point, Py_ssize_t first_row, Py_ssize_t last_row, char *sums,
                   Py_ssize_t base) noexcept nogil:
    """Adds a chunk to some rows of the sums of a point; `sums` begin with row `base`."""
    cdef const void *x_lines[LINES]
    cdef const void *dy_lines[LINES]
    cdef ck_lines x, dy
    cdef Py_ssize_t lines = 0, pixels = 0, line, tile, width = work.k.vecs * work.k.vector
    cdef Py_ssize_t start, cols, row, height, x_step = work.x_row - PAD
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    while c.first + pixels < c.last and has(work.across[1][c.first + pixels].form, point % work.places_w):
        pixels += 1                             # longer forms come first
    for line in range(c.first_line, c.last_line):
        if has(work.across[0][line % work.tiles[0]].form, point // work.places_w):
            tile = (line - c.first_line) * (c.last - c.first)
            x_lines[lines] = work.x_points + (point * work.x_step + tile * work.x_row) * work.itemsize
            dy_lines[lines] = work.dy_points + (point * work.dy_step + tile * work.dy_row) * work.itemsize
            lines += 1
    if lines and pixels == c.last - c.first and lines == c.last_line - c.first_line:
        lines, pixels = 1, pixels * lines       # one long run
    x.lines, x.step, dy.lines, dy.step = x_lines, work.x_row, dy_lines, work.dy_row
    x.next, dy.next, x.next_step, dy.next_step = x_lines, dy_lines, 0, 0    # the points are in a cache
    start = 0
    while start < work.depth and pixels:
        cols = min(width, work.depth - start)
        height = work.k.rows[(cols + work.k.vector - 1) // work.k.vector]
        x.first, row = start, first_row
        while row < last_row:
            dy.first = row
            work.k.tile_lines(<int>min(height, last_row - row), cols, lines, pixels, &dy, &x,
                              sums + ((point * work.sum_rows + row - base) * x_step + start) * work.itemsize, x_step)
            row += height
        start += cols
    ck_write_mode(mode)


cdef int fold(const Work *work, const int *form, const int *taps, const char *sums, char *dw, Py_ssize_t row,
              Py_ssize_t col) noexcept nogil:
    """The sums of one output, from its first point on -> dw. Returns whether something is not finite."""
    cdef ck_fold how
    cdef int odd = 0, i
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    how.bias, how.relu, how.row, how.col = NULL, 0, row, col
    for i in range(2):
        how.form[i] = form[i]
        how.count[i] = how.keep[i] = taps[i]
    work.k.wino_output(&how, sums, work.sum_rows * (work.x_row - PAD), work.depth, dw, &odd)
    ck_write_mode(mode)
    return odd


cdef int some(const Work *work, const Chunk *c, const int *form, const int *taps, Py_ssize_t first, char *sums, char *dw,
              Py_ssize_t output, Py_ssize_t row, Py_ssize_t col) noexcept nogil:
    """All of `sum_rows` outputs."""
    cdef Py_ssize_t last = min(work.outputs, first + work.sum_rows), point, t
    cdef int odd = 0
    memset(sums, 0, work.points * work.sum_rows * work.sum_row)
    for point in range(work.points):
        multiply(work, c, point, first, last, sums, first)
    for t in range(first, last):
        odd += fold(work, form, taps, sums + (t - first) * work.sum_row, dw + t * output, row, col)
    return odd


def grad(const Py_ssize_t[:, ::1] across_h, const Py_ssize_t[:, ::1] across_w, step, places, form, taps, depths, block,
         Py_ssize_t groups, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x, real[:, :, :, :, ::1] dw,
         real[::1] scratch, int threads):
    """dw (O, KD, KH, KW, C / groups) = the gradient of the filters. Returns whether some of it is not finite.

    depths: (dilation, first source, of source, of target) along d; block: lines and columns of tiles in a chunk, and
    outputs summed together (all, unless there is one chunk); `scratch` holds `scratch_size` elements; the rest as in
    plan/winograd.py.
    """
    cdef Work work
    cdef Chunk chunk
    cdef int forms[2]
    cdef int counts[2]
    cdef Py_ssize_t i, t, b, rows, pieces, slice, group, tiles, all_lines, row, col, each
    cdef char *target
    cdef int odd = 0
    work.k, work.flush, work.itemsize = table(sizeof(real)), flushes(), sizeof(real)
    work.across[0], work.across[1] = <const Tile *>&across_h[0, 0], <const Tile *>&across_w[0, 0]
    work.tiles[0], work.tiles[1] = across_h.shape[0], across_w.shape[0]
    work.places_w, work.points = places[1], places[0] * places[1]
    work.slice_step, work.slice_first, work.source_depth, work.target_depth = depths
    work.images, work.outputs, work.depth = x.shape[0], dw.shape[0] // groups, dw.shape[4]
    work.lines, work.columns, work.sum_rows = block
    all_lines = work.images * work.target_depth * work.tiles[0]
    work.line_blocks = (all_lines + work.lines - 1) // work.lines
    work.column_blocks = (work.tiles[1] + work.columns - 1) // work.columns
    for i in range(2):
        forms[i], counts[i], work.step[i] = form[i], taps[i], step[i]
    work.x, work.dy = <const char *>&x[0, 0, 0, 0, 0], <const char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.x_stride[i], work.dy_stride[i] = x.strides[i], dy.strides[i]
    work.x_row, work.dy_row = row_size(work.depth, work.k.vector), row_size(work.outputs, work.k.vector)
    work.sum_row = (work.x_row - PAD) * work.itemsize
    row, col = dw.strides[2] // <Py_ssize_t>sizeof(real), dw.strides[3] // <Py_ssize_t>sizeof(real)
    tiles = work.lines * work.columns
    work.x_step, work.dy_step = odd_lines(tiles * work.x_row, sizeof(real)), odd_lines(tiles * work.dy_row, sizeof(real))
    work.x_points = <char *>&scratch[0]
    work.dy_points = work.x_points + work.points * work.x_step * work.itemsize
    work.sums = work.dy_points + work.points * work.dy_step * work.itemsize
    each = work.points * work.sum_rows * work.sum_row
    pieces = max(<Py_ssize_t>1, work.outputs // work.k.rows[work.k.vecs] // 4)       # of the outputs of a point, in a task
    rows = (work.outputs + pieces - 1) // pieces
    cdef Watch w = watch()
    with nogil:
        for group in range(groups):
            for slice in range(dw.shape[1]):
                chunk.group, chunk.slice = group, slice
                target = <char *>&dw[0, 0, 0, 0, 0] + group * work.outputs * dw.strides[0] + slice * dw.strides[1]
                if work.sum_rows == work.outputs:
                    for t in prange(work.points, schedule="static", num_threads=threads):
                        memset(work.sums + t * work.sum_rows * work.sum_row, 0, work.sum_rows * work.sum_row)
                for b in range(work.line_blocks * work.column_blocks):
                    chunk.first_line = b // work.column_blocks * work.lines
                    chunk.last_line = min(all_lines, chunk.first_line + work.lines)
                    chunk.first = b % work.column_blocks * work.columns
                    chunk.last = min(work.tiles[1], chunk.first + work.columns)
                    for t in prange(chunk.first_line, chunk.last_line, schedule="static", num_threads=threads):
                        transform(&work, &chunk, t)
                    if work.sum_rows == work.outputs:
                        for t in prange(work.points * pieces, schedule="static", num_threads=threads):
                            if not stopped(&w, threadid(), t):
                                multiply(&work, &chunk, t // pieces, min(work.outputs, t % pieces * rows),
                                         min(work.outputs, (t % pieces + 1) * rows), work.sums, 0)
                if work.sum_rows == work.outputs:
                    for t in prange(work.outputs, schedule="static", num_threads=threads):
                        odd += fold(&work, forms, counts, work.sums + t * work.sum_row, target + t * dw.strides[0], row, col)
                else:                           # one chunk: the sums of a few outputs at a time, which stay in a cache
                    for t in prange(ceil_div(work.outputs, work.sum_rows), schedule="static", num_threads=threads):
                        if not stopped(&w, threadid(), t):
                            odd += some(&work, &chunk, forms, counts, t * work.sum_rows, work.sums + threadid() * each, target,
                                        dw.strides[0], row, col)
    raise_if_stopped(&w)
    return odd != 0


cdef inline Py_ssize_t row_size(Py_ssize_t channels, Py_ssize_t vector) noexcept nogil:
    return (channels + vector - 1) // vector * vector + PAD


def scratch_size(Py_ssize_t points, Py_ssize_t tiles, Py_ssize_t depth, Py_ssize_t outputs, Py_ssize_t sum_rows,
                 Py_ssize_t itemsize, int threads):
    """Elements of `scratch`, for chunks of so many tiles."""
    cdef Py_ssize_t vector = table(itemsize).vector
    cdef Py_ssize_t x_row = row_size(depth, vector), dy_row = row_size(outputs, vector)
    cdef Py_ssize_t sums = (1 if sum_rows == outputs else threads) * sum_rows * (x_row - PAD)
    return points * (odd_lines(tiles * x_row, itemsize) + odd_lines(tiles * dy_row, itemsize) + sums)
