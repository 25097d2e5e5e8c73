# Tiles of Winograd's convolution: an axis is a row of the tables of plan/winograd.py for each of its tiles, longer forms first.
from convkit._core.cpu cimport CK_SMALL, ck_patch

cdef enum:
    KINDS = 3                                   # of points along an axis: as csrc/kernels/wino.h has them


cdef struct Tile:
    Py_ssize_t target, source                   # first pixels
    Py_ssize_t form, count, keep, lo, hi        # as in ck_patch and ck_fold


cdef struct Axis:
    const Tile *tile
    Py_ssize_t count
    Py_ssize_t used[KINDS]                      # how many of them, the first ones, have points of each kind


cdef inline Axis axis_of(const Py_ssize_t[:, ::1] table) noexcept:
    cdef Axis axis
    cdef Py_ssize_t i
    axis.tile, axis.count = <const Tile *>&table[0, 0], table.shape[0]
    axis.used[:] = [axis.count, 0, 0]
    for i in range(axis.count):                 # CK_FOUR leaves out the points of kinds 1 and 2, CK_FIVE that of kind 2
        axis.used[1] += axis.tile[i].form <= CK_SMALL or axis.tile[i].form > 4
        axis.used[2] += axis.tile[i].form <= CK_SMALL or axis.tile[i].form > 5
    return axis


cdef inline int kind_along(Py_ssize_t place) noexcept nogil:
    return <int>place - 2 if 3 <= place <= 4 else 0


cdef struct Area:                               # lines of tiles (over images and planes), from column to column
    Py_ssize_t first_line, last_line, first, last


cdef inline Py_ssize_t lines_used(const Axis *h, const Area *area, Py_ssize_t line, int kind) noexcept nogil:
    """How many lines of an area before `line` have points of a kind along h."""
    return (line // h.count * h.used[kind] + min(line % h.count, h.used[kind])
            - area.first_line // h.count * h.used[kind] - min(area.first_line % h.count, h.used[kind]))


cdef inline Py_ssize_t columns_used(const Axis *w, const Area *area, int kind) noexcept nogil:
    return max(<Py_ssize_t>0, min(w.used[kind], area.last) - area.first)


cdef inline Py_ssize_t tiles_used(const Axis *h, const Axis *w, const Area *area, Py_ssize_t point,
                                  Py_ssize_t places_w) noexcept nogil:
    """How many tiles of an area have a point."""
    return (lines_used(h, area, area.last_line, kind_along(point // places_w))
            * columns_used(w, area, kind_along(point % places_w)))


cdef inline void first_of_line(const Axis *h, const Axis *w, const Area *area, Py_ssize_t line, Py_ssize_t row, char *points,
                               void **each) noexcept nogil:
    """Where the first tile of a line stands among those that have points of each kind; `row` bytes lie between tiles."""
    cdef int i, j
    for i in range(KINDS):
        for j in range(KINDS):
            each[i * KINDS + j] = points + lines_used(h, area, line, i) * columns_used(w, area, j) * row


cdef inline void next_tile(void **each, Py_ssize_t row) noexcept nogil:
    cdef int kind
    for kind in range(KINDS * KINDS):
        each[kind] = <char *>each[kind] + row


cdef inline Py_ssize_t odd_lines(Py_ssize_t elements, Py_ssize_t itemsize) noexcept nogil:
    """At least `elements`, and an odd number of cache lines: neighbours then never meet in one set of a cache."""
    cdef Py_ssize_t line = 64 // itemsize
    return ((elements + line - 1) // line | 1) * line


cdef inline Py_ssize_t panel_start(Py_ssize_t words, Py_ssize_t panels, Py_ssize_t panel) noexcept nogil:
    """In words of channels, which the panels share evenly."""
    return words * panel // panels


cdef inline void pixels_of(ck_patch *patch, const Tile *th, const Tile *tw, bint inside) noexcept nogil:
    """The pixels of the source that a tile reads; not `inside`, its plane lies in the padding."""
    patch.form[0], patch.form[1] = th.form, tw.form
    patch.lo[0], patch.lo[1] = th.lo if inside else 0, tw.lo
    patch.hi[0], patch.hi[1] = th.hi if inside else 0, tw.hi
