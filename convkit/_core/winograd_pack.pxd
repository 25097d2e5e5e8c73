# Filters at the points of Winograd's convolution.
from convkit._core.cpu cimport CK_FEW, ck_kernels, real

cdef enum:
    BLOCK = 9 * CK_FEW                          # words of a block of wino_few.h


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
    bint few                                    # brought to the points by wino_few.h
    const char *packed                          # its blocks of all of them, or NULL

cdef Filters filters_of(form, taps, bint from_outputs, const real[:, :, :, :, :] w, Py_ssize_t groups, bint few)

cdef const char *block_of(const Filters *f, Py_ssize_t group, Py_ssize_t word, Py_ssize_t slice, Py_ssize_t first,
                          char *aside) noexcept nogil

cdef void at_points(const Filters *f, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t first, Py_ssize_t depth, Py_ssize_t start,
                    Py_ssize_t cols, int vecs, char *points, Py_ssize_t step, char *aside) noexcept nogil
