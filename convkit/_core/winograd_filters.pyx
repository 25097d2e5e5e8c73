# Winograd's gradient of the filters: tiles of the input and of dy -> points, one product per point that sums over the tiles,
# products -> dw. The outputs of a tile are its taps here, so the tables are those of the forward pass.
#
# Where the points of all tiles fit, the sums of some outputs and channels are made at a time, in a cache. Else the tiles come
# in chunks, and all sums are kept from one to the next: those of a part of the chunks each, where they are small, so that no
# CPU waits for the points that another one has made. Chunks and parts depend on the shapes alone, and a sum has one order: the
# tiles of a chunk, the chunks of a part, the parts; threads never show in the bits.
from cython.parallel cimport prange, threadid
from convkit._core.cpu cimport (Watch, ck_flush_subnormals, ck_fold, ck_kernels, ck_lines, ck_mode, ck_patch,
                                ck_write_mode, flushes, raise_if_stopped, real, stopped, table, watch)
from convkit._core.border cimport parts_of
from convkit._core.tiles cimport (KINDS, Area, Axis, Tile, axis_of, first_of_line, next_tile, odd_lines, panel_start,
                                  pixels_of, tiles_used)

cdef enum:
    NEAR = 3 << 18                              # bytes of sums that stay in the second-level cache
    NEAREST = 40 << 10                          # in the first-level cache
    PART_CHUNKS = 2                             # least of a part
    BUSY = 8                                    # sums, taken in turn, that keep the multipliers busy
    FEW = 24                                    # tiles whose products take no longer than to bring their sums from afar


cdef struct Work:
    const ck_kernels *k
    Axis h, w
    Py_ssize_t step[2]
    int form[2]
    int taps[2]
    Py_ssize_t places_w, points, slice_step, slice_first, source_depth, target_depth, images
    Py_ssize_t lines, columns, line_chunks, column_chunks     # of tiles in a chunk
    Py_ssize_t parts
    Py_ssize_t depth, outputs, words, panels, itemsize
    Py_ssize_t x_row, dy_row, x_step, dy_step                 # elements from one tile, one point to the next
    const char *x
    const char *dy
    Py_ssize_t x_stride[4]
    Py_ssize_t dy_stride[4]                     # bytes: n, d, h, w
    Py_ssize_t dw_stride[4]                     # bytes: outputs, d, h, w
    char *x_points
    char *dy_points
    bint flush


cdef struct Block:                              # sums (points, outputs, row): of some outputs and words of channels
    Py_ssize_t first, last, start, words, row, step           # row, step: elements
    char *sums


cdef inline const char *x_line(const Work *work, Py_ssize_t slice, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t plane = line // work.h.count
    return (work.x + plane // work.target_depth * work.x_stride[0]
            + (plane % work.target_depth + work.slice_first + slice * work.slice_step) * work.x_stride[1]
            + work.h.tile[line % work.h.count].source * work.x_stride[2])


cdef inline const char *dy_line(const Work *work, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t plane = line // work.h.count
    return (work.dy + plane // work.target_depth * work.dy_stride[0] + plane % work.target_depth * work.dy_stride[1]
            + work.h.tile[line % work.h.count].target * work.dy_stride[2])


cdef void transform(const Work *work, const Area *area, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t line) noexcept nogil:
    """The points of a line of tiles, of the input and of dy."""
    cdef ck_patch x, dy
    cdef void *x_points[KINDS * KINDS]
    cdef void *dy_points[KINDS * KINDS]
    cdef const Tile *th = &work.h.tile[line % work.h.count]
    cdef const Tile *tw
    cdef Py_ssize_t at = line // work.h.count % work.target_depth + work.slice_first + slice * work.slice_step, i
    cdef Py_ssize_t x_row = work.x_row * work.itemsize, dy_row = work.dy_row * work.itemsize
    cdef const char *x_pixels = x_line(work, slice, line) + group * work.depth * work.itemsize
    cdef const char *dy_pixels = dy_line(work, line) + group * work.outputs * work.itemsize
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    x.row, x.col = work.step[0] * work.x_stride[2] // work.itemsize, work.step[1] * work.x_stride[3] // work.itemsize
    dy.row, dy.col = work.step[0] * work.dy_stride[2] // work.itemsize, work.step[1] * work.dy_stride[3] // work.itemsize
    first_of_line(&work.h, &work.w, area, line, x_row, work.x_points, x_points)
    first_of_line(&work.h, &work.w, area, line, dy_row, work.dy_points, dy_points)
    for i in range(area.first, area.last):
        tw = &work.w.tile[i]
        x.origin, dy.origin = x_pixels + tw.source * work.x_stride[3], dy_pixels + tw.target * work.dy_stride[3]
        pixels_of(&x, th, tw, <size_t>at < <size_t>work.source_depth)
        dy.form[0], dy.form[1], dy.taps[0], dy.taps[1] = th.form, tw.form, th.count, tw.count
        dy.lo[0] = dy.lo[1] = 0
        dy.hi[0], dy.hi[1] = th.keep, tw.keep
        work.k.wino_input(&x, work.depth, x_points, work.x_step)
        work.k.wino_taps(&dy, work.outputs, dy_points, work.dy_step)
        next_tile(x_points, x_row)
        next_tile(dy_points, dy_row)
    ck_write_mode(mode)


cdef void multiply(const Work *work, const Area *area, Py_ssize_t point, const Block *b, bint resume, const char *soon,
                   Py_ssize_t share) noexcept nogil:
    """Makes, or adds to, the sums of a point over the tiles of an area: a panel of channels and some outputs at a time.

    `share` bytes at `soon` are fetched on the way.
    """
    cdef const void *x_points = work.x_points + point * work.x_step * work.itemsize
    cdef const void *dy_points = work.dy_points + point * work.dy_step * work.itemsize
    cdef ck_lines x, dy
    cdef Py_ssize_t count = tiles_used(&work.h, &work.w, area, point, work.places_w), vector = work.k.vector
    cdef Py_ssize_t panel = 0, vecs, height, output, rows, step
    cdef char *sums = b.sums + point * b.step * work.itemsize
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    x.lines, x.step, dy.lines, dy.step = &x_points, work.x_row, &dy_points, work.dy_row
    while panel < b.words:
        vecs = min(b.words - panel, <Py_ssize_t>work.k.vecs)
        height = work.k.lines_rows[vecs]
        x.first, output = (b.start + panel) * vector, b.first
        while output < b.last:
            rows = min(height, b.last - output)
            if 0 < (b.last - output - rows) * vecs < BUSY:
                rows = (b.last - output + 1) // 2
            dy.first, step = output, share * vecs * rows // max(<Py_ssize_t>1, b.words * (b.last - b.first) * count)
            work.k.tile_lines(<int>rows, vecs * vector, 1, count, &dy, &x, soon, step,
                              sums + ((output - b.first) * b.row + panel * vector) * work.itemsize, b.row,
                              resume)
            output += rows
            soon += step * count
        panel += vecs
    ck_write_mode(mode)


cdef bint fold(const Work *work, const Block *b, Py_ssize_t output, char *dw) noexcept nogil:
    """The sums of an output -> dw. Returns whether something is not finite."""
    cdef ck_fold how
    cdef const void *points[KINDS * KINDS]
    cdef Py_ssize_t start = b.start * work.k.vector
    cdef int odd = 0, i
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    how.bias, how.relu, how.adds, how.stream = NULL, 0, 0, 0
    how.row, how.col = work.dw_stride[2] // work.itemsize, work.dw_stride[3] // work.itemsize
    for i in range(2):
        how.form[i] = work.form[i]
        how.count[i] = how.keep[i] = work.taps[i]
    for i in range(KINDS * KINDS):
        points[i] = b.sums + (output - b.first) * b.row * work.itemsize
    work.k.wino_output(&how, points, b.step, min(work.depth - start, b.words * work.k.vector),
                       dw + output * work.dw_stride[0] + start * work.itemsize, &odd)
    ck_write_mode(mode)
    return odd


cdef Py_ssize_t outputs_near(const Work *work, Py_ssize_t words, int threads) noexcept nogil:
    """Outputs of a block whose sums are made at once."""
    cdef Py_ssize_t each = work.points * words * work.k.vector * work.itemsize, height = work.k.lines_rows[words]
    cdef Py_ssize_t tiles = work.lines * work.columns, rows
    if tiles <= FEW:
        return max(<Py_ssize_t>1, min(height, NEAREST // each))
    rows = max(<Py_ssize_t>1, NEAR // each // height) * height
    return min(rows, (work.outputs + threads - 1) // threads if work.panels < threads else work.outputs)


cdef Work work_of(const Py_ssize_t[:, ::1] across_h, const Py_ssize_t[:, ::1] across_w, places, chunk, images,
                  Py_ssize_t target_depth, Py_ssize_t depth, Py_ssize_t outputs, Py_ssize_t itemsize):
    cdef Work work
    cdef Py_ssize_t tiles
    work.k, work.itemsize, work.depth, work.outputs = table(itemsize), itemsize, depth, outputs
    work.h, work.w = axis_of(across_h), axis_of(across_w)
    work.places_w, work.points = places[1], places[0] * places[1]
    work.images, work.target_depth = images, target_depth
    work.lines, work.columns = chunk
    tiles = work.lines * work.columns
    work.line_chunks = (work.images * target_depth * work.h.count + work.lines - 1) // work.lines
    work.column_chunks = (work.w.count + work.columns - 1) // work.columns
    work.words = (depth + work.k.vector - 1) // work.k.vector
    work.panels = (work.words + work.k.vecs - 1) // work.k.vecs
    work.parts = 1
    if work.points * outputs * work.words * work.k.vector * itemsize <= NEAR:
        work.parts = parts_of(work.line_chunks * work.column_chunks // PART_CHUNKS)
    work.x_row, work.dy_row = odd_lines(depth, itemsize), odd_lines(outputs, itemsize)
    work.x_step, work.dy_step = odd_lines(tiles * work.x_row, itemsize), odd_lines(tiles * work.dy_row, itemsize)
    return work


cdef Block block_of(const Work *work, int threads):
    """The sums that are there at once: all of them if there are several chunks, else a block for each thread."""
    cdef Block b
    b.first, b.start, b.sums = 0, 0, NULL
    if work.line_chunks * work.column_chunks > 1:
        b.last, b.words = work.outputs, work.words
    else:
        b.words = (work.words + work.panels - 1) // work.panels
        b.last = outputs_near(work, b.words, threads)
    b.row = b.words * work.k.vector
    b.step = odd_lines(b.last * b.row, work.itemsize)
    return b


def scratch_size(across_h, across_w, places, chunk, Py_ssize_t images, Py_ssize_t target_depth, Py_ssize_t depth,
                 Py_ssize_t outputs, Py_ssize_t itemsize, int threads):
    """Elements of `grad`'s scratch."""
    cdef Work work = work_of(across_h, across_w, places, chunk, images, target_depth, depth, outputs, itemsize)
    cdef Block b = block_of(&work, threads)
    tiles, sums = 1, threads                    # how many of each
    if work.line_chunks * work.column_chunks > 1:
        tiles, sums = threads if work.parts > 1 else 1, work.parts
    return work.points * (tiles * (work.x_step + work.dy_step) + sums * b.step)


def grad(const Py_ssize_t[:, ::1] across_h, const Py_ssize_t[:, ::1] across_w, step, places, form, taps, depths, chunk,
         Py_ssize_t groups, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x, real[:, :, :, :, ::1] dw,
         real[::1] scratch, int threads):
    """dw (O, KD, KH, KW, C / groups) = the gradient of the filters. Returns whether some of it is not finite.

    depths: (dilation, first source, of source, of target) along d; chunk: lines and columns of tiles; `scratch` holds
    `scratch_size` elements; the rest as in plan/winograd.py.
    """
    cdef Work work = work_of(across_h, across_w, places, chunk, x.shape[0], depths[3], dw.shape[4], dw.shape[0] // groups,
                             sizeof(real))
    cdef Block b = block_of(&work, threads)
    cdef Py_ssize_t i, slice, group
    cdef char *target
    cdef bint kept = work.line_chunks * work.column_chunks > 1
    cdef int odd = 0, rooms = threads if work.parts > 1 else 1
    work.flush = flushes()
    work.slice_step, work.slice_first, work.source_depth = depths[:3]
    for i in range(2):
        work.form[i], work.taps[i], work.step[i] = form[i], taps[i], step[i]
    work.x, work.dy = <const char *>&x[0, 0, 0, 0, 0], <const char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.x_stride[i], work.dy_stride[i], work.dw_stride[i] = x.strides[i], dy.strides[i], dw.strides[i]
    work.x_points = <char *>&scratch[0]
    work.dy_points = work.x_points + work.points * work.x_step * work.itemsize
    b.sums = work.x_points + rooms * work.points * (work.x_step + work.dy_step) * work.itemsize
    cdef Watch w = watch()
    with nogil:
        for group in range(groups):
            for slice in range(dw.shape[1]):
                target = <char *>&dw[0, 0, 0, 0, 0] + group * work.outputs * dw.strides[0] + slice * dw.strides[1]
                if work.parts > 1:
                    odd |= apart(&work, &b, group, slice, target, &w, threads)
                elif kept:
                    odd |= chunks(&work, &b, group, slice, target, &w, threads)
                else:
                    odd |= at_once(&work, &b, group, slice, target, &w, threads)
    raise_if_stopped(&w)
    return odd != 0


cdef inline Area area_of(const Work *work, Py_ssize_t chunk) noexcept nogil:
    cdef Area area
    area.first_line = chunk // work.column_chunks * work.lines
    area.last_line = min(work.images * work.target_depth * work.h.count, area.first_line + work.lines)
    area.first = chunk % work.column_chunks * work.columns
    area.last = min(work.w.count, area.first + work.columns)
    return area


cdef int apart(const Work *work, const Block *b, Py_ssize_t group, Py_ssize_t slice, char *dw, Watch *w,
               int threads) noexcept nogil:
    """Parts of the chunks, each with sums of its own."""
    cdef Py_ssize_t t
    cdef int odd = 0
    for t in prange(work.parts, schedule="static", num_threads=threads):
        one_part(work, b, group, slice, t, w, threadid())
    for t in prange(work.outputs, schedule="static", num_threads=threads):
        join(work, b, t)
        odd += fold(work, b, t, dw)
    return odd


cdef void one_part(const Work *work, const Block *b, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t part, Watch *w,
                   int thread) noexcept nogil:
    cdef Work mine = work[0]
    cdef Block sums = b[0]
    cdef Area area, next
    cdef const char *soon
    cdef const char *end
    cdef Py_ssize_t half = (work.points + 1) // 2, share
    cdef Py_ssize_t all_chunks = work.line_chunks * work.column_chunks, first = all_chunks * part // work.parts
    cdef Py_ssize_t last = all_chunks * (part + 1) // work.parts, c, line, point
    mine.x_points += thread * work.points * (work.x_step + work.dy_step) * work.itemsize
    mine.dy_points = mine.x_points + work.points * work.x_step * work.itemsize
    sums.sums += part * work.points * b.step * work.itemsize
    for c in range(first, last):
        if stopped(w, thread, c - first):
            return
        area = area_of(work, c)
        for line in range(area.first_line, area.last_line):
            transform(&mine, &area, group, slice, line)
        next = area_of(work, c + 1)
        if c + 1 == last or work.column_chunks > 1:
            next.last_line = next.first_line    # nothing
        for point in range(work.points):
            if point < half:
                soon, end = x_line(work, slice, next.first_line), x_line(work, slice, next.last_line)
            else:
                soon, end = dy_line(work, next.first_line), dy_line(work, next.last_line)
            share = (end - soon) // half
            multiply(&mine, &area, point, &sums, c > first, soon + point % half * share, share)


cdef void join(const Work *work, const Block *b, Py_ssize_t output) noexcept nogil:
    """Adds the other parts' sums of an output to those of the first."""
    cdef Py_ssize_t part_step = work.points * b.step, point
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    cdef char *sums
    for point in range(work.points):
        sums = b.sums + (point * b.step + output * b.row) * work.itemsize
        work.k.sum_rows(work.parts - 1, b.row, sums + part_step * work.itemsize, part_step, sums)
    ck_write_mode(mode)


cdef int chunks(const Work *work, const Block *b, Py_ssize_t group, Py_ssize_t slice, char *dw, Watch *w,
                int threads) noexcept nogil:
    cdef Py_ssize_t t, c
    cdef Py_ssize_t pieces = max(<Py_ssize_t>1, work.outputs // work.k.lines_rows[work.k.vecs] // 4)  # of outputs
    cdef Area area
    cdef int odd = 0
    for c in range(work.line_chunks * work.column_chunks):
        area = area_of(work, c)
        for t in prange(area.first_line, area.last_line, schedule="static", num_threads=threads):
            transform(work, &area, group, slice, t)
        for t in prange(work.points * pieces, schedule="static", num_threads=threads):
            if not stopped(w, threadid(), t):
                add_piece(work, &area, b, t // pieces, work.outputs * (t % pieces) // pieces,
                          work.outputs * (t % pieces + 1) // pieces, c > 0)
    for t in prange(work.outputs, schedule="static", num_threads=threads):
        odd += fold(work, b, t, dw)
    return odd


cdef void add_piece(const Work *work, const Area *area, const Block *b, Py_ssize_t point, Py_ssize_t first,
                    Py_ssize_t last, bint resume) noexcept nogil:
    """Some outputs of a point."""
    cdef Block some = b[0]
    some.sums += first * b.row * work.itemsize
    some.first, some.last = first, last
    multiply(work, area, point, &some, resume, work.x_points, 0)


cdef int at_once(const Work *work, const Block *b, Py_ssize_t group, Py_ssize_t slice, char *dw, Watch *w,
                 int threads) noexcept nogil:
    cdef Py_ssize_t t, rows = b.last, pieces = (work.outputs + rows - 1) // rows
    cdef Area area
    cdef int odd = 0
    area.first_line, area.last_line, area.first, area.last = 0, work.images * work.target_depth * work.h.count, 0, work.w.count
    for t in prange(area.last_line, schedule="static", num_threads=threads):
        transform(work, &area, group, slice, t)
    for t in prange(work.panels * pieces, schedule="static", num_threads=threads):
        if not stopped(w, threadid(), t):
            odd += panel_block(work, &area, b, t // pieces, t % pieces * rows, dw, threadid())
    return odd


cdef bint panel_block(const Work *work, const Area *area, const Block *b, Py_ssize_t panel, Py_ssize_t first, char *dw,
                      int thread) noexcept nogil:
    """All sums of some outputs and a panel of channels."""
    cdef Block mine = b[0]
    cdef bint odd = False
    cdef Py_ssize_t point, output
    mine.sums += thread * work.points * b.step * work.itemsize
    mine.first, mine.last = first, min(work.outputs, first + b.last)
    mine.start = panel_start(work.words, work.panels, panel)
    mine.words = panel_start(work.words, work.panels, panel + 1) - mine.start
    for point in range(work.points):
        multiply(work, area, point, &mine, False, work.x_points, 0)
    for output in range(mine.first, mine.last):
        odd |= fold(work, &mine, output, dw)
    return odd
