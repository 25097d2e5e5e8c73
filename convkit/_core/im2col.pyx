# Lowering: what every window reads, side by side in one row of a matrix, and the way back.
from cython.parallel cimport prange
from libc.string cimport memcpy, memset

from convkit._core.border cimport ceil_div, clip
from convkit._core.cpu cimport ck_flush_subnormals, ck_mode, ck_write_mode, flushes, real

cdef struct Window:                             # one axis of the convolution, a row of `windows` of plan/conv.py
    Py_ssize_t size, kernel, stride, dilation, lo, out


cdef inline bint find(const Window *a, Py_ssize_t pixel, Py_ssize_t tap, Py_ssize_t *output) noexcept nogil:
    """Whether an output reads `pixel` with `tap`, and which one."""
    cdef Py_ssize_t place = pixel + a.lo - tap * a.dilation
    output[0] = place // a.stride
    return place >= 0 and place % a.stride == 0 and output[0] < a.out


def lower(const Py_ssize_t[:, ::1] windows, const real[:, :, :, :, :] x, real[:, :, :, ::1] cols, Py_ssize_t first,
          int threads):
    """cols (pixels, groups, taps, C / groups) = what the output pixels `first`, `first` + 1, ... read; zeros in the padding."""
    cdef const Window *ad = <const Window *>&windows[0, 0]
    cdef Py_ssize_t groups = cols.shape[1], depth = cols.shape[3], step = x.strides[3], i
    # With one group and no holes a row of the window is one run of memory.
    cdef bint whole = groups == 1 and ad[2].dilation == 1 and (step == depth * <Py_ssize_t>sizeof(real) or ad[2].kernel == 1)
    for i in prange(cols.shape[0], nogil=True, schedule="static", num_threads=threads):
        lower_pixel(ad, <const char *>&x[0, 0, 0, 0, 0], &x.strides[0], first + i, groups, depth * sizeof(real), whole,
                    <char *>&cols[i, 0, 0, 0])


cdef void lower_pixel(const Window *a, const char *x, const Py_ssize_t *strides, Py_ssize_t pixel, Py_ssize_t groups,
                      Py_ssize_t bytes, bint whole, char *row) noexcept nogil:
    cdef Py_ssize_t w = pixel % a[2].out * a[2].stride - a[2].lo, line = pixel // a[2].out
    cdef Py_ssize_t h = line % a[1].out * a[1].stride - a[1].lo, d = line // a[1].out % a[0].out * a[0].stride - a[0].lo
    cdef Py_ssize_t taps = a[0].kernel * a[1].kernel * a[2].kernel, width = a[2].kernel, tap = 0, g, k, t, td, th, lo, hi
    cdef const char *pixels                     # of the line
    x += line // (a[1].out * a[0].out) * strides[0]
    lo = clip(ceil_div(-w, a[2].dilation), 0, width)                    # taps of a row that lie inside the image
    hi = clip(ceil_div(a[2].size - w, a[2].dilation), lo, width)
    for k in range(a[0].kernel * a[1].kernel):
        td, th = d + k // a[1].kernel * a[0].dilation, h + k % a[1].kernel * a[1].dilation
        if <size_t>td >= <size_t>a[0].size or <size_t>th >= <size_t>a[1].size or lo == hi:
            for g in range(groups):
                memset(row + (g * taps + tap) * bytes, 0, width * bytes)
            tap = tap + width
            continue
        pixels = x + td * strides[1] + th * strides[2]
        for g in range(groups):
            memset(row + (g * taps + tap) * bytes, 0, lo * bytes)
            memset(row + (g * taps + tap + hi) * bytes, 0, (width - hi) * bytes)
            if whole:
                memcpy(row + (tap + lo) * bytes, pixels + (w + lo * a[2].dilation) * strides[3], (hi - lo) * bytes)
                continue
            for t in range(lo, hi):
                memcpy(row + (g * taps + tap + t) * bytes, pixels + (w + t * a[2].dilation) * strides[3] + g * bytes, bytes)
        tap = tap + width


def add(const Py_ssize_t[:, ::1] windows, const real[:, :, :, ::1] cols, real[:, :, :, :, :] x, Py_ssize_t first, int threads):
    """x += cols, each element where `lower` finds it. A line of x is one task: its sums have one order."""
    cdef const Window *a = <const Window *>&windows[0, 0]
    cdef Py_ssize_t each = a[0].out * a[1].out * a[2].out, height = a[0].size * a[1].size
    cdef Py_ssize_t start = first // each * height, stop = ((first + cols.shape[0] - 1) // each + 1) * height, line
    cdef bint flush = flushes()
    for line in prange(start, stop, nogil=True, schedule="static", num_threads=threads):
        add_line(a, cols, x, first, line, flush)


cdef void add_line(const Window *a, const real[:, :, :, ::1] cols, real[:, :, :, :, :] x, Py_ssize_t first, Py_ssize_t line,
                   bint flush) noexcept nogil:
    cdef Py_ssize_t h = line % a[1].size, d = line // a[1].size % a[0].size, n = line // (a[1].size * a[0].size)
    cdef Py_ssize_t groups = cols.shape[1], depth = cols.shape[3], td, th, tw, g, c, w, output, od = 0, oh = 0, ow, lo, hi, tap
    cdef real *to
    cdef const real *part
    cdef ck_mode mode = ck_flush_subnormals(flush)
    for td in range(a[0].kernel):
        if not find(&a[0], d, td, &od):
            continue
        for th in range(a[1].kernel):
            if not find(&a[1], h, th, &oh):
                continue
            output = ((n * a[0].out + od) * a[1].out + oh) * a[2].out - first       # the first of its line, in cols
            for tw in range(a[2].kernel):
                tap = (td * a[1].kernel + th) * a[2].kernel + tw
                w = tw * a[2].dilation - a[2].lo
                lo = max(clip(ceil_div(-w, a[2].stride), 0, a[2].out), -output)
                hi = min(clip(ceil_div(a[2].size - w, a[2].stride), 0, a[2].out), cols.shape[0] - output)
                for ow in range(lo, hi):
                    for g in range(groups):
                        to = &x[n, d, h, w + ow * a[2].stride, g * depth]
                        part = &cols[output + ow, g, tap, 0]
                        for c in range(depth):
                            to[c] += part[c]
    ck_write_mode(mode)
