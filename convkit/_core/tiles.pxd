# Tiles of Winograd's convolution along one axis: a row of the tables of plan/winograd.py.
from convkit._core.cpu cimport CK_SMALL, ck_patch


cdef struct Tile:
    Py_ssize_t target, source                   # first pixels
    Py_ssize_t form, count, keep, lo, hi        # as in ck_patch and ck_fold


cdef inline bint has(Py_ssize_t form, Py_ssize_t place) noexcept nogil:
    """Whether a form uses the point at a place: CK_FOUR leaves out 3 and 4, CK_FIVE 4."""
    return form <= CK_SMALL or place == 5 or place < form - 1


cdef inline Py_ssize_t odd_lines(Py_ssize_t elements, Py_ssize_t itemsize) noexcept nogil:
    """At least `elements`, and an odd number of cache lines: neighbouring points then never meet in one set of a cache."""
    cdef Py_ssize_t line = 64 // itemsize
    return ((elements + line - 1) // line | 1) * line


cdef inline void pixels_of(ck_patch *patch, const Tile *th, const Tile *tw, bint inside) noexcept nogil:
    """The pixels of the source that a tile reads; not `inside`, its plane lies in the padding."""
    patch.form[0], patch.form[1] = <int>th.form, <int>tw.form
    patch.lo[0], patch.lo[1] = <int>th.lo if inside else 0, <int>tw.lo
    patch.hi[0], patch.hi[1] = <int>th.hi if inside else 0, <int>tw.hi
