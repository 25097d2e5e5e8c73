# Part of filters.pyx.
#
# The gradient of the bias: chunks of fixed size, summed on their own, then one after the other.
cdef enum:
    BIAS_CHUNK = 1024                           # pixels


def bias_chunks(Py_ssize_t lines, Py_ssize_t out):
    """Rows of `partial` in `sum_bias`."""
    return ceil_div(lines, max(<Py_ssize_t>1, BIAS_CHUNK // out)) * ceil_div(out, BIAS_CHUNK)


cdef struct Bias:                               # dy, strides in bytes
    const ck_kernels *k
    const char *dy
    Py_ssize_t shape[5]
    Py_ssize_t stride[4]
    Py_ssize_t itemsize, lines, columns         # lines of a chunk; chunks of a line
    bint flush


cdef void lay_out(Bias *b, Py_ssize_t itemsize) except *:
    """What follows from the shape."""
    b.k, b.itemsize, b.flush = table(itemsize), itemsize, flushes()
    b.lines, b.columns = max(<Py_ssize_t>1, BIAS_CHUNK // b.shape[3]), ceil_div(b.shape[3], BIAS_CHUNK)


cdef void bias_chunk(const Bias *b, Py_ssize_t chunk, char *sums) noexcept nogil:
    cdef Py_ssize_t nd = b.shape[1], nh = b.shape[2], pixel = chunk % b.columns * BIAS_CHUNK, line
    cdef ck_mode mode = ck_flush_subnormals(b.flush)
    for line in range(chunk // b.columns * b.lines, min(b.shape[0] * nd * nh, (chunk // b.columns + 1) * b.lines)):
        b.k.sum_rows(min(b.shape[3] - pixel, <Py_ssize_t>BIAS_CHUNK), b.shape[4],
                     b.dy + line // (nd * nh) * b.stride[0] + line // nh % nd * b.stride[1] + line % nh * b.stride[2]
                     + pixel * b.stride[3], b.stride[3] // b.itemsize, sums)
    ck_write_mode(mode)


cdef void bias_end(const Bias *b, Py_ssize_t chunks, const char *partial, char *db) noexcept nogil:
    cdef ck_mode mode = ck_flush_subnormals(b.flush)
    b.k.sum_rows(chunks, b.shape[4], partial, b.shape[4], db)
    ck_write_mode(mode)


def sum_bias(const real[:, :, :, :, :] dy, real[:, ::1] partial, real[::1] db, int threads):
    """db (O,) += the sum of dy over all but the channels; `partial` (bias_chunks, O) is zero."""
    cdef Bias b
    cdef Py_ssize_t t
    for t in range(5):
        b.shape[t] = dy.shape[t]
    for t in range(4):
        b.stride[t] = dy.strides[t]
    lay_out(&b, sizeof(real))
    b.dy = <const char *>&dy[0, 0, 0, 0, 0]
    for t in prange(partial.shape[0], nogil=True, schedule="static", num_threads=threads):
        bias_chunk(&b, t, <char *>&partial[t, 0])
    bias_end(&b, partial.shape[0], <const char *>&partial[0, 0], <char *>&db[0])
