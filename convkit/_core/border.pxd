# What the loops do where a window hangs over the border of the input.


cdef inline Py_ssize_t clip(Py_ssize_t value, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    return lo if value < lo else hi if value > hi else value


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if b == 1 else a // b + (a % b > 0)        # b > 0; C division rounds towards zero, and is slow
