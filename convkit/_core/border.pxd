# What the loops do where a window hangs over the border of the input, into how many parts they are cut, and how pixels lie.
cdef enum:
    PARTS = 8                                   # at most


cdef inline Py_ssize_t clip(Py_ssize_t value, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    return lo if value < lo else hi if value > hi else value


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if b == 1 else a // b + (a % b > 0)        # b > 0; C division rounds towards zero, and is slow


cdef inline Py_ssize_t parts_of(Py_ssize_t most) noexcept nogil:
    """How many parts of the work have sums of their own: a power of two, so that most numbers of threads share them evenly."""
    cdef Py_ssize_t parts = 1
    while 2 * parts <= min(most, <Py_ssize_t>PARTS):
        parts *= 2
    return parts


cdef inline Py_ssize_t spacing(const Py_ssize_t *size, const Py_ssize_t *stride, const Py_ssize_t *wanted, Py_ssize_t images,
                               Py_ssize_t itemsize) noexcept:
    """Elements from pixel to pixel of arrays that are one line of them, else 0; strides are of n, d, h, w."""
    cdef Py_ssize_t i, step = stride[3], pixels = size[2]
    for i in range(3):
        if size[i] != wanted[i]:
            return 0
    if (size[1] > 1 and stride[2] != pixels * step) or step % itemsize:
        return 0
    pixels *= size[1]
    if (size[0] > 1 and stride[1] != pixels * step) or (images > 1 and stride[0] != pixels * size[0] * step):
        return 0
    return step // itemsize
