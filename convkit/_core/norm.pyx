# Normalisation by columns (see csrc/kernels/columns.h): one walk over chunks of contiguous arrays.
#
# An array is (batches, rows, cols), and what a batch has no whole row of follows as its `rest`, a part of a row. A task is a
# chunk of rows for a panel of columns of one batch; chunks follow from the shape alone, so bits do not depend on threads.
from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from convkit._core.cpu cimport (Watch, ck_columns, ck_flush_subnormals, ck_kernels, ck_mode, ck_write_mode, flushes,
                                raise_if_stopped, real, stopped, table, watch)
from convkit._core.view cimport View, drop, lift

cdef enum:
    PANEL = 1024                                # columns of a task
    CHUNK = 1 << 15                             # elements of a task
    STREAM = 8 << 20                            # bytes of a result that is written past the caches

cpdef enum:                                     # what a walk does, and what its arrays are
    MOMENTS                                     # x -> sums
    APPLY                                       # x, residual -> y
    SUMS                                        # dy, x, y -> sums
    GRAD                                        # dy, x, y -> dx, dresidual

cdef struct Walk:
    const ck_kernels *k
    int op, relu
    bint flush, stream
    Py_ssize_t itemsize, length, rows, cols, rest, chunk, chunks, panel, panels
    const char *x
    const char *dy
    const char *other                           # residual or y
    char *target
    char *also                                  # dresidual
    const char *lines                           # of coefficients: (batches, 6, cols)
    char *sums                                  # (batches, chunks and the rest, figures, cols)
    Py_ssize_t figures


cpdef Py_ssize_t chunks(Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """How many chunks the rows of a batch make."""
    return (rows - 1) // chunk_rows(cols) + 1 if rows else 0


cdef inline Py_ssize_t chunk_rows(Py_ssize_t cols) noexcept nogil:
    return max(CHUNK // min(cols, PANEL), 1)


cdef inline const char *plus(const char *base, Py_ssize_t at) noexcept nogil:
    return base + at if base != NULL else NULL


cdef void walk_task(const Walk *w, Py_ssize_t task) noexcept nogil:
    cdef Py_ssize_t panel = task % w.panels, each = w.chunks + (w.rest > 0), chunk = task // w.panels % each
    cdef Py_ssize_t batch = task // (w.panels * each), first = panel * w.panel
    cdef bint whole = chunk < w.chunks
    cdef Py_ssize_t rows = min(w.chunk, w.rows - chunk * w.chunk) if whole else 1
    cdef Py_ssize_t cols = min(w.panel, (w.cols if whole else w.rest) - first)
    cdef Py_ssize_t at = (batch * w.length + (chunk * w.chunk if whole else w.rows) * w.cols + first) * w.itemsize
    cdef const char *line = w.lines + (batch * 6 * w.cols + first) * w.itemsize
    cdef char *sums = w.sums + ((batch * each + chunk) * w.figures * w.cols + first) * w.itemsize
    cdef Py_ssize_t step = w.cols * w.itemsize
    cdef ck_columns g
    cdef ck_mode mode
    if cols <= 0:
        return
    mode = ck_flush_subnormals(w.flush)
    g.center, g.scale, g.shift = line, line + step, line + 2 * step
    g.a, g.b, g.d = line + 3 * step, line + 4 * step, line + 5 * step
    g.relu, g.stream = w.relu, w.stream
    if w.op == MOMENTS:
        w.k.column_moments(rows, cols, w.x + at, w.cols, sums, w.cols)
    elif w.op == APPLY:
        w.k.column_apply(rows, cols, &g, w.x + at, w.cols, plus(w.other, at), w.target + at)
    elif w.op == SUMS:
        w.k.column_sums(rows, cols, &g, w.dy + at, w.x + at, plus(w.other, at), w.cols, sums, w.cols)
    else:
        w.k.column_grad(rows, cols, &g, w.dy + at, w.x + at, plus(w.other, at), w.cols, w.target + at,
                        <char *>plus(w.also, at))
    ck_write_mode(mode)


def walk(int op, Py_ssize_t batches, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t rest, int relu, x, dy, other, target, also,
         lines, sums, int threads):
    """One pass over contiguous arrays; target and also may be arrays that are read. relu is 6 for relu6."""
    cdef View views[7]
    cdef Walk w
    cdef Py_ssize_t task, tasks, each
    cdef int i
    cdef bint back = op == APPLY or op == GRAD  # from the end, which the pass before has left in the caches
    cdef Watch signals = watch()
    arrays = (x, dy, other, lines, target, also, sums)
    for i in range(7):
        views[i].open = False
    try:
        for i in range(7):
            lift(&views[i], arrays[i], i >= 4)
        w.itemsize = views[0].buffer.itemsize
        w.k = table(w.itemsize)
        w.op, w.relu, w.flush, w.figures = op, relu, flushes(), 3 if op == MOMENTS else 2
        w.rows, w.cols, w.rest, w.length = rows, cols, rest, rows * cols + rest
        w.stream = batches * w.length * w.itemsize >= STREAM
        w.panel, w.chunk = min(cols, PANEL), chunk_rows(cols)
        w.panels, w.chunks = (cols - 1) // w.panel + 1, chunks(rows, cols)
        w.x, w.dy, w.other, w.lines = views[0].data, views[1].data, views[2].data, views[3].data
        w.target, w.also, w.sums = views[4].data, views[5].data, views[6].data
        tasks = batches * (w.chunks + (rest > 0)) * w.panels
        each = (tasks - 1) // threads + 1       # tasks of a thread
        for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&signals, threadid(), task):
                walk_task(&w, min((task // each + 1) * each, tasks) - 1 - task % each if back else task)
    finally:
        for i in range(7):
            drop(&views[i])
    raise_if_stopped(&signals)


cdef void add_moments(const real *f, Py_ssize_t cols, Py_ssize_t n, Py_ssize_t channels, double count, bint spread,
                      const double *mean, double *total) noexcept nogil:
    """Adds what a chunk of `count` rows knows about its first n columns: to the sums, or to those of squares about the mean."""
    cdef Py_ssize_t pixel, start, c
    cdef double first, off, part = 1 / count
    for pixel in range(n // channels):
        start = pixel * channels
        if not spread:
            for c in range(channels):
                total[c] += f[start + c] * count + f[cols + start + c]
            continue
        for c in range(channels):
            first = f[cols + start + c]
            off = f[start + c] + first * part - mean[c]
            total[c] += f[2 * cols + start + c] - first * first * part + count * off * off


cdef void moments_of(const real *figures, Py_ssize_t each, Py_ssize_t cols, Py_ssize_t rows, Py_ssize_t rest, Py_ssize_t pixels,
                     Py_ssize_t channels, double *mean, double *spread) noexcept nogil:
    """Means of the channels of one batch and sums of squares about them, from its chunks (each, 3, columns)."""
    cdef Py_ssize_t chunk, c, height, whole = chunks(rows, cols)
    cdef int step
    memset(mean, 0, channels * sizeof(double))
    memset(spread, 0, channels * sizeof(double))
    for step in range(2):
        for chunk in range(each):
            height = min(chunk_rows(cols), rows - chunk * chunk_rows(cols)) if chunk < whole else 1
            add_moments(figures + chunk * 3 * cols, cols, cols if chunk < whole else rest, channels, height, step, mean,
                        spread if step else mean)
        if step == 0:
            for c in range(channels):
                mean[c] /= pixels


cdef (double, double) together(const double *mean, const double *spread, Py_ssize_t channels, Py_ssize_t pixels) noexcept nogil:
    """Mean and variance of a group of channels."""
    cdef Py_ssize_t c
    cdef double whole = 0, squares = 0
    if channels == 1:
        return mean[0], spread[0] / pixels
    for c in range(channels):
        whole += mean[c]
    whole /= channels
    for c in range(channels):
        squares += spread[c] + pixels * (mean[c] - whole) * (mean[c] - whole)
    return whole, squares / (pixels * channels)


def moments(figures, mean, var, Py_ssize_t rows, Py_ssize_t rest, Py_ssize_t pixels, Py_ssize_t channels):
    """Fills mean and variance of groups of channels, float64 (batches, groups), from (batches, chunks, 3, columns)."""
    cdef View views[3]
    cdef Py_ssize_t batch, group, groups, width, size, place
    cdef double *lines = <double *>malloc(2 * channels * sizeof(double))
    cdef int i
    for i in range(3):
        views[i].open = False
    try:
        if lines == NULL:
            raise MemoryError
        for i, array in enumerate((figures, mean, var)):
            lift(&views[i], array, i > 0)
        groups, size = views[1].shape[4], views[0].buffer.itemsize
        width = channels // groups
        for batch in range(views[0].shape[0]):
            if size == 4:
                moments_of(<const float *>(views[0].data + batch * views[0].stride[0]), views[0].shape[2], views[0].shape[4],
                           rows, rest, pixels, channels, lines, lines + channels)
            else:
                moments_of(<const double *>(views[0].data + batch * views[0].stride[0]), views[0].shape[2], views[0].shape[4],
                           rows, rest, pixels, channels, lines, lines + channels)
            for group in range(groups):
                place = batch * groups + group
                (<double *>views[1].data)[place], (<double *>views[2].data)[place] = together(
                    lines + group * width, lines + channels + group * width, width, pixels)
    finally:
        free(lines)
        for i in range(3):
            drop(&views[i])


def coefficients(mean, var, weight, bias, double eps, bint single, lines):
    """Fills lines (4, batches, channels): 1 / deviation, center, scale and shift of y = (x - center) * scale + shift.

    All are float64 and contiguous; mean and var (batches, groups), weight and bias (channels,) or None. The center is the mean
    as x can hold it, `single` or not, so that x - center is exact near it; the shift makes up for the difference.
    """
    cdef View views[5]
    cdef Py_ssize_t place, c, at, channels, width, step
    cdef double *to
    cdef double inverse, center, off, scale
    cdef int i
    for i in range(5):
        views[i].open = False
    try:
        for i, array in enumerate((mean, var, weight, bias, lines)):
            lift(&views[i], array, i == 4)
        channels, step, to = views[4].shape[4], views[4].shape[3] * views[4].shape[4], <double *>views[4].data
        width = channels // views[0].shape[4]
        for place in range(views[0].shape[0] * views[0].shape[4]):
            off = (<const double *>views[0].data)[place]
            center = <double><float>off if single else off
            off, inverse = center - off, 1 / sqrt((<const double *>views[1].data)[place] + eps)
            for at in range(place * width, (place + 1) * width):
                c = at % channels
                scale = inverse if weight is None else inverse * (<const double *>views[2].data)[c]
                to[at], to[step + at], to[2 * step + at] = inverse, center, scale
                to[3 * step + at] = off * scale if bias is None else off * scale + (<const double *>views[3].data)[c]
    finally:
        for i in range(5):
            drop(&views[i])


cdef void add_sums(const real *f, Py_ssize_t n, Py_ssize_t channels, double *total) noexcept nogil:
    cdef Py_ssize_t pixel, c
    for pixel in range(n // channels):
        for c in range(channels):
            total[c] += f[pixel * channels + c]


def sums(figures, total, Py_ssize_t rows, Py_ssize_t rest):
    """Adds the chunks of (batches, chunks, 2, columns) to total, float64 (batches, 2, channels)."""
    cdef View f, t
    cdef Py_ssize_t place, each, cols, n
    cdef double *to
    f.open = t.open = False
    try:
        lift(&f, figures, False)
        lift(&t, total, True)
        each, cols = f.shape[2], f.shape[4]
        for place in range(f.shape[0] * each * 2):
            n = cols if place // 2 % each < chunks(rows, cols) else rest
            to = <double *>t.data + (place // 2 // each * 2 + place % 2) * t.shape[4]
            if f.buffer.itemsize == 4:
                add_sums(<const float *>f.data + place * cols, n, t.shape[4], to)
            else:
                add_sums(<const double *>f.data + place * cols, n, t.shape[4], to)
    finally:
        drop(&f)
        drop(&t)


# Rows ----------------------------------------------------------------------------------------------------------------------

cdef struct Rows:
    const ck_kernels *k
    bint flush
    int centered
    double eps
    Py_ssize_t itemsize, rows, n, chunk
    const char *x
    const char *dy
    const char *w
    const char *b
    char *target
    double *stats
    char *sums                                  # (chunks, dw and db, n), zero


def row_chunk(Py_ssize_t n):
    """How many rows a task takes."""
    return max(CHUNK // n, 1)


cdef void rows_task(const Rows *w, Py_ssize_t task) noexcept nogil:
    cdef Py_ssize_t first = task * w.chunk, rows = min(w.chunk, w.rows - first), at = first * w.n * w.itemsize
    cdef char *sums = w.sums + task * 2 * w.n * w.itemsize
    cdef ck_mode mode = ck_flush_subnormals(w.flush)
    if w.dy == NULL:
        w.k.row_norm(rows, w.n, w.x + at, w.w, w.b, w.eps, w.centered, w.target + at, w.stats + 2 * first)
    else:
        w.k.row_norm_grad(rows, w.n, w.dy + at, w.x + at, w.w, w.eps, w.centered, w.stats + 2 * first, w.target + at, sums,
                          sums + w.n * w.itemsize)
    ck_write_mode(mode)


def rows(x, dy, weight, bias, target, stats, sums, double eps, bint centered, int threads):
    """Normalises the rows of x (rows, n), and writes stats (rows, 2); or the gradient, where dy is given."""
    cdef View views[7]
    cdef Rows w
    cdef Py_ssize_t task
    cdef int i
    cdef Watch signals = watch()
    arrays = (x, dy, weight, bias, target, stats, sums)
    for i in range(7):
        views[i].open = False
    try:
        for i in range(7):
            lift(&views[i], arrays[i], i >= 4)
        w.itemsize = views[0].buffer.itemsize
        w.k = table(w.itemsize)
        w.flush, w.centered, w.eps = flushes(), centered, eps
        w.rows, w.n = views[0].shape[0], views[0].shape[4]
        w.chunk = row_chunk(w.n)
        w.x, w.dy, w.w, w.b = views[0].data, views[1].data, views[2].data, views[3].data
        w.target, w.stats, w.sums = views[4].data, <double *>views[5].data, views[6].data
        for task in prange((w.rows - 1) // w.chunk + 1, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&signals, threadid(), task):
                rows_task(&w, task)
    finally:
        for i in range(7):
            drop(&views[i])
    raise_if_stopped(&signals)
