# What a remembered call, and a step of a program, may be besides a function of Python.
cdef struct Places:                             # where the arrays of a call lie; NULL for None
    const char *x
    const char *b
    const char *residual
    char *y
    char *room                                  # memory that the call needs besides
    const char *other                           # filters that are packed first; of their gradient, whose x is dy: x


cdef class Fast:
    """A call so small that a function of Python would be a large part of it: addresses of arrays that are known to fit."""
    cdef readonly Py_ssize_t room               # bytes
    cdef int run(self, const Places *at) except -1    # whether something is not finite, and y must be computed in another way


cdef struct Dense:                               # of a C-contiguous array (N, D, H, W, C)
    Py_ssize_t shape[5]
    Py_ssize_t stride[5]                        # bytes


cdef inline Dense lifted(tuple shape, Py_ssize_t itemsize) except *:
    cdef Dense form
    cdef Py_ssize_t step = itemsize
    cdef int i
    for i in reversed(range(5)):
        form.shape[i], form.stride[i] = shape[i], step
        step *= form.shape[i]
    return form
