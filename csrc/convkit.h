/* The contract between the C kernels and the Cython loops.
 *
 * A kernel is the body of one iteration: it reads and writes the arrays it is given and knows nothing of Python, threads
 * or allocation. Arrays are passed as void pointers because one table type serves float and double; inside a kernel the
 * element type is `real`. All strides and counts are in elements.
 */
#ifndef CONVKIT_H
#define CONVKIT_H

#include <stddef.h>
#include <stdint.h>

enum { CK_MAX_VECS = 4, CK_MAX_ROWS = 14 };        /* the largest register tile of any ISA */
enum { CK_POOL_TAPS = 256 };                       /* as many as a byte can label */
enum { CK_SUMS_TOGETHER = 3 };                     /* rows of line_sums that are neighbours in memory */
enum { CK_PROBE_FMAS = 12 };                       /* enough to hide the latency of any ISA */

typedef enum { CK_FLOAT32, CK_FLOAT64, CK_DTYPES } ck_dtype;

/* What a tile of sums begins with: the bias; what is stored, from an earlier call; the bias and a residual. */
enum { CK_BIAS, CK_STORED, CK_RESIDUAL };

/* Where a tile of sums begins and what happens to it before it is stored. */
typedef struct {
    const void *bias;                              /* one value per output channel of the panel, or NULL for zeros */
    ptrdiff_t cols;                                /* channels to store; the rest of the last vector is padding */
    int resume;                                    /* CK_BIAS, CK_STORED or CK_RESIDUAL */
    ptrdiff_t residual;                            /* bytes from each output to what is added to it */
    int relu;
    int stream;                                    /* the result is large, cols and places are whole lines of the caches */
    const void *next;                              /* what is read soon, to be fetched; NULL fetches the next rows */
    ptrdiff_t pieces;                              /* of it, one for each tile of line_tiles, over and over */
} ck_finish;

/* One operand of a filter gradient: `lines` runs of equally spaced pixels. */
typedef struct {
    const void *const *lines;                      /* first pixel of each run */
    ptrdiff_t first;                               /* channel to start from */
    ptrdiff_t step;                                /* from one pixel to the next */
} ck_lines;

/* Grouped convolution: neighbouring taps of a filter line, from the pixel that the first one reads on. */
enum { CK_GROUP_SPAN = 3, CK_GROUP_DEEP = 4 };     /* most taps of a run; channels of a group that are summed together */
typedef struct {
    ptrdiff_t place, span;
} ck_run;

/* A line of pixels that lie anyhow: pixel p is at[p] bytes from `line`. */
typedef struct {
    const void *line;
    const ptrdiff_t *at;
} ck_pixels;

/* The groups of one SIMD word. */
typedef struct {
    const int32_t *lanes;                          /* (depth, vector) the channel of a word of x that each output reads */
    const ck_run *run;
    ptrdiff_t runs, width;                         /* of a line of the filter; pixels of a line of x */
    ptrdiff_t depth, channels;                     /* inputs of a group, of the word */
    int alone;                                     /* one group, or a part of one */
} ck_group;

/* Elements of max pooling: the float type of the table, integers as wide as it, narrower ones. */
typedef enum { CK_REAL, CK_INT, CK_INT16, CK_INT8 } ck_element;

/* What a target pixel of a pooling pass reads. */
typedef struct {
    ptrdiff_t count;
    ptrdiff_t offset[CK_POOL_TAPS];                /* from the source pixel */
    uint8_t label[CK_POOL_TAPS];
    uint8_t start;                                 /* the label of what a maximum starts from */
    int rectified;                                 /* a labelled maximum of floats starts from 0 */
    int resume;                                    /* go on from what the target holds */
    int stream;                                    /* the target is too large for the caches */
} ck_taps;

/* How Winograd's convolution treats an axis of a tile; see kernels/points.h. */
enum { CK_PLAIN = 1, CK_SMALL = 2, CK_FOUR = 4, CK_FIVE = 5, CK_SIX = 6 };

/* Rows of a block of filters that are brought to the points while they are multiplied, and tiles: kernels/wino_few.h. */
enum { CK_FEW = 16, CK_FEW_TILES = 4 };

/* A tile of pixels, rows by columns; those outside of lo..hi count as zero and are not read. The numbers are as wide as a
 * register: a pair of ints would be read at once, which has to wait until both are written to the cache. */
typedef struct {
    const void *origin;                            /* of pixel (0, 0), whether it is inside or not */
    ptrdiff_t row, col;                            /* from one pixel to the next */
    ptrdiff_t form[2], lo[2], hi[2];
    ptrdiff_t taps[2];                             /* of wino_taps, wino_filter: the pixels are that many taps */
} ck_patch;

/* What becomes of a tile of products. */
typedef struct {
    const void *bias;                              /* one value per channel, or NULL */
    ptrdiff_t adds, residual;                      /* whether something is added, and bytes to it from each output */
    ptrdiff_t row, col;                            /* from one output to the next */
    ptrdiff_t form[2], count[2];                   /* outputs of the tile */
    ptrdiff_t keep[2];                             /* those of them to store */
    ptrdiff_t relu, stream;                        /* stream: as in ck_finish */
} ck_fold;
/* What neighbouring target pixels of a depthwise convolution, of one line or two, read and what becomes of their sums. */
typedef struct {
    ptrdiff_t rows;                                /* lines of the source */
    const void *const *x;                          /* a place in each of them */
    const void *const *w[2];                       /* the first tap of its filters for each line of the target, or NULL */
    int lines;                                     /* of the target: 1 or 2 */
    ptrdiff_t taps, x_tap, w_tap;                  /* taps of each line; from one to the next in the source and the filters */
    ptrdiff_t step, lo, hi;                        /* taps from pixel to pixel; columns lo <= i < hi exist */
    ptrdiff_t y_pixel, y_line;                     /* from pixel to pixel, from line to line */
    ptrdiff_t w_word;                              /* from one word of channels to the next in the filters */
    const void *bias;                              /* one value per channel, or NULL for zeros */
    int resume;                                    /* CK_BIAS, CK_STORED or CK_RESIDUAL */
    ptrdiff_t residual;                            /* bytes from each output to what is added to it */
    int relu, stream;                              /* stream: as in ck_finish */
} ck_depthwise;

/* What the gradient of depthwise filters sums over, all from one place on; rows and taps are those of the filters. */
typedef struct {
    ptrdiff_t rows, taps;
    ptrdiff_t step, lo, hi;                        /* as above */
    ptrdiff_t dy_line, dy_pixel;
    ptrdiff_t x_line, x_row, x_tap;
    ptrdiff_t sums_row, sums_word;
} ck_depthwise_filters;

/* Activations and what their parameters a, b, c are; kernels/act.h says how they are worked out. */
#define CK_ACTS(X)                                                                                                          \
    X(CK_RELU)                                                                                                              \
    X(CK_LEAKY)                                    /* x > 0 ? x : a x */                                                    \
    X(CK_RAMP)                                     /* a x + b, held to 0..c */                                              \
    X(CK_HARD_SWISH)                                                                                                        \
    X(CK_ELU)                                      /* x > 0 ? a x : b (exp(c x) - 1) */                                     \
    X(CK_GELU)                                                                                                              \
    X(CK_GELU_TANH)                                                                                                         \
    X(CK_SILU)                                                                                                              \
    X(CK_MISH)                                                                                                              \
    X(CK_SIGMOID)                                                                                                           \
    X(CK_TANH)                                                                                                              \
    X(CK_SOFTPLUS)                                 /* b log(1 + exp(a x)), b = 1/a */                                        \
    X(CK_SOFTSIGN)
#define CK_LIST(name) name,
typedef enum { CK_ACTS(CK_LIST) CK_NO_ACT } ck_act;
#undef CK_LIST

typedef enum { CK_SOFTMAX, CK_LOG_SOFTMAX, CK_SOFTMAX_GRAD, CK_LOG_SOFTMAX_GRAD } ck_softmax;

/* Lines of coefficients, one for each column; kernels/columns.h has the formulas. */
typedef struct {
    const void *center, *scale, *shift;
    const void *a, *b, *d;                         /* of the gradient */
    int relu;                                      /* 6 for relu6 */
    int stream;                                    /* the result is too large for the caches */
} ck_columns;

/* A step of an optimiser; kernels/optim.h has the formulas. */
typedef enum { CK_STEP, CK_SIGN, CK_ROLL, CK_MEASURE } ck_rule;
typedef struct {
    ck_rule rule;
    double scale, limit, l2;                       /* of the gradient */
    double m_keep, m_add, v_keep, v_add;           /* of the averages */
    double p, q, v_scale, eps;                     /* of the direction */
    double decay, rate, share;
} ck_optim;

/* Every kernel: name and arguments. A table with a hole does not compile. The files in kernels/ say what each one does. */
#define CK_KERNELS(X)                                                                                                       \
    X(tile_rows, (int rows, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,              \
                  const void *b, void *const *c, const ck_finish *finish))                                                  \
    X(tile_lines, (int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const ck_lines *a, const ck_lines *b,       \
                   const void *next, ptrdiff_t next_step, void *c, ptrdiff_t c_step, int resume))                                                                  \
    X(line_tiles, (ptrdiff_t pixels, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,     \
                   const void *b, void *c, ptrdiff_t c_step, const ck_finish *finish))                                      \
    X(line_sums, (int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const void *const *a, ptrdiff_t groups_step, \
                  ptrdiff_t a_step, const void *const *b, ptrdiff_t b_step, void *c, ptrdiff_t c_step))                     \
    X(sum_windows, (ptrdiff_t pixels, ptrdiff_t depth, const void *windows, ptrdiff_t a_step, void *line, ptrdiff_t c_step))\
    X(sum_lines, (ptrdiff_t taps, ptrdiff_t length, const void *const *a, const void *bias, void *line, int relu))          \
    X(pack_panel, (ptrdiff_t depth, ptrdiff_t cols, ptrdiff_t vecs, const void *w, ptrdiff_t depth_step,                    \
                   ptrdiff_t col_step, void *panel))                                                                        \
    X(transpose, (ptrdiff_t rows, ptrdiff_t cols, const void *matrix, ptrdiff_t row_step, ptrdiff_t col_step, void *result))   \
    X(sum_rows, (ptrdiff_t rows, ptrdiff_t cols, const void *x, ptrdiff_t row_step, void *sums))                            \
    X(max_taps, (ck_element element, int flipped, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x, \
                 ptrdiff_t x_step, void *y, uint8_t *index, ptrdiff_t y_step))                                              \
    X(max_spread, (ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x, ptrdiff_t x_step,              \
                   const uint8_t *index, const void *dy, ptrdiff_t y_step, void *dx, void *sums))                           \
    X(sum_taps, (ptrdiff_t pixels, ptrdiff_t phases, ptrdiff_t channels, const ck_taps *taps, double count, const void *x,  \
                 const uint8_t *index, ptrdiff_t x_step, void *y, ptrdiff_t y_step))                                        \
    X(wino_input, (const ck_patch *patch, ptrdiff_t channels, void *const *points, ptrdiff_t step))                         \
    X(wino_taps, (const ck_patch *patch, ptrdiff_t channels, void *const *points, ptrdiff_t step))                          \
    X(wino_output, (const ck_fold *fold, const void *const *points, ptrdiff_t step, ptrdiff_t channels, void *outputs,      \
                    int *odd))                                                                                              \
    X(wino_filter, (const ck_patch *patch, ptrdiff_t depth, ptrdiff_t depth_step, ptrdiff_t cols, int vecs, void *points,   \
                    ptrdiff_t step))                                                                                        \
    X(wino_few, (ptrdiff_t depth, ptrdiff_t tiles, const ptrdiff_t *used, const void *taps, const void *v, void *sums,      \
                 ptrdiff_t step, int resume, const void *next))                                                             \
    X(wino_few_filter, (const ck_patch *patch, ptrdiff_t depth, ptrdiff_t depth_step, ptrdiff_t cols, int vecs,             \
                        void *points, ptrdiff_t step))                                                                      \
    X(wino_scale, (ptrdiff_t point, ptrdiff_t tiles, ptrdiff_t cols, void *products, ptrdiff_t row))                        \
    X(depthwise_strip, (ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *g, ptrdiff_t x, ptrdiff_t w, void *y))    \
    X(depthwise_filters, (ptrdiff_t lines, ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise_filters *g,             \
                          const void *dy, const void *x, void *sums))                                                       \
    X(group_rows, (int rows, const ck_group *g, ptrdiff_t lines, const ck_pixels *x, ptrdiff_t ahead, const void *w,        \
                   void *y, ptrdiff_t y_step, ptrdiff_t next, const ck_finish *finish))                                     \
    X(group_sums, (ptrdiff_t pixels, ptrdiff_t cols, const ck_group *g, ptrdiff_t lines, const ck_pixels *x,                \
                   const void *dy, ptrdiff_t dy_step, void *sums))                                                          \
    X(act_line, (ck_act act, ptrdiff_t n, const void *x, const void *dy, const double *how, void *y, int stream))           \
    X(softmax_rows, (ck_softmax kind, ptrdiff_t rows, ptrdiff_t n, const void *a, const void *b, void *y))                  \
    X(cross_entropy_rows, (ptrdiff_t rows, ptrdiff_t n, const void *x, const int64_t *labels, const void *w,                \
                           const void *each, const double *how, void *y, double *losses))                                   \
    X(column_moments, (ptrdiff_t rows, ptrdiff_t cols, const void *x, ptrdiff_t step, void *sums, ptrdiff_t sums_step))     \
    X(column_apply, (ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *x, ptrdiff_t step,                    \
                     const void *residual, void *y))                                                                        \
    X(column_sums, (ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *dy, const void *x, const void *y,      \
                    ptrdiff_t step, void *sums, ptrdiff_t sums_step))                                                       \
    X(column_grad, (ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *dy, const void *x, const void *y,      \
                    ptrdiff_t step, void *dx, void *dresidual))                                                             \
    X(row_norm, (ptrdiff_t rows, ptrdiff_t n, const void *x, const void *w, const void *b, double eps, int centered,        \
                 void *y, double *stats))                                                                                   \
    X(row_norm_grad, (ptrdiff_t rows, ptrdiff_t n, const void *dy, const void *x, const void *w, double eps, int centered,  \
                      const double *stats, void *dx, void *dw, void *db))                                                   \
    X(dropout_line, (ptrdiff_t n, uint64_t first, uint64_t seed, uint32_t threshold, const double *abc, const void *x,      \
                     void *y))                                                                                              \
    X(optim_line, (ptrdiff_t n, const ck_optim *how, const void *grad, void *w, void *m, void *v, void *average,            \
                   double *sums))                                                                                           \
    X(blend, (ptrdiff_t pixels, ptrdiff_t channels, const ptrdiff_t *first, const ptrdiff_t *place, ptrdiff_t base,         \
              ptrdiff_t step, const void *weights, const void *source, void *target, int resume))                           \
    X(blend_pairs, (ptrdiff_t pixels, ptrdiff_t channels, const ptrdiff_t *first, const ptrdiff_t *place,                   \
                    const void *weights, const void *above, const void *below, const double *lines, void *y, int stream))   \
    X(multiply_add, (ptrdiff_t repeats, void *sink))

#define CK_FIELD(name, arguments) void (*name) arguments;
typedef struct {
    const char *isa;
    int vector;                                    /* elements in a SIMD word */
    int vecs;                                      /* widest panel, in words */
    int rows[CK_MAX_VECS + 1];                     /* rows[v]: height of the tile that is v words wide */
    int lines_rows[CK_MAX_VECS + 1];               /* of that of tile_lines */
    CK_KERNELS(CK_FIELD)
} ck_kernels;
#undef CK_FIELD

/* The ISAs this build has, best first, NULL at the end; and the table of one, or NULL where the CPU cannot run it. */
extern const char *const ck_isas[];
const ck_kernels *ck_find(const char *isa, ck_dtype dtype);

#endif
