# The gradient of the filters and of the bias, straight from x and dy.
#
# A unit is one register tile of dw: a few channels of one operand by a panel of the other's. In a panel lie the inputs of one
# tap or, turned, the outputs: then dw is summed the other way round. The threads share the units out and each walks over the
# pixels in chunks that stay in its cache; where dw is small they share parts of the chunks instead, with sums of their own.
# Chunks and parts depend on the shapes alone, so every sum has one order, whatever the number of threads.
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from convkit._core.border cimport ceil_div, clip, parts_of
from convkit._core.call cimport Dense, Fast, Places, lifted
from convkit._core.cpu cimport (CK_MAX_VECS, Watch, ck_flush_subnormals, ck_kernels, ck_lines, ck_mode, ck_write_mode,
                                flushes, raise_if_stopped, real, stopped, table, watch)

cdef enum:
    CHUNK = 112                                 # pixels of a chunk: a panel of them stays in L1
    PANEL = 64 * CK_MAX_VECS                    # most bytes of a pixel in a panel
    REREAD = 3                                  # tiles that read a panel, from which on it is copied for them
    ALIGNMENT = 64
    SIDE = 16                                   # outputs of dw that are turned back at a time
    PART_CHUNKS = 8                             # least of a part
    SMALL = 1 << 19                             # bytes of the sums of all parts
    FEW = 32                                    # pixels, of which all panels stay in a cache


cdef struct Window:                             # one axis of the convolution, a row of `windows`
    Py_ssize_t size, kernel, stride, dilation, lo, out


cdef struct Operand:
    const char *origin
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t channels, step                   # of a group; elements from one pixel that is read to the next


cdef struct Work:                               # what all units share
    const ck_kernels *k
    const Window *axes
    Operand x, dy
    char *sums
    bint turned, packs, across, adds, flush
    Py_ssize_t images, taps, itemsize
    Py_ssize_t line, tap                        # elements of `sums`: from a row of a tile to the next, from tap to tap
    Py_ssize_t panels, panel_vecs, wider_panels         # of dw along the operand in the vectors
    Py_ssize_t tiles, tile_rows, taller_tiles           # of dw along the other


cdef struct Place:                              # of a unit
    Py_ssize_t group, tap, panel, tile


cdef struct Runs:                               # of one tap in one chunk
    char room[CHUNK * PANEL + ALIGNMENT]
    char *panel                                 # one panel, packed, on a cache line
    const void *packed[CHUNK]
    const void *x[CHUNK]
    const void *dy[CHUNK]
    Py_ssize_t pixel[CHUNK]                     # of the chunk, where a run begins
    Py_ssize_t lines, pixels


cdef struct Chunk:                              # lines and columns of the output
    Py_ssize_t first_line, last_line, first_pixel, last_pixel
    bint first                                  # of all


cdef struct Ahead:                              # what the next chunk is the first to read, for units to fetch
    const char *x
    const char *dy
    Py_ssize_t x_bytes, bytes                   # of x, of both
    Py_ssize_t step                             # bytes that a unit fetches at each pixel


cdef void collect(Runs *runs, const Work *work, Py_ssize_t tap, const Chunk *c) noexcept nogil:
    """The runs of pixels of a chunk that `tap` reads inside the input."""
    cdef const Window *ah = &work.axes[1]
    cdef const Window *aw = &work.axes[2]
    cdef Py_ssize_t td = tap // (ah.kernel * aw.kernel), th = tap // aw.kernel % ah.kernel, tw = tap % aw.kernel
    cdef Py_ssize_t offset = tw * aw.dilation - aw.lo, line
    cdef const char *source
    cdef bint inside
    cdef Py_ssize_t start = clip(ceil_div(-offset, aw.stride), c.first_pixel, c.last_pixel)
    cdef Py_ssize_t stop = clip(ceil_div(aw.size - offset, aw.stride), start, c.last_pixel)
    runs.lines, runs.pixels = 0, stop - start
    for line in range(c.first_line, c.last_line if stop > start else c.first_line):
        source = input_line(work, line, td, th, &inside)
        if not inside:
            continue
        runs.x[runs.lines] = source + (start * aw.stride + offset) * work.x.stride[3]
        runs.dy[runs.lines] = output_line(work, line) + start * work.dy.stride[3]
        runs.pixel[runs.lines] = (line - c.first_line) * (c.last_pixel - c.first_pixel) + start - c.first_pixel
        runs.lines += 1


cdef inline const char *output_line(const Work *work, Py_ssize_t line) noexcept nogil:
    cdef Py_ssize_t nd = work.axes[0].out, nh = work.axes[1].out
    return (work.dy.origin + line // (nd * nh) * work.dy.stride[0] + line // nh % nd * work.dy.stride[1]
            + line % nh * work.dy.stride[2])


cdef inline const char *input_line(const Work *work, Py_ssize_t line, Py_ssize_t td, Py_ssize_t th,
                                   bint *inside) noexcept nogil:
    """The line of x that a line of the output reads for one line of taps."""
    cdef const Window *ad = &work.axes[0]
    cdef const Window *ah = &work.axes[1]
    cdef Py_ssize_t n = line // (ad.out * ah.out), d = line // ah.out % ad.out * ad.stride + td * ad.dilation - ad.lo
    cdef Py_ssize_t h = line % ah.out * ah.stride + th * ah.dilation - ah.lo
    inside[0] = <size_t>d < <size_t>ad.size and <size_t>h < <size_t>ah.size
    return work.x.origin + n * work.x.stride[0] + d * work.x.stride[1] + h * work.x.stride[2]


cdef inline Py_ssize_t split(Py_ssize_t i, Py_ssize_t each, Py_ssize_t more) noexcept nogil:
    """Where part i of a nearly even split begins: the first `more` parts are one longer than `each`."""
    return i * each + (i if i < more else more)


cdef void pack_inputs(Runs *runs, const Work *work, Py_ssize_t first, Py_ssize_t cols, Py_ssize_t vecs) noexcept nogil:
    """Copies a panel of the pixels of x that one tap reads."""
    cdef Py_ssize_t i, width = vecs * work.k.vector * work.itemsize
    for i in range(runs.lines):
        runs.packed[i] = runs.panel + i * runs.pixels * width
        work.k.pack_panel(runs.pixels, cols, vecs, <const char *>runs.x[i] + first * work.itemsize, work.x.step, 1,
                          <void *>runs.packed[i])


cdef void pack_outputs(Runs *runs, const Work *work, const Chunk *c, Py_ssize_t first, Py_ssize_t cols,
                       Py_ssize_t vecs) noexcept nogil:
    """Copies a panel of all pixels of dy in a chunk, for all taps."""
    cdef Py_ssize_t line, pixels = c.last_pixel - c.first_pixel, width = vecs * work.k.vector * work.itemsize
    for line in range(c.first_line, c.last_line):
        work.k.pack_panel(pixels, cols, vecs,
                          output_line(work, line) + c.first_pixel * work.dy.stride[3] + first * work.itemsize, work.dy.step, 1,
                          runs.panel + (line - c.first_line) * pixels * width)


cdef Ahead ahead_of(const Work *work, Py_ssize_t line, Py_ssize_t pixel, Py_ssize_t lines, Py_ssize_t pixels,
                    Py_ssize_t units) noexcept nogil:
    """Of a chunk of `pixels` columns. Only hints: right inside of an image."""
    cdef const Window *ah = &work.axes[1]
    cdef const Window *aw = &work.axes[2]
    cdef bint inside
    cdef Ahead a
    a.x = input_line(work, line, work.axes[0].kernel - 1, ah.kernel - 1, &inside) + pixel * aw.stride * work.x.stride[3]
    a.dy = output_line(work, line) + pixel * work.dy.stride[3]
    if lines == 1:
        a.x_bytes, a.bytes = pixels * aw.stride * work.x.stride[3], pixels * work.dy.stride[3]
    else:
        a.x_bytes, a.bytes = lines * ah.stride * work.x.stride[2], lines * work.dy.stride[2]
    a.bytes += a.x_bytes
    a.step = a.bytes // (units * lines * pixels) + 1
    return a


cdef void unit(const Work *work, Runs *runs, const Chunk *c, const Place *u, const char *next, Py_ssize_t next_step,
               bint new_panel, bint new_tap) noexcept nogil:
    """Adds a chunk to one tile of dw."""
    cdef const Operand *a = &work.x if work.turned else &work.dy
    cdef const Operand *b = &work.dy if work.turned else &work.x
    cdef Py_ssize_t vector = work.k.vector, i
    cdef Py_ssize_t start = split(u.panel, work.panel_vecs, work.wider_panels)
    cdef Py_ssize_t vecs = split(u.panel + 1, work.panel_vecs, work.wider_panels) - start
    cdef Py_ssize_t cols = min(b.channels, (start + vecs) * vector) - start * vector
    cdef Py_ssize_t first = split(u.tile, work.tile_rows, work.taller_tiles)
    cdef Py_ssize_t rows = split(u.tile + 1, work.tile_rows, work.taller_tiles) - first
    cdef Py_ssize_t row = u.group * a.channels + first
    cdef bint fresh = c.first and not work.adds
    cdef ck_lines left, right
    cdef char *sums
    left.first, right.first = row, u.group * b.channels + start * vector
    left.step, left.lines, right.step, right.lines = a.step, runs.dy, b.step, runs.x
    sums = work.sums + (row * work.line + u.tap * work.tap + start * vector) * work.itemsize
    if work.turned:
        left.lines, right.lines = runs.x, runs.dy
        sums = work.sums + ((u.group * work.taps * a.channels + u.tap * work.tap + first) * work.line
                            + start * vector) * work.itemsize
    if work.packs and new_panel and work.turned:
        pack_outputs(runs, work, c, right.first, cols, vecs)
    if not runs.lines:
        for i in range(rows if fresh else 0):
            memset(sums + i * work.line * work.itemsize, 0, cols * work.itemsize)
        return
    if work.packs:
        if work.turned and (new_panel or new_tap):
            for i in range(runs.lines):
                runs.packed[i] = runs.panel + runs.pixel[i] * vecs * vector * work.itemsize
        elif new_panel:
            pack_inputs(runs, work, right.first, cols, vecs)
        right.first, right.step, right.lines = 0, vecs * vector, runs.packed
    work.k.tile_lines(<int>rows, cols, runs.lines, runs.pixels, &left, &right, next, next_step, sums, work.line, not fresh)


cdef inline Place place_of(const Work *work, Py_ssize_t number) noexcept nogil:
    """Panels within taps or, turned, taps within panels: what is packed serves the units that follow each other.

    Of few pixels and one tap all panels of a tile follow each other: dw is then written line by line, most of the work.
    """
    cdef Place u
    if work.across:
        u.tap, u.panel, number = 0, number % work.panels, number // work.panels
        u.tile, u.group = number % work.tiles, number // work.tiles
        return u
    u.tile, number = number % work.tiles, number // work.tiles
    if work.turned:
        u.tap, number = number % work.taps, number // work.taps
        u.panel, u.group = number % work.panels, number // work.panels
    else:
        u.panel, number = number % work.panels, number // work.panels
        u.tap, u.group = number % work.taps, number // work.taps
    return u


cdef Py_ssize_t chunks_of(const Window *axes, Py_ssize_t images) noexcept nogil:
    cdef Py_ssize_t out = axes[2].out, all_lines = images * axes[0].out * axes[1].out
    return ceil_div(all_lines, max(<Py_ssize_t>1, CHUNK // out)) * ceil_div(out, min(out, <Py_ssize_t>CHUNK))


cdef void share(const Work *work, Watch *w, int thread, Py_ssize_t part, Py_ssize_t parts, Py_ssize_t first_unit,
                Py_ssize_t last_unit) noexcept nogil:
    """A part of the chunks, for a range of units."""
    cdef Runs runs
    cdef Py_ssize_t out = work.axes[2].out, all_lines = work.images * work.axes[0].out * work.axes[1].out
    cdef Py_ssize_t lines = max(<Py_ssize_t>1, CHUNK // out), pixels = min(out, <Py_ssize_t>CHUNK)
    cdef Py_ssize_t columns = ceil_div(out, pixels), chunks = chunks_of(work.axes, work.images), chunk, number
    cdef Py_ssize_t first_chunk = chunks * part // parts, last_chunk = chunks * (part + 1) // parts
    cdef Py_ssize_t units = last_unit - first_unit, at
    cdef const char *next
    cdef Ahead ahead
    cdef Place u = place_of(work, first_unit), before = u
    cdef Chunk c
    cdef bint new_panel, new_tap
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    runs.panel = runs.room + (-<size_t>runs.room) % ALIGNMENT
    for chunk in range(first_chunk, last_chunk):
        if stopped(w, thread, chunk - first_chunk):
            break
        c.first = chunk == first_chunk
        c.first_line, c.first_pixel = chunk // columns * lines, chunk % columns * pixels
        c.last_line, c.last_pixel = min(all_lines, c.first_line + lines), min(out, c.first_pixel + pixels)
        ahead.bytes = ahead.x_bytes = ahead.step = 0
        ahead.x = ahead.dy = runs.panel
        if chunk + 1 < last_chunk:
            ahead = ahead_of(work, (chunk + 1) // columns * lines, (chunk + 1) % columns * pixels, lines, pixels, units)
        for number in range(first_unit, last_unit):
            new_panel = new_tap = number == first_unit
            if work.across and not new_tap and u.panel < work.panels - 1:
                u.panel += 1
            elif new_tap or work.across or u.tile == work.tiles - 1:
                before, u = u, place_of(work, number)
                new_tap = new_tap or u.tap != before.tap
                new_panel = new_panel or u.panel != before.panel or u.group != before.group or not work.turned
                if new_tap:
                    collect(&runs, work, u.tap, &c)
            else:
                u.tile += 1
            at = ahead.bytes * (number - first_unit) // units
            next = ahead.x + at if at < ahead.x_bytes else ahead.dy + (at - ahead.x_bytes)
            unit(work, &runs, &c, &u, next, ahead.step, new_panel, new_tap)
    ck_write_mode(mode)


cdef void one_part(const Work *work, Watch *w, int thread, Py_ssize_t part, Py_ssize_t parts, Py_ssize_t size, char *others,
                   Py_ssize_t units) noexcept nogil:
    """A part of the chunks, with sums of its own; those of the first part are dw's."""
    cdef Work mine = work[0]
    if part:
        mine.sums, mine.adds = others + (part - 1) * size * work.itemsize, False
    share(&mine, w, thread, part, parts, 0, units)


def parts(const Py_ssize_t[:, ::1] windows, Py_ssize_t images, Py_ssize_t bytes):
    """How many parts of the chunks have sums of their own, of so many bytes."""
    return parts_of(min(chunks_of(<const Window *>&windows[0, 0], images) // PART_CHUNKS, SMALL // max(bytes, <Py_ssize_t>1)))


cdef Py_ssize_t set_out(Work *work, const Py_ssize_t[:, ::1] windows, Py_ssize_t groups, Py_ssize_t outputs, Py_ssize_t taps,
                        Py_ssize_t depth, Py_ssize_t images, Py_ssize_t itemsize, bint turned) except -1:
    """All but addresses and strides, of dw (outputs, taps, depth); returns the units."""
    cdef Py_ssize_t vecs, height
    cdef Operand *a = &work.x if turned else &work.dy
    cdef Operand *b = &work.dy if turned else &work.x
    work.k, work.flush, work.turned = table(itemsize), flushes(), turned
    work.axes = <const Window *>&windows[0, 0]
    work.images, work.itemsize, work.taps = images, itemsize, taps
    work.x.channels, work.dy.channels = depth, outputs // groups
    work.line, work.tap = work.dy.channels if turned else taps * depth, depth
    vecs = (b.channels + work.k.vector - 1) // work.k.vector
    work.panels = (vecs + work.k.vecs - 1) // work.k.vecs
    work.panel_vecs, work.wider_panels = vecs // work.panels, vecs % work.panels
    height = work.k.lines_rows[(vecs + work.panels - 1) // work.panels]
    work.tiles = (a.channels + height - 1) // height
    work.tile_rows, work.taller_tiles = a.channels // work.tiles, a.channels % work.tiles
    work.across = (work.taps == 1 and not work.turned
                   and work.images * work.axes[0].out * work.axes[1].out * work.axes[2].out <= FEW)
    work.packs = work.tiles * (work.taps if work.turned else 1) >= REREAD and not work.across
    return groups * work.taps * work.panels * work.tiles


cdef void step(Work *work) noexcept:
    work.dy.step, work.x.step = work.dy.stride[3] // work.itemsize, work.x.stride[3] // work.itemsize * work.axes[2].stride


def grad(const Py_ssize_t[:, ::1] windows, Py_ssize_t groups, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x,
         real[:, :, ::1] dw, real[:, ::1] turned, real[:, ::1] others, bint adds, int threads):
    """dw (O, taps, C / groups) = the gradient of the filters, or += with `adds`.

    Where `turned` (taps * C, O / groups) is given, the sums are made there; `others` (parts - 1, size of dw) is for those of
    all `parts` but the first.
    """
    cdef Work work
    cdef Py_ssize_t i, t, units, count = others.shape[0] + 1, size = others.shape[1]
    cdef ck_mode mode
    work.adds = adds
    units = set_out(&work, windows, groups, dw.shape[0], dw.shape[1], dw.shape[2], x.shape[0], sizeof(real), turned is not None)
    work.x.origin, work.dy.origin = <const char *>&x[0, 0, 0, 0, 0], <const char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.x.stride[i], work.dy.stride[i] = x.strides[i], dy.strides[i]
    step(&work)
    work.sums = <char *>&turned[0, 0] if work.turned else <char *>&dw[0, 0, 0]
    threads = <int>min(<Py_ssize_t>threads, units if count == 1 else count)
    cdef Watch w = watch()
    if count == 1:
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            share(&work, &w, threadid(), 0, 1, units * t // threads, units * (t + 1) // threads)
    else:
        for t in prange(count, nogil=True, schedule="static", num_threads=threads):
            one_part(&work, &w, threadid(), t, count, size, <char *>&others[0, 0], units)
        mode = ck_flush_subnormals(work.flush)
        work.k.sum_rows(count - 1, size, &others[0, 0], size, work.sums)
        ck_write_mode(mode)
    raise_if_stopped(&w)
    if work.turned:
        turn_back(turned, dw, groups, threads)


def turn(const real[:, ::1] turned, real[:, :, ::1] dw, Py_ssize_t groups, int threads):
    """As `turn_back`, for sums that were made elsewhere."""
    turn_back(turned, dw, groups, threads)


cdef int turn_back(const real[:, ::1] turned, real[:, :, ::1] dw, Py_ssize_t groups, int threads) except -1:
    """turned (groups * taps * C, O) -> dw (groups * O, taps, C)."""
    cdef const ck_kernels *k = table(sizeof(real))
    cdef Py_ssize_t outputs = turned.shape[1], pieces = ceil_div(outputs, SIDE), lines = dw.shape[1] * dw.shape[2], t, g, o
    for t in prange(groups * pieces, nogil=True, schedule="static", num_threads=threads):
        g, o = t // pieces, t % pieces * SIDE
        k.transpose(min(outputs - o, <Py_ssize_t>SIDE), lines, &turned[g * lines, o], 1, outputs, &dw[g * outputs + o, 0, 0])
    return 0


include "bias.pxi"
include "filters_bound.pxi"
