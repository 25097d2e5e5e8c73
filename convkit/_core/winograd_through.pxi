# Part of winograd.pyx: passes that bring filters to the points on the way.
cdef void through(const Work *work, const Area *area, const Filters *f, Py_ssize_t group, Py_ssize_t panel, char *v,
                  char *scratch) noexcept nogil:
    """A task of `pass_through`: all tiles and a panel."""
    cdef Py_ssize_t start = panel_start(work.words, work.panels, panel)
    cdef Py_ssize_t vecs = panel_start(work.words, work.panels, panel + 1) - start, width = vecs * work.k.vector
    cdef Py_ssize_t channel = start * work.k.vector, cols = min(work.cols - channel, width)
    cdef Py_ssize_t step = odd_lines(work.chunk * width, work.itemsize), line, point, s, c, depth
    cdef char *u = scratch + work.points * work.m_step * work.itemsize
    cdef char *aside = u + work.points * step * work.itemsize
    cdef Soon nothing = Soon(NULL, 0)
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    if work.once:
        multiply_once(work, area, f, group, start, v + work.slices * work.points * work.v_step * work.itemsize, u, scratch)
    for s in range(0 if work.once else work.slices):
        for c in range(work.chunks):
            depth = min(work.depth - c * work.chunk, work.chunk)
            at_points(f, group, s, c * work.chunk, depth, channel, cols, <int>vecs, u, step, aside)
            for point in range(work.points):
                multiply(work, area, point, 1, depth, <int>vecs, chunk_at(work, v, s, c), u + point * step * work.itemsize,
                         nothing, s + c > 0, scratch)
    for point in range(work.points if work.few else 0):
        scale(work, area, point, vecs, scratch)
    for line in range(area.last_line):
        fold(work, area, group, line, channel, cols, scratch)
    fence(work.stream)
    ck_write_mode(mode)


cdef void multiply_once(const Work *work, const Area *area, const Filters *f, Py_ssize_t group, Py_ssize_t word, const char *v,
                        char *aside, char *m) noexcept nogil:
    """All points of few tiles, times a word of filters that are never written at their points."""
    cdef Py_ssize_t used[6]
    cdef Py_ssize_t s, i, k, tiles = tiles_of(area)
    cdef const char *taps
    for i in range(6):
        used[i] = lines_used(&work.h, area, area.last_line, kind_along(i)) * (area.last - area.first)
    for s in range(work.slices):
        for i in range((work.depth + CK_FEW - 1) // CK_FEW):
            k = i * CK_FEW
            taps = block_of(f, group, word, s, k, aside)
            work.k.wino_few(min(work.depth - k, <Py_ssize_t>CK_FEW), tiles, used, taps,
                            v + (s * work.depth + k) * work.points * tiles * work.itemsize, m, work.m_step, s + k > 0,
                            taps + (BLOCK * work.k.vector * work.itemsize if f.packed != NULL else 0))


cdef void turn(const Work *work, const Area *area, Py_ssize_t number, char *v) noexcept nogil:
    """Some channels of all tiles: (points, tiles, channels) -> (channels, points, tiles), as wino_few reads them."""
    cdef Py_ssize_t pieces = (work.depth + CK_FEW - 1) // CK_FEW, s = number // pieces, first = number % pieces * CK_FEW
    cdef Py_ssize_t each = work.points * tiles_of(area), to = work.slices * work.points * work.v_step
    work.k.transpose(min(work.depth - first, <Py_ssize_t>CK_FEW), each, chunk_at(work, v, s, 0) + first * work.itemsize, 1,
                     work.v_row, v + (to + (s * work.depth + first) * each) * work.itemsize)


cdef void points_of_line(const Work *work, const Area *area, Py_ssize_t group, Py_ssize_t line, char *v) noexcept nogil:
    cdef ck_mode mode = ck_flush_subnormals(work.flush)
    transform(work, area, group, line, v)
    ck_write_mode(mode)


cdef int pass_through(const Work *work, const Filters *f, int threads, char *scratch, Py_ssize_t shared,
                      Py_ssize_t each) except -1:
    """`shared` and `each` are bytes of the scratch."""
    cdef Area area
    cdef Py_ssize_t group, t
    cdef Py_ssize_t turns = work.slices * ((work.depth + CK_FEW - 1) // CK_FEW) if work.once else 0
    cdef char *rest = scratch + shared
    cdef Watch w = watch()
    area.first_line, area.last_line, area.first, area.last = 0, work.images * work.target_depth * work.h.count, 0, work.w.count
    with nogil:
        for group in range(work.groups):
            for t in prange(area.last_line, schedule="static", num_threads=threads):
                points_of_line(work, &area, group, t, scratch)
            for t in prange(turns, schedule="static", num_threads=threads):
                turn(work, &area, t, scratch)
            for t in prange(work.panels, schedule="static", num_threads=threads):
                if not stopped(&w, threadid(), t):
                    through(work, &area, f, group, t, scratch, rest + each * threadid())
    return raise_if_stopped(&w)


def run_through(Layout layout, form, taps, bint from_outputs, const real[:, :, :, :, :] source,
                const real[:, :, :, :, :] filters, const real[::1] packed, const real[::1] bias, real[:, :, :, :, :] target,
                real[::1] scratch, unsigned char[::1] odd, bint relu, int threads,
                const real[:, :, :, :, :] residual=None):
    """As `run`, past filters that are brought to the points on the way: w, for winograd_pack's `filters_of`, and what `pack`
    has made of them for a layout that needs them `once`, or None."""
    cdef Work work
    cdef Filters f = filters_of(form, taps, from_outputs, filters, layout.work.groups, layout.few)
    cdef Py_ssize_t shared, each
    cdef bint gathered = packed is not None or f.col_step != 1          # else their rows are read faster than blocks
    work = layout.through(threads, gathered)
    shared, each = layout.scratch(taps, gathered, threads)
    if packed is not None:
        f.packed = <const char *>&packed[0]
    place(&work, source, bias, target, odd, relu, residual)
    pass_through(&work, &f, threads, <char *>&scratch[0], shared * sizeof(real), each * sizeof(real))
