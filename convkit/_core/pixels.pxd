# Pixels by their addresses: where a block of target pixels lies, and what each of its taps reads.
from convkit._core.border cimport ceil_div, clip

cdef enum:
    BLOCK = 96                                  # most target pixels of a task, as in plan/conv.py


cdef struct Source:
    const char *origin
    Py_ssize_t size[3]                          # d, h, w
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t step[3]                          # pixels, from one target pixel to the next
    Py_ssize_t pixel                            # bytes of the channels of one group
    const char *zeros


cdef struct Target:
    char *origin
    Py_ssize_t images
    Py_ssize_t stride[4]                        # bytes: n, d, h, w
    Py_ssize_t step[3]                          # pixels, from one pixel of a phase to the next


cdef struct Segment:                            # neighbouring target pixels of one line
    int first, rows                             # place in the block
    Py_ssize_t image                            # byte offset of the image
    Py_ssize_t d, h, w                          # source place of the first pixel for an offset of zero


cdef struct Block:
    int rows, segments
    Segment segment[BLOCK]
    char *target[BLOCK]


cdef inline void locate(Block *b, const Source *s, const Target *y, const Py_ssize_t *run, Py_ssize_t first) noexcept nogil:
    """Source places and target addresses of `b.rows` pixels of a phase, from the flat index `first` on."""
    cdef Py_ssize_t nd = run[4], nh = run[5], nw = run[6]
    cdef Py_ssize_t w = first % nw, h = first // nw % nh, d = first // (nw * nh) % nd, n = first // (nw * nh * nd), i
    cdef int row = 0
    cdef Segment *part
    cdef char *line
    b.segments = 0
    while row < b.rows:
        part = &b.segment[b.segments]
        part.first, part.rows, part.image = row, <int>min(nw - w, <Py_ssize_t>(b.rows - row)), n * s.stride[0]
        part.d, part.h, part.w = d * s.step[0], h * s.step[1], w * s.step[2]
        line = (y.origin + n * y.stride[0] + (run[7] + d * y.step[0]) * y.stride[1] + (run[8] + h * y.step[1]) * y.stride[2]
                + (run[9] + w * y.step[2]) * y.stride[3])
        for i in range(part.rows):
            b.target[row + i] = line + i * (y.step[2] * y.stride[3])
        row += part.rows
        b.segments += 1
        w, h = 0, h + 1
        if h == nh:
            h, d = 0, d + 1
            if d == nd:
                d, n = 0, n + 1


cdef inline void point(const void **pointers, Py_ssize_t block, const Block *b, const Source *s, const Py_ssize_t *taps,
                       Py_ssize_t count) noexcept nogil:
    """The table of pointers: pointers[t * block + r] for tap t and row r."""
    cdef Py_ssize_t t, d, h, w, lo, hi, r, at, step = s.step[2] * s.stride[3]
    cdef int i
    cdef const Segment *part
    cdef const char *line
    for t in range(count):
        for i in range(b.segments):
            part = &b.segment[i]
            d, h, w, at = part.d + taps[3 * t], part.h + taps[3 * t + 1], part.w + taps[3 * t + 2], t * block + part.first
            lo = hi = part.rows                 # rows whose pixels lie inside the line
            if <size_t>d < <size_t>s.size[0] and <size_t>h < <size_t>s.size[1]:
                lo = clip(ceil_div(-w, s.step[2]), 0, part.rows)
                hi = clip(ceil_div(s.size[2] - w, s.step[2]), lo, part.rows)
                line = s.origin + part.image + d * s.stride[1] + h * s.stride[2]
                for r in range(lo, hi):
                    pointers[at + r] = line + w * s.stride[3] + r * step
            for r in range(lo):
                pointers[at + r] = s.zeros
            for r in range(hi, part.rows):
                pointers[at + r] = s.zeros


cdef inline void rebase(const void **pointers, Py_ssize_t block, const size_t *places, const Source *s, int rows,
                        Py_ssize_t count) noexcept nogil:
    """The same table from places that were found before: two numbers each, without a branch, so that it is done in words."""
    cdef size_t *to = <size_t *>pointers
    cdef const size_t *inside
    cdef const size_t *offset
    cdef size_t origin = <size_t>s.origin
    cdef Py_ssize_t t, i
    for t in range(count):
        inside, offset = places + 2 * t * block, places + (2 * t + 1) * block
        for i in range(rows):
            to[t * block + i] = (origin & inside[i]) + offset[i]
