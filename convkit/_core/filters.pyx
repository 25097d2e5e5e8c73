# The gradient of the filters and of the bias, straight from x and dy.
#
# A unit is one register tile of dw: a few outputs by one panel of the inputs of one tap. The threads share the units out
# and each walks over the pixels in chunks that stay in its cache, so every sum has one order, whatever their number.
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy

from convkit._core.border cimport ceil_div, clip
from convkit._core.cpu cimport (CK_MAX_VECS, Watch, ck_flush_subnormals, ck_kernels, ck_lines, ck_mode, ck_write_mode,
                                flushes, raise_if_stopped, real, stopped, table, watch)

cdef enum:
    CHUNK = 112                                 # pixels of a chunk: a panel of them stays in L1
    PANEL = 64 * CK_MAX_VECS                    # most bytes of a pixel in a panel
    PACKED = 512                                # bytes from pixel to pixel: from here on a panel shares few sets of L1


cdef struct Window:                             # one axis of the convolution, a row of `windows`
    Py_ssize_t size, kernel, stride, dilation, lo, out


cdef struct Operand:
    const char *origin
    Py_ssize_t stride[4]                        # bytes: n, d, h, w


cdef struct Work:                               # what all units share
    const ck_kernels *k
    const Window *axes
    Operand x, dy
    char *dw
    bint packs, flush
    Py_ssize_t images, taps, depth, outputs, itemsize, x_step, dy_step
    Py_ssize_t panels, panel_vecs, wider_panels         # of dw along the inputs
    Py_ssize_t tiles, tile_rows, taller_tiles           # of dw along the outputs


cdef struct Place:                              # of a unit
    Py_ssize_t group, tap, panel, tile


cdef struct Runs:                               # of one tap in one chunk
    char panel[CHUNK * PANEL]                   # the runs of x in one panel, packed
    const void *packed[CHUNK]
    const void *x[CHUNK]
    const void *dy[CHUNK]
    Py_ssize_t lines, pixels


cdef void collect(Runs *runs, const Work *work, Py_ssize_t tap, Py_ssize_t first_line, Py_ssize_t last_line,
                  Py_ssize_t first_pixel, Py_ssize_t last_pixel) noexcept nogil:
    """The runs of pixels of a chunk that `tap` reads inside the input."""
    cdef const Window *ad = &work.axes[0]
    cdef const Window *ah = &work.axes[1]
    cdef const Window *aw = &work.axes[2]
    cdef Py_ssize_t td = tap // (ah.kernel * aw.kernel), th = tap // aw.kernel % ah.kernel, tw = tap % aw.kernel
    cdef Py_ssize_t offset = tw * aw.dilation - aw.lo, line, n, d, h
    cdef Py_ssize_t start = clip(ceil_div(-offset, aw.stride), first_pixel, last_pixel)
    cdef Py_ssize_t stop = clip(ceil_div(aw.size - offset, aw.stride), start, last_pixel)
    cdef const char *x
    cdef const char *dy
    runs.lines, runs.pixels = 0, stop - start
    for line in range(first_line, last_line):
        n = line // (ad.out * ah.out)
        d = line // ah.out % ad.out * ad.stride + td * ad.dilation - ad.lo
        h = line % ah.out * ah.stride + th * ah.dilation - ah.lo
        if <size_t>d >= <size_t>ad.size or <size_t>h >= <size_t>ah.size:
            continue
        x = work.x.origin + (n * work.x.stride[0] + d * work.x.stride[1] + h * work.x.stride[2])
        dy = (work.dy.origin + n * work.dy.stride[0] + line // ah.out % ad.out * work.dy.stride[1]
              + line % ah.out * work.dy.stride[2])
        if stop > start:
            runs.x[runs.lines] = x + (start * aw.stride + offset) * work.x.stride[3]
            runs.dy[runs.lines] = dy + start * work.dy.stride[3]
            runs.lines += 1


cdef inline Py_ssize_t split(Py_ssize_t i, Py_ssize_t each, Py_ssize_t more) noexcept nogil:
    """Where part i of a nearly even split begins: the first `more` parts are one longer than `each`."""
    return i * each + (i if i < more else more)


cdef inline void pack(Runs *runs, const Work *work, Py_ssize_t first, Py_ssize_t cols) noexcept nogil:
    """Copies a panel of x for the tiles that are going to read it over and over."""
    cdef Py_ssize_t i, p, bytes = cols * work.itemsize, step = work.x_step * work.itemsize
    cdef const char *line
    cdef char *to = runs.panel
    for i in range(runs.lines):
        line, runs.packed[i] = <const char *>runs.x[i] + first * work.itemsize, to
        for p in range(runs.pixels):
            memcpy(to, line + p * step, bytes)
            to += bytes


cdef inline void unit(const Work *work, Runs *runs, const Place *u, bint new) noexcept nogil:
    """Adds a chunk to one tile of dw."""
    cdef Py_ssize_t start = split(u.panel, work.panel_vecs, work.wider_panels) * work.k.vector
    cdef Py_ssize_t stop = split(u.panel + 1, work.panel_vecs, work.wider_panels) * work.k.vector
    cdef Py_ssize_t cols = min(work.depth, stop) - start
    cdef Py_ssize_t first = split(u.tile, work.tile_rows, work.taller_tiles)
    cdef Py_ssize_t rows = split(u.tile + 1, work.tile_rows, work.taller_tiles) - first
    cdef Py_ssize_t output = u.group * work.outputs + first, line = work.taps * work.depth
    cdef ck_lines x, dy
    cdef void *dw = work.dw + (output * line + u.tap * work.depth + start) * work.itemsize
    dy.first, x.first = output, u.group * work.depth + start
    dy.step, dy.lines, x.step, x.lines = work.dy_step, runs.dy, work.x_step, runs.x
    if runs.lines:
        if work.packs:
            if new:
                pack(runs, work, x.first, cols)
            x.first, x.step, x.lines = 0, cols, runs.packed
        work.k.tile_lines(<int>rows, cols, runs.lines, runs.pixels, &dy, &x, dw, line, True)


cdef inline void advance(Place *u, const Work *work) noexcept nogil:
    u.tile += 1
    if u.tile == work.tiles:
        u.tile, u.panel = 0, u.panel + 1
        if u.panel == work.panels:
            u.panel, u.tap = 0, u.tap + 1
            if u.tap == work.taps:
                u.tap, u.group = 0, u.group + 1


cdef void share(const Work *work, Watch *w, int thread, Py_ssize_t first_unit, Py_ssize_t last_unit) noexcept nogil:
    """All pixels, for a range of units."""
    cdef Runs runs
    cdef Py_ssize_t out = work.axes[2].out, all_lines = work.images * work.axes[0].out * work.axes[1].out
    cdef Py_ssize_t lines = max(<Py_ssize_t>1, CHUNK // out), pixels = min(out, <Py_ssize_t>CHUNK)
    cdef Py_ssize_t columns = ceil_div(out, pixels), chunk, line, pixel, u, built
    cdef Place start, place
    cdef ck_mode mode
    start.tile, start.panel = first_unit % work.tiles, first_unit // work.tiles % work.panels
    start.tap = first_unit // (work.tiles * work.panels) % work.taps
    start.group = first_unit // (work.tiles * work.panels * work.taps)
    mode = ck_flush_subnormals(work.flush)
    for chunk in range(ceil_div(all_lines, lines) * columns):
        if stopped(w, thread, chunk):
            break
        line, pixel, built, place = chunk // columns * lines, chunk % columns * pixels, -1, start
        for u in range(first_unit, last_unit):
            if place.tap != built:
                built = place.tap
                collect(&runs, work, built, line, min(all_lines, line + lines), pixel, min(out, pixel + pixels))
            unit(work, &runs, &place, u == first_unit or place.tile == 0)
            advance(&place, work)
    ck_write_mode(mode)


def grad(const Py_ssize_t[:, ::1] windows, Py_ssize_t groups, const real[:, :, :, :, :] dy, const real[:, :, :, :, :] x,
         real[:, :, ::1] dw, int threads):
    """dw (O, taps, C / groups) += the gradient of the filters."""
    cdef Work work
    cdef Py_ssize_t i, t, units, vecs, height
    work.k, work.flush = table(sizeof(real)), flushes()
    work.axes = <const Window *>&windows[0, 0]
    work.images, work.itemsize = x.shape[0], sizeof(real)
    work.depth, work.outputs, work.taps = dw.shape[2], dw.shape[0] // groups, dw.shape[1]
    work.x.origin, work.dy.origin = <const char *>&x[0, 0, 0, 0, 0], <const char *>&dy[0, 0, 0, 0, 0]
    for i in range(4):
        work.x.stride[i], work.dy.stride[i] = x.strides[i], dy.strides[i]
    work.dw = <char *>&dw[0, 0, 0]
    work.dy_step, work.x_step = dy.strides[3] // work.itemsize, x.strides[3] // work.itemsize * work.axes[2].stride
    vecs = (work.depth + work.k.vector - 1) // work.k.vector
    work.panels = (vecs + work.k.vecs - 1) // work.k.vecs
    work.panel_vecs, work.wider_panels = vecs // work.panels, vecs % work.panels
    height = work.k.rows[(vecs + work.panels - 1) // work.panels]
    work.tiles = (work.outputs + height - 1) // height
    work.tile_rows, work.taller_tiles = work.outputs // work.tiles, work.outputs % work.tiles
    work.packs = work.x_step * work.itemsize >= PACKED
    units = groups * work.taps * work.panels * work.tiles
    threads = <int>min(<Py_ssize_t>threads, units)
    cdef Watch w = watch()
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        share(&work, &w, threadid(), units * t // threads, units * (t + 1) // threads)
    raise_if_stopped(&w)


# The gradient of the bias: chunks of fixed size, summed on their own, then one after the other.
cdef enum:
    BIAS_CHUNK = 1024                           # pixels


def bias_chunks(Py_ssize_t lines, Py_ssize_t out):
    """Rows of `partial` in `sum_bias`."""
    return ceil_div(lines, max(<Py_ssize_t>1, BIAS_CHUNK // out)) * ceil_div(out, BIAS_CHUNK)


def sum_bias(const real[:, :, :, :, :] dy, real[:, ::1] partial, real[::1] db, int threads):
    """db (O,) += the sum of dy over all but the channels; `partial` (bias_chunks, O) is zero."""
    cdef const ck_kernels *k = table(sizeof(real))
    cdef Py_ssize_t out = dy.shape[3], nd = dy.shape[1], nh = dy.shape[2], all_lines = dy.shape[0] * nd * nh
    cdef Py_ssize_t lines = max(<Py_ssize_t>1, BIAS_CHUNK // out), columns = ceil_div(out, BIAS_CHUNK)
    cdef Py_ssize_t t, line, pixel
    cdef bint flush = flushes()
    cdef ck_mode mode
    for t in prange(partial.shape[0], nogil=True, schedule="static", num_threads=threads):
        mode = ck_flush_subnormals(flush)
        pixel = t % columns * BIAS_CHUNK
        for line in range(t // columns * lines, min(all_lines, (t // columns + 1) * lines)):
            k.sum_rows(min(out - pixel, <Py_ssize_t>BIAS_CHUNK), dy.shape[4],
                       &dy[line // (nd * nh), line // nh % nd, line % nh, pixel, 0], dy.strides[3] // sizeof(real),
                       &partial[t, 0])
        ck_write_mode(mode)
    mode = ck_flush_subnormals(flush)
    k.sum_rows(partial.shape[0], partial.shape[1], &partial[0, 0], partial.shape[1], &db[0])
    ck_write_mode(mode)
