# The contract of csrc/convkit.h as Cython sees it, and what the other modules need of cpu.pyx.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "convkit.h" nogil:
    ctypedef enum ck_dtype:
        CK_FLOAT32, CK_FLOAT64

    enum:
        CK_BIAS, CK_STORED, CK_RESIDUAL, CK_PLAIN, CK_SMALL, CK_FOUR, CK_FIVE, CK_SIX, CK_PROBE_FMAS, CK_MAX_VECS, CK_MAX_ROWS,
        CK_POOL_TAPS, CK_SUMS_TOGETHER, CK_FEW, CK_FEW_TILES

    ctypedef struct ck_finish:
        const void *bias
        Py_ssize_t cols
        int resume
        Py_ssize_t residual
        int relu, stream
        const void *next
        Py_ssize_t pieces

    ctypedef struct ck_patch:
        const void *origin
        Py_ssize_t row, col
        Py_ssize_t form[2]
        Py_ssize_t lo[2]
        Py_ssize_t hi[2]
        Py_ssize_t taps[2]

    ctypedef struct ck_fold:
        const void *bias
        Py_ssize_t adds, residual
        Py_ssize_t row, col
        Py_ssize_t form[2]
        Py_ssize_t count[2]
        Py_ssize_t keep[2]
        Py_ssize_t relu, stream

    ctypedef struct ck_lines:
        const void *const *lines
        Py_ssize_t first
        Py_ssize_t step

    ctypedef enum ck_element:
        CK_REAL, CK_INT, CK_INT16, CK_INT8

    ctypedef struct ck_taps:
        Py_ssize_t count
        Py_ssize_t offset[256]
        unsigned char label[256]
        unsigned char start
        int resume
        int stream, rectified

    ctypedef struct ck_depthwise:
        Py_ssize_t rows
        const void *const *x
        const void *const *w[2]
        int lines
        Py_ssize_t taps, x_tap, w_tap, step, lo, hi, y_pixel, y_line, w_word
        const void *bias
        int resume
        Py_ssize_t residual
        int relu, stream

    ctypedef struct ck_depthwise_filters:
        Py_ssize_t rows, taps, step, lo, hi, dy_line, dy_pixel, x_line, x_row, x_tap, sums_row, sums_word

    ctypedef struct ck_run:
        Py_ssize_t place
        Py_ssize_t span

    ctypedef struct ck_pixels:
        const void *line
        const Py_ssize_t *at

    ctypedef struct ck_group:
        const int *lanes
        const ck_run *run
        Py_ssize_t runs
        Py_ssize_t width
        Py_ssize_t depth
        Py_ssize_t channels
        int alone

    ctypedef enum ck_act:
        CK_RELU, CK_LEAKY, CK_RAMP, CK_HARD_SWISH, CK_ELU, CK_GELU, CK_GELU_TANH, CK_SILU, CK_MISH, CK_SIGMOID, CK_TANH
        CK_SOFTPLUS, CK_SOFTSIGN, CK_NO_ACT

    ctypedef enum ck_softmax:
        CK_SOFTMAX, CK_LOG_SOFTMAX, CK_SOFTMAX_GRAD, CK_LOG_SOFTMAX_GRAD

    ctypedef struct ck_columns:
        const void *center
        const void *scale
        const void *shift
        const void *a
        const void *b
        const void *d
        int relu
        int stream

    ctypedef enum ck_rule:
        CK_STEP, CK_SIGN, CK_ROLL, CK_MEASURE

    ctypedef struct ck_optim:
        ck_rule rule
        double scale, limit, l2, m_keep, m_add, v_keep, v_add, p, q, v_scale, eps, decay, rate, share

    ctypedef struct ck_kernels:
        const char *isa
        int vector
        int vecs
        int rows[5]
        int lines_rows[5]
        void (*tile_rows)(int rows, int vecs, Py_ssize_t taps, Py_ssize_t depth, const void *const *a, Py_ssize_t a_step,
                          const void *b, void *const *c, const ck_finish *finish) noexcept nogil
        void (*tile_lines)(int rows, Py_ssize_t cols, Py_ssize_t lines, Py_ssize_t pixels, const ck_lines *a,
                           const ck_lines *b, const void *next, Py_ssize_t next_step, void *c, Py_ssize_t c_step,
                           int resume) noexcept nogil
        void (*line_tiles)(Py_ssize_t pixels, int vecs, Py_ssize_t taps, Py_ssize_t depth, const void *const *a,
                           Py_ssize_t a_step, const void *b, void *c, Py_ssize_t c_step,
                           const ck_finish *finish) noexcept nogil
        void (*line_sums)(int rows, Py_ssize_t cols, Py_ssize_t lines, Py_ssize_t pixels, const void *const *a,
                          Py_ssize_t groups_step, Py_ssize_t a_step, const void *const *b, Py_ssize_t b_step, void *c,
                          Py_ssize_t c_step) noexcept nogil
        void (*sum_windows)(Py_ssize_t pixels, Py_ssize_t depth, const void *windows, Py_ssize_t a_step, void *line,
                            Py_ssize_t c_step) noexcept nogil
        void (*sum_lines)(Py_ssize_t taps, Py_ssize_t length, const void *const *a, const void *bias, void *line,
                          int relu) noexcept nogil
        void (*pack_panel)(Py_ssize_t depth, Py_ssize_t cols, Py_ssize_t vecs, const void *w, Py_ssize_t depth_step,
                           Py_ssize_t col_step, void *panel) noexcept nogil
        void (*transpose)(Py_ssize_t rows, Py_ssize_t cols, const void *matrix, Py_ssize_t row_step, Py_ssize_t col_step,
                          void *result) noexcept nogil
        void (*sum_rows)(Py_ssize_t rows, Py_ssize_t cols, const void *x, Py_ssize_t row_step, void *sums) noexcept nogil
        void (*max_taps)(ck_element element, int flipped, Py_ssize_t pixels, Py_ssize_t channels, const ck_taps *taps,
                         const void *x, Py_ssize_t x_step, void *y, unsigned char *index, Py_ssize_t y_step) noexcept nogil
        void (*max_spread)(Py_ssize_t pixels, Py_ssize_t channels, const ck_taps *taps, const void *x, Py_ssize_t x_step,
                           const unsigned char *index, const void *dy, Py_ssize_t y_step, void *dx,
                           void *sums) noexcept nogil
        void (*sum_taps)(Py_ssize_t pixels, Py_ssize_t phases, Py_ssize_t channels, const ck_taps *taps, double count,
                         const void *x, const unsigned char *index, Py_ssize_t x_step, void *y,
                         Py_ssize_t y_step) noexcept nogil
        void (*wino_input)(const ck_patch *patch, Py_ssize_t channels, void *const *points, Py_ssize_t step) noexcept nogil
        void (*wino_taps)(const ck_patch *patch, Py_ssize_t channels, void *const *points, Py_ssize_t step) noexcept nogil
        void (*wino_output)(const ck_fold *fold, const void *const *points, Py_ssize_t step, Py_ssize_t channels, void *outputs,
                            int *odd) noexcept nogil
        void (*wino_filter)(const ck_patch *patch, Py_ssize_t depth, Py_ssize_t depth_step, Py_ssize_t cols, int vecs,
                            void *points, Py_ssize_t step) noexcept nogil
        void (*wino_few)(Py_ssize_t depth, Py_ssize_t tiles, const Py_ssize_t *used, const void *taps, const void *v,
                         void *sums, Py_ssize_t step, int resume, const void *next) noexcept nogil
        void (*wino_few_filter)(const ck_patch *patch, Py_ssize_t depth, Py_ssize_t depth_step, Py_ssize_t cols, int vecs,
                                void *points, Py_ssize_t step) noexcept nogil
        void (*wino_scale)(Py_ssize_t point, Py_ssize_t tiles, Py_ssize_t cols, void *products,
                           Py_ssize_t row) noexcept nogil
        void (*depthwise_strip)(Py_ssize_t pixels, Py_ssize_t channels, const ck_depthwise *g, Py_ssize_t x, Py_ssize_t w,
                                void *y) noexcept nogil
        void (*depthwise_filters)(Py_ssize_t lines, Py_ssize_t pixels, Py_ssize_t channels, const ck_depthwise_filters *g,
                                  const void *dy, const void *x, void *sums) noexcept nogil
        void (*group_rows)(int rows, const ck_group *g, Py_ssize_t lines, const ck_pixels *x, Py_ssize_t ahead, const void *w,
                           void *y, Py_ssize_t y_step, Py_ssize_t next, const ck_finish *finish) noexcept nogil
        void (*group_sums)(Py_ssize_t pixels, Py_ssize_t cols, const ck_group *g, Py_ssize_t lines, const ck_pixels *x,
                           const void *dy, Py_ssize_t dy_step, void *sums) noexcept nogil
        void (*act_line)(ck_act act, Py_ssize_t n, const void *x, const void *dy, const double *how, void *y,
                         int stream) noexcept nogil
        void (*softmax_rows)(ck_softmax kind, Py_ssize_t rows, Py_ssize_t n, const void *a, const void *b,
                             void *y) noexcept nogil
        void (*cross_entropy_rows)(Py_ssize_t rows, Py_ssize_t n, const void *x, const int64_t *labels, const void *w,
                                   const void *each, const double *how, void *y, double *losses) noexcept nogil
        void (*column_moments)(Py_ssize_t rows, Py_ssize_t cols, const void *x, Py_ssize_t step, void *sums,
                               Py_ssize_t sums_step) noexcept nogil
        void (*column_apply)(Py_ssize_t rows, Py_ssize_t cols, const ck_columns *g, const void *x, Py_ssize_t step,
                             const void *residual, void *y) noexcept nogil
        void (*column_sums)(Py_ssize_t rows, Py_ssize_t cols, const ck_columns *g, const void *dy, const void *x,
                            const void *y, Py_ssize_t step, void *sums, Py_ssize_t sums_step) noexcept nogil
        void (*column_grad)(Py_ssize_t rows, Py_ssize_t cols, const ck_columns *g, const void *dy, const void *x,
                            const void *y, Py_ssize_t step, void *dx, void *dresidual) noexcept nogil
        void (*row_norm)(Py_ssize_t rows, Py_ssize_t n, const void *x, const void *w, const void *b, double eps,
                         int centered, void *y, double *stats) noexcept nogil
        void (*row_norm_grad)(Py_ssize_t rows, Py_ssize_t n, const void *dy, const void *x, const void *w, double eps,
                              int centered, const double *stats, void *dx, void *dw, void *db) noexcept nogil
        void (*dropout_line)(Py_ssize_t n, uint64_t first, uint64_t seed, uint32_t threshold, const double *abc,
                             const void *x, void *y) noexcept nogil
        void (*optim_line)(Py_ssize_t n, const ck_optim *how, const void *grad, void *w, void *m, void *v, void *average,
                           double *sums) noexcept nogil
        void (*blend)(Py_ssize_t pixels, Py_ssize_t channels, const Py_ssize_t *first, const Py_ssize_t *place, Py_ssize_t base,
                      Py_ssize_t step, const void *weights, const void *source, void *target, int resume) noexcept nogil
        void (*blend_pairs)(Py_ssize_t pixels, Py_ssize_t channels, const Py_ssize_t *first, const Py_ssize_t *place,
                            const void *weights, const void *above, const void *below, const double *lines, void *y,
                            int stream) noexcept nogil
        void (*multiply_add)(Py_ssize_t repeats, void *sink) noexcept nogil

    const char *const ck_isas[]
    const ck_kernels *ck_find(const char *isa, ck_dtype dtype)

cdef extern from "mode.h" nogil:
    ctypedef unsigned long long ck_mode
    ck_mode ck_flush_subnormals(int flush)
    void ck_write_mode(ck_mode mode)
    void ck_fence()


ctypedef fused real:
    float
    double


# The kernels in use, for the element size of `real`: table(sizeof(real)).
cdef const ck_kernels *table(size_t itemsize) noexcept nogil

cdef inline void end_relu6(const ck_kernels *k, Py_ssize_t itemsize, Py_ssize_t rows, Py_ssize_t cols, char *y,
                           Py_ssize_t step) noexcept nogil:
    """ReLU6 of a block of a result, in place, while a cache holds it; step: bytes from row to row."""
    cdef double how[3]
    cdef Py_ssize_t r
    how[0], how[1], how[2] = 1, 0, 6
    if step == cols * itemsize:
        rows, cols = 1, rows * cols
    for r in range(rows):
        k.act_line(CK_RAMP, cols, y + r * step, NULL, how, y + r * step, 0)


# Whether this call takes subnormal numbers as zero.
cdef bint flushes()

cdef enum:
    LINE = 64                                   # bytes of a cache

# Whether a result, of strides n, d, h, w, is so large that it is written past the caches, a whole line of them at a time.
cdef bint streams(const char *y, const Py_ssize_t *stride, const Py_ssize_t *shape, Py_ssize_t itemsize) noexcept

cdef inline bint lines(Py_ssize_t before, Py_ssize_t channels) noexcept nogil:
    """Whether some channels are such lines, from the bytes before them and of them."""
    return (before | channels) % LINE == 0

cdef inline void fence(bint stream) noexcept nogil:
    """At the end of a task: what went past the caches comes before what other threads are told."""
    if stream:
        ck_fence()


# Ctrl-C in a long call: a loop asks `stopped` before each piece of its work, skips it if that says so, and ends with
# `raise_if_stopped`.
cdef struct Watch:
    double next                                 # when to look for signals again, in seconds; 0 at first
    bint stop

cdef Watch watch() noexcept nogil
cdef bint stopped(Watch *w, int thread, Py_ssize_t piece) noexcept nogil
cdef int raise_if_stopped(const Watch *w) except -1
