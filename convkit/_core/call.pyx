# Calls that were made before: a convolution with packed filters finds its checked plan again by its arguments.
#
# A call is remembered with arguments that cannot change (ints, bools, strings, None and tuples of them) and for arrays that
# are as plain as can be: exact, native, aligned and C-contiguous. Whatever is not just like that takes the ordinary way,
# where all errors are raised.
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
import numpy as np

from convkit._core.cpu cimport ck_kernels, flushes, table

cdef enum:
    KEPT = 8                                    # calls of one set of filters

cdef type NDARRAY = np.ndarray


cdef bint constant(object value):
    """Whether the value is what it is for ever."""
    if type(value) is tuple:
        for item in <tuple>value:
            if not constant(item):
                return False
        return True
    return value is None or type(value) is int or type(value) is str or type(value) is bool


cdef bint same(object a, object b):
    """Whether two values are equal, where the first one is constant; True is not 1."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is not tuple:
        return (type(a) is int or type(a) is str) and a == b
    if len(<tuple>a) != len(<tuple>b):
        return False
    for i in range(len(<tuple>a)):
        if not same((<tuple>a)[i], (<tuple>b)[i]):
            return False
    return True


cdef bint plain(object array, object dtype, int axes, const Py_ssize_t *shape):
    """Whether this is an ndarray of that dtype and shape, aligned and C-contiguous."""
    cdef Py_buffer view
    cdef Py_ssize_t step
    cdef bint fits
    cdef int i
    if type(array) is not NDARRAY or array.dtype is not dtype:
        return False
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    fits = view.ndim == axes and <size_t>view.buf % <size_t>view.itemsize == 0
    if fits:
        step = view.itemsize
        for i in reversed(range(axes)):
            fits = fits and view.shape[i] == shape[i] and view.strides[i] == step
            step *= shape[i]
    PyBuffer_Release(&view)
    return fits


cdef class Call:
    """One call: what it was made with, and run(x, b), which makes it again."""
    cdef tuple how
    cdef object dtype, run
    cdef int axes
    cdef Py_ssize_t shape[5]
    cdef Py_ssize_t outputs, itemsize
    cdef const ck_kernels *kernels
    cdef bint flushes


cdef bint fits(Call call, object x, object b, tuple how):
    return (plain(x, call.dtype, call.axes, call.shape) and (b is None or plain(b, call.dtype, 1, &call.outputs))
            and same(call.how, how) and call.kernels == table(call.itemsize) and call.flushes == flushes())


cdef class Calls:
    """The last few calls of one set of filters."""
    cdef tuple kept
    cdef readonly Py_ssize_t count              # calls that were found again

    def __init__(self):
        self.kept = ()

    def __reduce__(self):
        return Calls, ()                        # a copy remembers nothing

    def again(self, x, b, tuple how):
        """The result of a call just like an earlier one, or None if there was none."""
        cdef Call call
        for call in self.kept:
            if fits(call, x, b, how):
                self.count += 1
                return call.run(x, b)
        return None

    def keep(self, x, b, tuple how, Py_ssize_t outputs, run):
        """Remembers a call that has passed all checks, if its arguments let it."""
        cdef Call call = Call(), old
        cdef Py_ssize_t i
        if not constant(how) or x.ndim > 5:
            return
        call.how, call.dtype, call.run, call.axes, call.outputs = how, x.dtype, run, x.ndim, outputs
        call.itemsize, call.flushes = x.dtype.itemsize, flushes()
        call.kernels = table(call.itemsize)
        for i in range(call.axes):
            call.shape[i] = x.shape[i]
        if fits(call, x, b, how):               # calls for another instruction set would keep its packed filters alive
            others = [old for old in self.kept if old.kernels == call.kernels and old.flushes == call.flushes]
            self.kept = (call, *others[:KEPT - 1])
