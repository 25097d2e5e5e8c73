# What the loops do where a window hangs over the border of the input.
from libc.stdint cimport int32_t


cdef inline Py_ssize_t clip(Py_ssize_t value, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    return lo if value < lo else hi if value > hi else value


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if b == 1 else a // b + (a % b > 0)        # b > 0; C division rounds towards zero, and is slow


cdef inline const char *patch(const char *line, Py_ssize_t width, Py_ssize_t w, Py_ssize_t span, Py_ssize_t pixel,
                              char *room) noexcept nogil:
    """A copy of `span` pixels of a line of `width`, from w on, with zeros outside the line; `pixel` is in bytes."""
    cdef Py_ssize_t lo = clip(-w, 0, span) * pixel // 4, hi = clip(width - w, clip(-w, 0, span), span) * pixel // 4, i
    cdef const int32_t *words = <const int32_t *>(line + w * pixel)     # a few words: no call of memcpy
    cdef int32_t *to = <int32_t *>room
    for i in range(lo):
        to[i] = 0
    for i in range(lo, hi):
        to[i] = words[i]
    for i in range(hi, span * pixel // 4):
        to[i] = 0
    return room
