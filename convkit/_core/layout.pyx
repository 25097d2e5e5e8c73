# Channels-last copies of arrays whose channels are not neighbours in memory: one task per line of pixels.
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport prange

from convkit._core.cpu cimport ck_kernels, real, table


def channels_last(const real[:, :, :, :, :] x, real[:, :, :, :, ::1] y, int threads):
    """y = x, both (N, D, H, W, C); lines that follow each other in x are taken as one."""
    cdef const ck_kernels *k = table(sizeof(real))
    cdef Py_ssize_t size = sizeof(real), lines = x.shape[0] * x.shape[1] * x.shape[2], pixels = x.shape[3], height = x.shape[2]
    cdef Py_ssize_t t, n, d, h
    if x.shape[3] < 32 and x.strides[2] == x.shape[3] * x.strides[3]:       # short lines; the pixels of an image are one
        lines, pixels, height = x.shape[0] * x.shape[1], pixels * height, 1
    for t in prange(lines, nogil=True, schedule="static", num_threads=threads):
        h, d, n = t % height, t // height % x.shape[1], t // (height * x.shape[1])
        k.transpose(pixels, x.shape[4], &x[n, d, h, 0, 0], x.strides[3] // size, x.strides[4] // size, &y[n, d, h, 0, 0])


def address(array):
    """Where the first element lies."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef size_t first = <size_t>view.buf
    PyBuffer_Release(&view)
    return first
