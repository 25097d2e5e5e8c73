# Filters -> their values at the points of Winograd's convolution: all of them for many calls, or some of them for now.
from cython.parallel cimport prange, threadid
from convkit._core.cpu cimport CK_FEW, ck_flush_subnormals, ck_kernels, ck_mode, ck_patch, ck_write_mode, flushes, real, table
from convkit._core.tiles cimport odd_lines, panel_start

cdef enum:
    CHUNK = 32                                  # of the depth, in one piece of packing


cdef Filters filters_of(form, taps, bint from_outputs, const real[:, :, :, :, :] w, Py_ssize_t groups, bint few):
    """w (O, KD, KH, KW, I / groups): the depth is I and the columns O, or `from_outputs` (gradient of the input) the other way
    round and the taps reversed."""
    cdef Filters f
    cdef Py_ssize_t i, outputs = w.shape[0] // groups
    f.k, f.reversed, f.slices, f.itemsize = table(sizeof(real)), from_outputs, w.shape[1], sizeof(real)
    f.few, f.packed = few, NULL
    f.w, f.group = <const char *>&w[0, 0, 0, 0, 0], outputs * w.strides[0]
    for i in range(2):
        f.form[i], f.taps[i] = form[i], taps[i]
    for i in range(3):
        f.tap[i] = w.strides[i + 1] // <Py_ssize_t>sizeof(real)
    f.depth, f.depth_step = w.shape[4], w.strides[4] // <Py_ssize_t>sizeof(real)
    f.cols, f.col_step = outputs, w.strides[0] // <Py_ssize_t>sizeof(real)
    if from_outputs:
        f.depth, f.cols, f.depth_step, f.col_step = f.cols, f.depth, f.col_step, f.depth_step
    return f


cdef const char *first_tap(const Filters *f, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t first, Py_ssize_t start,
                           Py_ssize_t *step) noexcept nogil:
    """Of a row of filters that starts with column `start`; elements to the next tap along h and w."""
    cdef Py_ssize_t i
    cdef const char *origin = f.w + group * f.group + ((f.slices - 1 - slice if f.reversed else slice) * f.tap[0]
                                                       + first * f.depth_step + start * f.col_step) * f.itemsize
    for i in range(2):
        step[i] = f.tap[i + 1]
        if f.reversed:
            origin += (f.taps[i] - 1) * step[i] * f.itemsize
            step[i] = -step[i]
    return origin


cdef void gather(const Filters *f, const char *origin, const Py_ssize_t *step, Py_ssize_t depth, Py_ssize_t cols, int vecs,
                 char *to, Py_ssize_t each) noexcept nogil:
    """All taps of some filters, (depth, columns) of each of them; `each` elements from one tap to the next."""
    cdef Py_ssize_t tap
    for tap in range(f.taps[0] * f.taps[1]):
        f.k.pack_panel(depth, cols, vecs, origin + (tap // f.taps[1] * step[0] + tap % f.taps[1] * step[1]) * f.itemsize,
                       f.depth_step, f.col_step, to + tap * each * f.itemsize)


cdef inline Py_ssize_t words_of(const Filters *f) noexcept nogil:
    return (f.cols + f.k.vector - 1) // f.k.vector


cdef const char *block_of(const Filters *f, Py_ssize_t group, Py_ssize_t word, Py_ssize_t slice, Py_ssize_t first,
                          char *aside) noexcept nogil:
    """The block of wino_few.h that starts with row `first`: a packed one, or gathered `aside`."""
    cdef Py_ssize_t step[2]
    cdef Py_ssize_t vector = f.k.vector, start = word * vector, blocks = (f.depth + CK_FEW - 1) // CK_FEW
    cdef Py_ssize_t number = ((group * words_of(f) + word) * f.slices + slice) * blocks + first // CK_FEW
    cdef const char *origin
    if f.packed != NULL:
        return f.packed + number * BLOCK * vector * f.itemsize
    origin = first_tap(f, group, slice, first, start, step)
    gather(f, origin, step, min(f.depth - first, <Py_ssize_t>CK_FEW), min(f.cols - start, vector), 1, aside, CK_FEW * vector)
    return aside


cdef void at_points(const Filters *f, Py_ssize_t group, Py_ssize_t slice, Py_ssize_t first, Py_ssize_t depth, Py_ssize_t start,
                    Py_ssize_t cols, int vecs, char *points, Py_ssize_t step, char *aside) noexcept nogil:
    """Some rows of a panel that starts with column `start`. Filters whose columns do not lie side by side are gathered
    `aside` first."""
    cdef ck_patch patch
    cdef Py_ssize_t each = depth * vecs * f.k.vector, depth_step = f.depth_step
    cdef Py_ssize_t tap[2]
    cdef const char *origin = first_tap(f, group, slice, first, start, tap)
    patch.origin, patch.row, patch.col = origin, tap[0], tap[1]
    if f.col_step != 1:
        gather(f, origin, tap, depth, cols, vecs, aside, each)
        patch.origin, patch.row, patch.col, depth_step = aside, f.taps[1] * each, each, vecs * f.k.vector
    patch.form[0], patch.form[1], patch.taps[0], patch.taps[1] = f.form[0], f.form[1], f.taps[0], f.taps[1]
    if f.few:
        f.k.wino_few_filter(&patch, depth, depth_step, cols, vecs, points, step)
    else:
        f.k.wino_filter(&patch, depth, depth_step, cols, vecs, points, step)


cdef void block_piece(const Filters *f, Py_ssize_t number, char *packed) noexcept nogil:
    cdef Py_ssize_t blocks = (f.depth + CK_FEW - 1) // CK_FEW, each = blocks * f.slices
    block_of(f, number // (words_of(f) * each), number // each % words_of(f), number // blocks % f.slices,
             number % blocks * CK_FEW, packed + number * BLOCK * f.k.vector * f.itemsize)


cdef void piece(const Filters *f, Py_ssize_t number, Py_ssize_t points, Py_ssize_t step, bint flush, char *packed,
                char *aside) noexcept nogil:
    cdef Py_ssize_t vector = f.k.vector, words = (f.cols + vector - 1) // vector, panels = (words + f.k.vecs - 1) // f.k.vecs
    cdef Py_ssize_t chunks = (f.depth + CHUNK - 1) // CHUNK, first = number % chunks * CHUNK
    cdef Py_ssize_t slice = number // chunks % f.slices, panel = number // (chunks * f.slices) % panels
    cdef Py_ssize_t group = number // (chunks * f.slices * panels)
    cdef Py_ssize_t start = panel_start(words, panels, panel), vecs = panel_start(words, panels, panel + 1) - start
    cdef ck_mode mode = ck_flush_subnormals(flush)
    packed += (group * points * step + start * f.slices * f.depth * vector
               + (slice * f.depth + first) * vecs * vector) * f.itemsize
    at_points(f, group, slice, first, min(f.depth - first, <Py_ssize_t>CHUNK), start * vector,
              min(f.cols - start * vector, vecs * vector), <int>vecs, packed, step, aside)
    ck_write_mode(mode)


def pack(form, taps, Py_ssize_t points, bint from_outputs, const real[:, :, :, :, :] w, Py_ssize_t groups, bint few,
         bint once, real[::1] packed, real[::1] scratch, int threads):
    """w -> (groups, points, panels, slices, depth, panel width), or if once (groups, words, slices, blocks of the depth).

    For `filters_of` the same arguments. `scratch` holds `pack_scratch` elements a thread.
    """
    cdef Filters f = filters_of(form, taps, from_outputs, w, groups, few)
    cdef Py_ssize_t words = words_of(&f), panels = (words + f.k.vecs - 1) // f.k.vecs
    cdef Py_ssize_t t, step = odd_lines(f.slices * f.depth * words * f.k.vector, f.itemsize)
    cdef Py_ssize_t pieces = groups * panels * f.slices * ((f.depth + CHUNK - 1) // CHUNK)
    cdef Py_ssize_t each = pack_scratch(taps, sizeof(real))
    cdef bint flush = flushes()
    if once:
        pieces = groups * words * f.slices * ((f.depth + CK_FEW - 1) // CK_FEW)
        for t in prange(pieces, nogil=True, schedule="static", num_threads=threads):
            block_piece(&f, t, <char *>&packed[0])
        return
    for t in prange(pieces, nogil=True, schedule="static", num_threads=threads):
        piece(&f, t, points, step, flush, <char *>&packed[0], <char *>&scratch[0] + each * threadid() * sizeof(real))


def pack_scratch(taps, Py_ssize_t itemsize):
    """Elements of `pack`'s scratch, a thread."""
    cdef const ck_kernels *k = table(itemsize)
    return taps[0] * taps[1] * CHUNK * k.vecs * k.vector
