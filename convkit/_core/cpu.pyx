# Threads and instruction sets: the only place that knows how many there are and which one runs.
import contextvars
import operator
import os
import time
import warnings

from cpython.contextvars cimport get_value
from cython.parallel cimport prange

MAX_THREADS = 256

cdef const ck_kernels *float_table
cdef const ck_kernels *double_table


cdef const ck_kernels *table(size_t itemsize) noexcept nogil:
    return double_table if itemsize == 8 else float_table


def isas():
    """Names of the instruction sets that this build has and this CPU runs, best first."""
    return [name for name in built() if ck_find(name.encode(), CK_FLOAT32) != NULL]


def built():
    """Names of the instruction sets that this build has, best first."""
    cdef int i = 0
    names = []
    while ck_isas[i] != NULL:
        names.append(ck_isas[i].decode())
        i += 1
    return names


def isa():
    """Name of the instruction set in use: "avx512", "avx2", "neon" or "generic".

    The best one that the CPU runs, or the one that the environment variable ``CONVKIT_ISA`` named at import.

    >>> import convkit
    >>> convkit.isa() in ("avx512", "avx2", "neon", "generic")
    True
    """
    return float_table.isa.decode()


def use_isa(str name):
    """Switch to another instruction set, for every call that starts from now on; meant for tests and measurements."""
    global float_table, double_table
    if name not in isas():
        raise ValueError(f"CONVKIT_ISA must be one of {', '.join(isas())} on this machine, got {name!r}")
    float_table, double_table = ck_find(name.encode(), CK_FLOAT32), ck_find(name.encode(), CK_FLOAT64)


def tile(size_t itemsize):
    """Geometry of the register tile in use: elements in a SIMD word, words in the widest panel, rows for each width."""
    cdef const ck_kernels *k = table(itemsize)
    return k.vector, k.vecs, tuple([k.rows[v] for v in range(k.vecs + 1)])


# Threads -------------------------------------------------------------------------------------------------------------

chosen = contextvars.ContextVar("convkit_threads", default=None)
forked = False


def _after_fork():
    # libgomp's pool does not survive a fork: waiting for it would hang the child.
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def checked_threads(threads, what="threads"):
    """The number of threads as an int in 1..MAX_THREADS; more than that is cut to MAX_THREADS."""
    if isinstance(threads, bool):
        raise TypeError(f"{what} must be an int, got bool")
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(f"{what} must be an int, got {type(threads).__name__}") from None
    if count < 1:
        raise ValueError(f"{what} must be >= 1, got {count}")
    return min(count, MAX_THREADS)


class threads:
    """Context manager: convolutions started inside use `n` threads, in this thread of Python and its tasks.

    A call's own ``threads=`` comes first, then this, then ``CONVKIT_NUM_THREADS``, ``OMP_NUM_THREADS``, then the CPUs
    that this process may use (affinity and cgroup quota). Results do not depend on the number of threads, bit for bit.

    >>> import convkit
    >>> with convkit.threads(1):
    ...     pass
    """

    def __init__(self, n):
        self.n = checked_threads(n)
        self.tokens = []

    def __enter__(self):
        self.tokens.append(chosen.set(self.n))
        return self

    def __exit__(self, *exc):
        chosen.reset(self.tokens.pop())


precision = contextvars.ContextVar("convkit_accuracy", default="fast")


class accuracy:
    """Context manager: how convolutions started inside may round, in this thread of Python and its tasks.

    "fast", the default, allows algorithms whose error is a few times that of a plain sum of products (Winograd's) and takes
    subnormal numbers as zero. "strict" keeps to plain sums of products and keeps subnormal numbers.

    >>> import convkit
    >>> with convkit.accuracy("strict"):
    ...     pass
    """

    def __init__(self, level):
        if level not in ("fast", "strict"):
            raise ValueError(f"accuracy must be 'fast' or 'strict', got {level!r}")
        self.level = level
        self.tokens = []

    def __enter__(self):
        self.tokens.append(precision.set(self.level))
        return self

    def __exit__(self, *exc):
        precision.reset(self.tokens.pop())


def strict():
    """Whether a call made now keeps to plain sums of products."""
    return precision.get() == "strict"


cdef bint flushes():
    return get_value(precision) != "strict"


cdef Py_ssize_t large = 8 << 20                 # bytes; below that, what is written is read again from a cache


def set_large(Py_ssize_t size):
    """How many bytes make a result of a convolution large enough for the way past the caches, until now; meant for tests."""
    global large
    before, large = large, size
    return before


cdef bint streams(const char *y, const Py_ssize_t *stride, const Py_ssize_t *shape, Py_ssize_t itemsize) noexcept:
    cdef Py_ssize_t size = itemsize, places = <Py_ssize_t>y, i
    for i in range(5):
        size *= shape[i]
        places |= stride[i] if i < 4 else 0
    return size >= large and table(itemsize).vector * itemsize == LINE and lines(places, 0)


def _quota():
    """CPUs that the cgroup (version 2) allows, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            limit, period = file.read().split()
        return None if limit == "max" else max(1, int(int(limit) / int(period) + 0.5))
    except (OSError, ValueError):
        return None


def _default_threads():
    """The default number of threads and the reason for it."""
    for name in ("CONVKIT_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name)
        if text:
            try:
                return checked_threads(int(text.split(",")[0]), name), name
            except ValueError:
                warnings.warn(f"{name} must be an int >= 1, got {text!r}; ignored", stacklevel=2)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    if quota is not None and quota < allowed:
        return min(quota, MAX_THREADS), "cgroup quota"
    return min(allowed, MAX_THREADS), "CPUs of this process"


default_threads, default_reason = _default_threads()


def thread_count(asked=None, str op="convkit"):
    """How many threads a call of `op` that asked for `asked` may use, and why."""
    if asked is not None:
        asked = checked_threads(asked, f"{op}: threads")
    if not openmp:
        return 1, "built without OpenMP"
    if forked:
        return 1, "forked child"
    if asked is not None:
        return asked, "threads="
    inside = chosen.get()
    return (default_threads, default_reason) if inside is None else (inside, "convkit.threads")


# Signals -------------------------------------------------------------------------------------------------------------

cdef extern from *:
    """
    #include <time.h>
    static double ck_seconds(void)
    {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    """
    double ck_seconds() noexcept nogil

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept           # here the exception may wait until the threads are done

cdef double LOOK = 0.1                          # seconds between looks for signals


cdef Watch watch() noexcept nogil:
    cdef Watch w
    w.next, w.stop = 0, False
    return w


cdef bint stopped(Watch *w, int thread, Py_ssize_t piece) noexcept nogil:
    """Whether a signal's handler has raised.

    Thread 0 is the one that called, and the only one that looks: at the clock after every fourth of its pieces of work, so
    that a short call does not pay for it, and at the signals when it is time.
    """
    cdef double now
    if thread == 0 and piece % 4 == 3 and not w.stop:
        now = ck_seconds()
        if w.next == 0:
            w.next = now + LOOK
        elif now >= w.next:
            look(w)
    return w.stop


cdef void look(Watch *w) noexcept with gil:
    w.stop = PyErr_CheckSignals() < 0
    w.next = ck_seconds() + LOOK


cdef int raise_if_stopped(const Watch *w) except -1:
    """Lets the exception of the handler through, which has been set since."""
    return -1 if w.stop else 0


# Peak ----------------------------------------------------------------------------------------------------------------

cdef extern from *:
    """
    #ifdef _OPENMP
    enum { CK_OPENMP = _OPENMP };
    #else
    enum { CK_OPENMP = 0 };
    #endif
    #if defined(__clang__)
    #define CK_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define CK_COMPILER "gcc " __VERSION__
    #else
    #define CK_COMPILER "unknown"
    #endif
    """
    int CK_OPENMP
    const char *CK_COMPILER

openmp = CK_OPENMP
compiler = CK_COMPILER.decode().strip()


def multiply_add_peak(threads=1, dtype="float32", double seconds=0.01):
    """Multiply-add peak of `threads` cores at the ISA in use, in FLOP/s (a multiply-add counts two).

    Register-only multiply-adds, measured for about `seconds`: what no convolution without a faster algorithm can pass.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"multiply_add_peak: dtype must be float32 or float64, got {dtype!r}")
    cdef const ck_kernels *k = table(8 if dtype == "float64" else 4)
    cdef int n = thread_count(threads)[0]
    cdef int t
    cdef Py_ssize_t repeats = 1000
    cdef Py_ssize_t sink_bytes = CK_PROBE_FMAS * 64
    cdef char[::1] sinks = bytearray(n * sink_bytes)
    while True:
        start = time.perf_counter()
        for t in prange(n, nogil=True, schedule="static", num_threads=n):
            k.multiply_add(repeats, &sinks[t * sink_bytes])
        elapsed = time.perf_counter() - start
        if elapsed >= seconds / 2:
            return 2.0 * CK_PROBE_FMAS * k.vector * repeats * n / elapsed
        repeats *= 4


# The environment may force an ISA; a name that cannot run here is an error at import, not a silent switch.
use_isa(os.environ.get("CONVKIT_ISA") or isas()[0])
