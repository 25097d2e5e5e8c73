# What a remembered call may be besides a function of Python.
cdef class Fast:
    """A call so small that a function of Python would be the larger part of it: addresses of arrays that are known to fit."""
    cdef int run(self, const char *x, const char *b, char *y) except -1
