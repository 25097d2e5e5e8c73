# Arrays as the loops want them, by the buffer protocol alone: a fifth of the time of a memoryview.
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef struct View:                               # a channels-last array (N, ..., C), lifted to (N, D, H, W, C)
    Py_buffer buffer
    bint open
    char *data                                  # NULL for None
    Py_ssize_t shape[5]
    Py_ssize_t stride[5]                        # bytes


cdef inline int lift(View *v, object array, bint writable) except -1:
    """Opens an array of 1 to 5 axes; `drop` closes it."""
    cdef int missing, i
    v.open, v.data = False, NULL
    if array is None:
        return 0
    PyObject_GetBuffer(array, &v.buffer, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    v.open, v.data, missing = True, <char *>v.buffer.buf, 5 - v.buffer.ndim
    v.shape[0], v.stride[0] = v.buffer.shape[0], v.buffer.strides[0]
    for i in range(1, 5):
        v.shape[i] = 1 if i <= missing else v.buffer.shape[i - missing]
        v.stride[i] = 0 if i <= missing else v.buffer.strides[i - missing]
    return 0


cdef inline void drop(View *v) noexcept:
    if v.open:
        PyBuffer_Release(&v.buffer)
