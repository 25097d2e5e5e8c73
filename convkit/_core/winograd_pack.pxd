# Filters at the points of Winograd's convolution.
from convkit._core.cpu cimport ck_kernels, real


cdef struct Filters:                            # as a pass sees them: `depth` rows of `cols`, with `slices` taps along d
    const ck_kernels *k
    int form[2]
    int taps[2]
    bint reversed
    Py_ssize_t slices, depth, cols, itemsize
    const char *w
    Py_ssize_t group                            # bytes to the next
    Py_ssize_t tap[3]
    Py_ssize_t depth_step, col_step             # elements

cdef Filters filters_of(form, taps, bint from_outputs, const real[:, :, :, :, :] w, Py_ssize_t groups)

cdef void at_points(const Filters *f, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t first, Py_ssize_t depth, Py_ssize_t start,
                    Py_ssize_t cols, int vecs, char *points, Py_ssize_t step, char *aside) noexcept nogil
