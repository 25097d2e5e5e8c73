# What the loops do where a window hangs over the border of the input, and into how many parts they are cut.
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
