# Activations, dropout and the steps of optimisers element by element, softmax row by row: chunks of contiguous arrays.
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from convkit._core.cpu cimport (CK_ELU, CK_GELU, CK_GELU_TANH, CK_HARD_SWISH, CK_LEAKY, CK_LOG_SOFTMAX, CK_LOG_SOFTMAX_GRAD,
                                CK_MEASURE, CK_MISH, CK_NO_ACT, CK_RAMP, CK_RELU, CK_ROLL, CK_SIGMOID, CK_SIGN, CK_SILU,
                                CK_SOFTMAX, CK_SOFTMAX_GRAD, CK_SOFTPLUS, CK_SOFTSIGN, CK_STEP, CK_TANH, Watch, ck_act,
                                ck_flush_subnormals, ck_mode, ck_optim, ck_rule, ck_softmax, ck_write_mode, flushes,
                                raise_if_stopped, stopped, table, watch)
from convkit._core.call cimport Fast, Places
from convkit._core.view cimport View, drop, lift

from convkit._core.cpu import thread_count

cdef enum:
    CHUNK = 1 << 13                             # elements of a task
    STREAM = 8 << 20                            # bytes of a result that is written past the caches

ACTS = {
    "relu": CK_RELU, "leaky": CK_LEAKY, "ramp": CK_RAMP, "hard_swish": CK_HARD_SWISH, "elu": CK_ELU, "gelu": CK_GELU,
    "gelu_tanh": CK_GELU_TANH, "silu": CK_SILU, "mish": CK_MISH, "sigmoid": CK_SIGMOID, "tanh": CK_TANH,
    "softplus": CK_SOFTPLUS, "softsign": CK_SOFTSIGN,
}
SOFTMAXES = {
    "softmax": CK_SOFTMAX, "log_softmax": CK_LOG_SOFTMAX, "softmax_grad": CK_SOFTMAX_GRAD,
    "log_softmax_grad": CK_LOG_SOFTMAX_GRAD,
}
RULES = {"step": CK_STEP, "sign": CK_SIGN, "roll": CK_ROLL, "measure": CK_MEASURE}


cdef class Pass(Fast):
    """y = f(x), or y = dy * f'(x) where dy is given, by elements or by rows, for C-contiguous arrays of known sizes.

    With `softmax`, x is dy for the gradients, and dy what the forward pass returned. y may be x or dy.
    """
    cdef ck_act act
    cdef ck_softmax kind
    cdef double how[3]
    cdef bint by_rows, flush
    cdef Py_ssize_t itemsize, step, count       # of a number; numbers of a row, or 1; rows, or numbers
    cdef Py_ssize_t piece, tasks                # rows or numbers of a task
    cdef object threads

    def __init__(self, str name, Py_ssize_t count, Py_ssize_t step, Py_ssize_t itemsize, threads, *how):
        """count rows of `step` numbers; an activation has rows of one number and up to three parameters. threads is what the
        caller asked for, or 0 for work so little that the calling thread does it."""
        cdef int i
        self.by_rows = name in SOFTMAXES
        self.act, self.kind = ACTS.get(name, CK_NO_ACT), SOFTMAXES.get(name, CK_SOFTMAX)
        for i in range(3):
            self.how[i] = how[i] if i < len(how) else 0
        self.flush, self.itemsize, self.step, self.count = flushes(), itemsize, step, count
        self.piece = max(CHUNK // step, 1)
        self.tasks, self.threads = (count - 1) // self.piece + 1, threads

    def __call__(self, x, dy, y):
        cdef View views[3]
        cdef Places at
        cdef int i
        arrays = (x, dy, y)
        for i in range(3):
            views[i].open = False
        try:
            for i in range(3):
                lift(&views[i], arrays[i], i == 2)
            at.x, at.b, at.y = views[0].data, views[1].data, views[2].data
            self.run(&at)
        finally:
            for i in range(3):
                drop(&views[i])

    cdef int run(self, const Places *at) except -1:
        cdef Py_ssize_t task
        cdef int threads
        cdef Watch signals = watch()
        if self.threads == 0:
            for task in range(self.tasks):
                self.do(at, task)
            return 0
        threads = thread_count(self.threads)[0]
        for task in prange(self.tasks, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&signals, threadid(), task):
                self.do(at, task)
        return raise_if_stopped(&signals)

    cdef void do(self, const Places *at, Py_ssize_t task) noexcept nogil:
        cdef Py_ssize_t first = task * self.piece, n = min(self.count - first, self.piece)
        cdef Py_ssize_t start = first * self.step * self.itemsize
        cdef const char *x = at.x + start
        cdef const char *dy = at.b + start if at.b != NULL else NULL
        cdef ck_mode mode = ck_flush_subnormals(self.flush)
        if self.by_rows:
            table(self.itemsize).softmax_rows(self.kind, n, self.step, x, dy, at.y + start)
        else:
            table(self.itemsize).act_line(self.act, n, x, dy, self.how, at.y + start, self.count * self.itemsize >= STREAM
                                          and at.y != at.x and at.y != at.b)
        ck_write_mode(mode)


cdef void do_losses(const View *x, const View *labels, const View *weights, const View *each, const double *how,
                    const View *y, const View *losses, Py_ssize_t first, Py_ssize_t rows, bint flush) noexcept nogil:
    cdef Py_ssize_t at = first * y.stride[0]
    cdef ck_mode mode = ck_flush_subnormals(flush)
    table(y.buffer.itemsize).cross_entropy_rows(min(rows, y.shape[0] - first), y.shape[4], x.data + at,
                                                <const int64_t *>labels.data + first, weights.data, each.data, how, y.data + at,
                                                <double *>losses.data + first)
    ck_write_mode(mode)


def cross_entropy(x, labels, weights, each, double share, double total, double factor, y, losses, int threads):
    """Losses of the rows, float64, and y = factor * gradient: contiguous arrays (rows, n), rows and n >= 1; labels are int64.

    weights and each are (n,) or None. The label of a row takes share * its weight, each class what `each` has for it,
    `total` in all.
    """
    cdef View views[6]
    cdef double how[3]
    cdef bint flush = flushes()
    cdef Py_ssize_t task, rows
    cdef int i
    cdef Watch signals = watch()
    how[0], how[1], how[2] = share, total, factor
    arrays = (x, labels, weights, each, y, losses)
    for i in range(6):
        views[i].open = False
    try:
        for i in range(6):
            lift(&views[i], arrays[i], i >= 4)
        rows = max(CHUNK // views[4].shape[4], 1)
        for task in prange((views[4].shape[0] - 1) // rows + 1, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&signals, threadid(), task):
                do_losses(&views[0], &views[1], &views[2], &views[3], how, &views[4], &views[5], task * rows, rows, flush)
    finally:
        for i in range(6):
            drop(&views[i])
    raise_if_stopped(&signals)


cdef void drop_chunk(const View *x, const View *y, uint64_t seed, uint32_t threshold, const double *abc, Py_ssize_t task,
                     bint flush) noexcept nogil:
    cdef Py_ssize_t size = y.buffer.itemsize, first = task * CHUNK
    cdef ck_mode mode = ck_flush_subnormals(flush)
    table(size).dropout_line(min(y.shape[0] - first, CHUNK), first, seed, threshold, abc, x.data + first * size,
                             y.data + first * size)
    ck_write_mode(mode)


def dropout(x, y, uint64_t seed, uint32_t threshold, double a, double b, double c, int threads):
    """y = c with probability threshold / 2^32, else a x + b: contiguous arrays (n,), n >= 1; y may be x."""
    cdef View source, target
    cdef double abc[3]
    cdef bint flush = flushes()
    cdef Py_ssize_t task
    cdef Watch signals = watch()
    abc[0], abc[1], abc[2] = a, b, c
    source.open = target.open = False
    try:
        lift(&source, x, False)
        lift(&target, y, True)
        for task in prange((target.shape[0] - 1) // CHUNK + 1, nogil=True, schedule="static", num_threads=threads):
            if not stopped(&signals, threadid(), task):
                drop_chunk(&source, &target, seed, threshold, abc, task, flush)
    finally:
        drop(&source)
        drop(&target)
    raise_if_stopped(&signals)


cdef struct Moved:                              # one parameter
    Py_buffer array[5]                          # w, its gradient, m, v, average
    Py_ssize_t size
    ck_optim how


cdef void move_chunk(Moved *moved, Py_ssize_t first, double *sums, bint flush) noexcept nogil:
    cdef Py_ssize_t size = moved.array[0].itemsize
    cdef char *at[5]
    cdef int i
    cdef ck_mode mode
    for i in range(5):
        at[i] = <char *>moved.array[i].buf
        if at[i] != NULL:
            at[i] += first * size
    mode = ck_flush_subnormals(flush)
    table(size).optim_line(min(moved.size - first, CHUNK), &moved.how, at[1], at[0], at[2], at[3], at[4], sums)
    ck_write_mode(mode)


def optimise(str rule, list arrays, list hows, int threads):
    """A step of an optimiser for each parameter; kernels/optim.h has the formulas.

    arrays    for each parameter a tuple (w, grad, m, v, average) of C-contiguous arrays of one dtype and size; None is NULL
    hows      for each (scale, limit, l2, m_keep, m_add, v_keep, v_add, p, q, v_scale, eps, decay, rate, share)

    Returns for each (sum of w^2, sum of d^2), zeros unless the rule is "measure".
    """
    cdef Py_ssize_t count = len(arrays), tasks = 0, i, task, line
    cdef int k
    cdef bint flush = flushes()
    cdef ck_rule which = RULES[rule]
    cdef Moved *moved = <Moved *>calloc(count + 1, sizeof(Moved))
    cdef Py_ssize_t *places = NULL                              # of each task: the parameter, and where in it
    cdef double *sums = NULL
    cdef tuple how
    cdef list totals
    try:
        if moved == NULL:
            raise MemoryError
        for i in range(count):
            for k, array in enumerate(arrays[i]):
                if array is not None:
                    PyObject_GetBuffer(array, &moved[i].array[k], PyBUF_C_CONTIGUOUS | (0 if k == 1 else PyBUF_WRITABLE))
            moved[i].size = moved[i].array[0].len // moved[i].array[0].itemsize
            moved[i].how.rule = which
            how = hows[i]
            (moved[i].how.scale, moved[i].how.limit, moved[i].how.l2, moved[i].how.m_keep, moved[i].how.m_add,
             moved[i].how.v_keep, moved[i].how.v_add, moved[i].how.p, moved[i].how.q, moved[i].how.v_scale, moved[i].how.eps,
             moved[i].how.decay, moved[i].how.rate, moved[i].how.share) = how
            tasks += (moved[i].size + CHUNK - 1) // CHUNK
        places = <Py_ssize_t *>calloc(2 * tasks + 1, sizeof(Py_ssize_t))
        sums = <double *>calloc(2 * tasks + 1, sizeof(double))
        if places == NULL or sums == NULL:
            raise MemoryError
        task = 0
        for i in range(count):
            for line in range(0, moved[i].size, CHUNK):
                places[2 * task], places[2 * task + 1] = i, line
                task += 1
        for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
            move_chunk(&moved[places[2 * task]], places[2 * task + 1], sums + 2 * task, flush)
        totals = [[0.0, 0.0] for _ in range(count)]
        for task in range(tasks):
            totals[places[2 * task]][0] += sums[2 * task]
            totals[places[2 * task]][1] += sums[2 * task + 1]
        return totals
    finally:
        if moved != NULL:
            for i in range(count):
                for k in range(5):
                    PyBuffer_Release(&moved[i].array[k])        # which knows one that was never opened
        free(moved)
        free(places)
        free(sums)


cdef void add_chunk(const View *a, const View *b, const View *y, Py_ssize_t task, bint flush) noexcept nogil:
    cdef Py_ssize_t size = y.buffer.itemsize, first = task * CHUNK, n = min(y.shape[0] - first, CHUNK)
    cdef ck_mode mode = ck_flush_subnormals(flush)
    memcpy(y.data + first * size, a.data + first * size, n * size)
    table(size).sum_rows(1, n, b.data + first * size, n, y.data + first * size)
    ck_write_mode(mode)


def add(a, b, y, int threads):
    """y = a + b: contiguous arrays (n,), n >= 1, y apart from the others."""
    cdef View views[3]
    cdef bint flush = flushes()
    cdef Py_ssize_t task
    cdef int i
    for i in range(3):
        views[i].open = False
    try:
        lift(&views[0], a, False)
        lift(&views[1], b, False)
        lift(&views[2], y, True)
        for task in prange((views[2].shape[0] - 1) // CHUNK + 1, nogil=True, schedule="static", num_threads=threads):
            add_chunk(&views[0], &views[1], &views[2], task, flush)
    finally:
        for i in range(3):
            drop(&views[i])
