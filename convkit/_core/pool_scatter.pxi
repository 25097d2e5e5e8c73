# Part of pool.pyx: the gradient of a maximum by flat indices.
cdef void scatter_panel(const real *dy, const int64_t *flat, real *dx, Py_ssize_t pixels, Py_ssize_t channels, Py_ssize_t first,
                        Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t p, c
    for p in range(pixels):
        for c in range(first, last):
            if flat[p * channels + c] >= 0:
                dx[flat[p * channels + c] * channels + c] += dy[p * channels + c]


def scatter(dy, flat, dx, Py_ssize_t panel, int threads):
    """dx[n, flat[n, p, c], c] += dy[n, p, c], p rising; dy and flat (N, pixels of y, C), dx (N, pixels of x, C), contiguous."""
    cdef View y, place, x
    cdef Py_ssize_t task, n, first, last, channels, panels
    y.open = place.open = x.open = False
    try:
        lift(&y, dy, False)
        lift(&place, flat, False)
        lift(&x, dx, True)
        channels = y.shape[4]
        panels = (channels - 1) // panel + 1
        for task in prange(y.shape[0] * panels, nogil=True, schedule="static", num_threads=threads):
            n, first = task // panels, task % panels * panel
            last = min(first + panel, channels)
            if y.buffer.itemsize == 4:
                scatter_panel(<const float *>(y.data + n * y.stride[0]), <const int64_t *>(place.data + n * place.stride[0]),
                              <float *>(x.data + n * x.stride[0]), y.shape[3], channels, first, last)
            else:
                scatter_panel(<const double *>(y.data + n * y.stride[0]), <const int64_t *>(place.data + n * place.stride[0]),
                              <double *>(x.data + n * x.stride[0]), y.shape[3], channels, first, last)
    finally:
        drop(&y)
        drop(&place)
        drop(&x)
