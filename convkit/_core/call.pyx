# Calls that were made before: an op finds its checked plan again by its arguments.
#
# A call is remembered with arguments that cannot change (ints, bools, strings, None and tuples of them) and for arrays that
# are as plain as can be: exact, native, aligned and C-contiguous. Whatever is not just like that takes the ordinary way,
# where all errors are raised.
#
# A `Program` is a network as a list of such calls, on memory that was shared out before.
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.math cimport copysign
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp
import numpy as np

from convkit._core.cpu cimport ck_kernels, flushes, table

cdef enum:
    AXES = 5                                    # most axes of an array
    ARRAYS = 3                                  # most inputs of a call
    LINE = 64                                   # bytes of a cache line

cdef type NDARRAY = np.ndarray
cdef object EMPTY = np.empty


cdef bint constant(object value):
    """Whether the value is what it is for ever."""
    if type(value) is tuple:
        for item in <tuple>value:
            if not constant(item):
                return False
        return True
    return value is None or type(value) is int or type(value) is float or type(value) is str or type(value) is bool


cdef bint same(object a, object b):
    """Whether two values are equal, where the first one is constant; True is not 1, nor 0.0 -0.0."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is float:
        return a == b and copysign(1, a) == copysign(1, b)
    if type(a) is not tuple:
        return (type(a) is int or type(a) is str) and a == b
    if len(<tuple>a) != len(<tuple>b):
        return False
    for i in range(len(<tuple>a)):
        if not same((<tuple>a)[i], (<tuple>b)[i]):
            return False
    return True


cdef struct Form:                               # of a C-contiguous array; without axes: none is given
    int axes
    Py_ssize_t itemsize
    Py_ssize_t shape[AXES]
    Py_ssize_t stride[AXES]                     # bytes


cdef Form form_of(shape, Py_ssize_t itemsize):
    cdef Form form
    cdef Py_ssize_t step = itemsize
    cdef int i
    form.axes, form.itemsize = len(shape), itemsize
    for i in reversed(range(form.axes)):
        form.shape[i], form.stride[i] = shape[i], step
        step *= form.shape[i]
    return form


cdef struct Given:                              # the first arrays of a call that is being made, `count` of them
    int count
    Py_buffer view[ARRAYS + 1]
    bint open[ARRAYS + 1]                       # there is a buffer; None has none, and no address
    char *data[ARRAYS + 1]
    Py_ssize_t size[ARRAYS + 1]                 # bytes


cdef bint take(Given *g, object array, const Form *form, object dtype) except -1:
    """Whether the next array, or None, is of that form and dtype."""
    cdef int place = g.count, i
    cdef Py_buffer *view = &g.view[place]
    g.open[place], g.data[place], g.size[place] = False, NULL, 0
    g.count += 1
    if array is None or form.axes == 0:
        return array is None and form.axes == 0
    if type(array) is not NDARRAY or array.dtype is not dtype:
        return False
    PyObject_GetBuffer(array, view, PyBUF_STRIDES)
    g.open[place], g.data[place], g.size[place] = True, <char *>view.buf, view.len
    if view.ndim != form.axes or <size_t>view.buf % <size_t>form.itemsize:
        return False
    for i in range(form.axes):
        if view.shape[i] != form.shape[i] or view.strides[i] != form.stride[i]:
            return False
    return True


cdef bint meet(const char *a, Py_ssize_t a_bytes, const char *b, Py_ssize_t b_bytes) noexcept:
    return a < b + b_bytes and b < a + a_bytes


cdef class Fast:
    cdef int run(self, const Places *at) except -1:
        raise NotImplementedError


cdef char *address(object array) except NULL:
    """Of contiguous memory, as long as somebody else keeps it."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return <char *>view.buf


cdef class Room:
    """Memory on a cache line, for one call."""
    cdef void *memory
    cdef char *start

    def __cinit__(self, Py_ssize_t size):
        self.memory = malloc(size + LINE)
        if self.memory == NULL:
            raise MemoryError(f"no room for {size} bytes of scratch")
        self.start = <char *>self.memory + (-<size_t>self.memory) % LINE

    def __dealloc__(self):
        free(self.memory)


cdef class Parts:
    """Several passes of one call, whose result is a tuple."""
    cdef tuple passes, makers, others
    cdef readonly Py_ssize_t room               # bytes

    def __init__(self, tuple passes, tuple makers, tuple others):
        """Of each pass the `Fast` or None, what makes its result, which input is its `other`, or -1; all read the first."""
        cdef Fast fast
        self.passes, self.makers, self.others = passes, makers, others
        for fast in passes:
            self.room = max(self.room, fast.room if fast is not None else 0)

    cdef tuple make(self, Given *g, char *room):
        """The results, with None for what is None; None where something is not finite."""
        cdef Places at
        cdef Fast fast
        cdef int i
        at.x, at.b, at.residual = g.data[0], NULL, NULL
        found = [None] * len(self.passes)
        for i in range(len(self.passes)):
            fast = self.passes[i]
            if fast is not None:
                y = found[i] = self.makers[i]()
                at.y, at.room = address(y), room
                at.other = NULL if self.others[i] < 0 else g.data[<int>self.others[i]]
                if fast.run(&at):
                    return None
        return tuple(found)

    def through(self, tuple inputs, room):
        """The same of arrays that are known to fit, in memory that nobody else uses meanwhile."""
        cdef Given given
        cdef int i
        for i in range(len(inputs)):
            given.data[i] = address(inputs[i])
        return self.make(&given, address(room))


cdef class Call:
    """One call: what it was made with, and `run`, which makes it again: `Fast`, `Parts` or a function (inputs, out) -> y."""
    cdef tuple how, shape
    cdef object dtype, run, new
    cdef Form inputs[ARRAYS]
    cdef Form output
    cdef int count
    cdef Py_ssize_t itemsize
    cdef const char *filters                    # packed ones, which `out` must not meet
    cdef Py_ssize_t filters_bytes
    cdef const ck_kernels *kernels
    cdef bint flushes, in_place

    cdef bint fits(self, tuple inputs, object out, Given *g) except -1:
        """Whether the arrays are like those of the call, with nothing in the way of writing to `out`."""
        cdef int i, last = self.count
        for i in range(self.count):
            if not take(g, inputs[i], &self.inputs[i], self.dtype):
                return False
        if out is None:
            return True
        if not take(g, out, &self.output, self.dtype):
            return False
        if g.view[last].readonly or meet(g.data[last], g.size[last], self.filters, self.filters_bytes):
            return False
        for i in range(last):
            if not (self.in_place and g.data[last] == g.data[i]) and meet(g.data[last], g.size[last], g.data[i], g.size[i]):
                return False
        return True

    cdef object make(self, tuple inputs, object out, Given *g):
        """The result."""
        cdef Places at
        cdef Fast fast
        cdef Room room
        if isinstance(self.run, Parts):
            room = Room((<Parts>self.run).room)
            return (<Parts>self.run).make(g, room.start)
        if not isinstance(self.run, Fast):
            return self.run(inputs, out)
        fast, y = self.run, out
        if out is None:
            y = EMPTY(self.shape, self.dtype) if self.new is None else self.new()
            take(g, y, &self.output, self.dtype)
        at.x, at.b, at.residual, at.y, at.other = g.data[0], g.data[1], NULL, g.data[self.count], g.data[2]
        if fast.room:
            room = Room(fast.room)
            at.room = room.start
        return None if fast.run(&at) else y


cdef void drop(Given *g) noexcept:
    cdef int i
    for i in range(g.count):
        if g.open[i]:
            PyBuffer_Release(&g.view[i])


cdef class Calls:
    """The last few calls of one op, or with one set of filters."""
    cdef tuple kept
    cdef Py_ssize_t most
    cdef readonly Py_ssize_t count              # calls that were found again

    def __init__(self, Py_ssize_t most=8):
        self.kept, self.most = (), most

    def __reduce__(self):
        return Calls, (self.most,)              # a copy remembers nothing

    def again(self, tuple inputs, out, tuple how):
        """The result of a call just like an earlier one, in `out` if there is one; None if there was no such call."""
        cdef Call call
        cdef Given given
        for call in self.kept:
            if (call.count == len(inputs) and same(call.how, how) and call.kernels == table(call.itemsize)
                    and call.flushes == flushes()):
                given.count = 0
                try:
                    if call.fits(inputs, out, &given):
                        self.count += 1
                        return call.make(inputs, out, &given)
                finally:
                    drop(&given)
        return None

    def keep(self, tuple inputs, tuple shape, tuple how, run, filters=None, new=None, bint in_place=False):
        """Remembers a call that has passed all checks, if its arguments let it.

        `shape` is that of the result, which a `Fast` gets from `new`, if given; with `in_place`, it may be an input.
        """
        cdef Call call = Call(), old
        cdef Py_ssize_t i
        cdef Given given
        for x in inputs:
            if x is not None and (type(x) is not NDARRAY or x.ndim > AXES):
                return
        if not constant(how):
            return
        x = inputs[0]
        call.how, call.shape, call.dtype, call.run, call.count = how, shape, x.dtype, run, len(inputs)
        call.itemsize, call.flushes, call.new, call.in_place = x.dtype.itemsize, flushes(), new, in_place
        call.kernels, call.output = table(call.itemsize), form_of(shape, call.itemsize)
        for i in range(call.count):
            call.inputs[i] = form_of(() if inputs[i] is None else inputs[i].shape, call.itemsize)
        call.filters, call.filters_bytes = NULL, 0
        given.count = 0
        try:
            if not call.fits(inputs, None, &given):
                return
        finally:
            drop(&given)
        if filters is not None:
            PyObject_GetBuffer(filters, &given.view[0], PyBUF_STRIDES)
            call.filters, call.filters_bytes = <char *>given.view[0].buf, given.view[0].len
            PyBuffer_Release(&given.view[0])
        # Calls for another instruction set would keep its packed filters alive.
        others = [old for old in self.kept if old.kernels == call.kernels and old.flushes == call.flushes]
        self.kept = (call, *others[:self.most - 1])


def through(Fast fast, x, b, y, room):
    """Runs it on arrays that are known to fit; whether y is done."""
    cdef Places at
    at.x, at.y, at.residual, at.other = address(x), address(y), NULL, NULL
    at.b = NULL if b is None else address(b)
    at.room = NULL if room is None else address(room)
    return not fast.run(&at)


include "program.pxi"
