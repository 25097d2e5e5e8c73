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
enum { CK_PROBE_FMAS = 12 };                       /* enough to hide the latency of any ISA */

typedef enum { CK_FLOAT32, CK_FLOAT64, CK_DTYPES } ck_dtype;

/* Where a tile of sums begins and what happens to it before it is stored. */
typedef struct {
    const void *bias;                              /* one value per output channel of the panel, or NULL for zeros */
    ptrdiff_t cols;                                /* channels to store; the rest of the last vector is padding */
    int resume;                                    /* start from the stored sums of an earlier call instead */
    int relu;
} ck_finish;

/* One operand of a filter gradient: `lines` runs of equally spaced pixels. */
typedef struct {
    const void *const *lines;                      /* first pixel of each run */
    ptrdiff_t first;                               /* channel to start from */
    ptrdiff_t step;                                /* from one pixel to the next */
} ck_lines;

/* Elements of max pooling: the float type of the table, integers as wide as it, narrower ones. */
typedef enum { CK_REAL, CK_INT, CK_INT16, CK_INT8 } ck_element;

/* What a target pixel of a pooling pass reads. */
typedef struct {
    ptrdiff_t count;
    ptrdiff_t offset[CK_POOL_TAPS];                /* from the source pixel */
    uint8_t label[CK_POOL_TAPS];
    uint8_t start;                                 /* the label of what a maximum starts from */
    int resume;                                    /* go on from what the target holds */
    int stream;                                    /* the target is too large for the caches */
} ck_taps;

/* Every kernel: name and arguments. A table with a hole does not compile. The files in kernels/ say what each one does. */
#define CK_KERNELS(X)                                                                                                       \
    X(tile_rows, (int rows, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,              \
                  const void *b, void *const *c, const ck_finish *finish))                                                  \
    X(tile_lines, (int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const ck_lines *a, const ck_lines *b,       \
                   void *c, ptrdiff_t c_step))                                                                              \
    X(line_tiles, (ptrdiff_t pixels, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,     \
                   const void *b, void *c, ptrdiff_t c_step, const ck_finish *finish))                                      \
    X(line_sums, (int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const void *const *a, ptrdiff_t rows_step,   \
                  ptrdiff_t a_step, const void *const *b, ptrdiff_t b_step, void *c, ptrdiff_t c_step))                     \
    X(sum_windows, (ptrdiff_t pixels, ptrdiff_t depth, const void *windows, ptrdiff_t a_step, void *line, ptrdiff_t c_step))\
    X(sum_lines, (ptrdiff_t taps, ptrdiff_t length, const void *const *a, const void *bias, void *line, int relu))          \
    X(pack_panel, (ptrdiff_t depth, ptrdiff_t cols, ptrdiff_t vecs, const void *w, ptrdiff_t depth_step,                    \
                   ptrdiff_t col_step, void *panel))                                                                        \
    X(transpose, (ptrdiff_t rows, ptrdiff_t cols, const void *matrix, ptrdiff_t row_step, ptrdiff_t col_step, void *result))   \
    X(sum_rows, (ptrdiff_t rows, ptrdiff_t cols, const void *x, ptrdiff_t row_step, void *sums))                            \
    X(max_taps, (ck_element element, int flipped, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x, \
                 ptrdiff_t x_step, void *y, uint8_t *index, ptrdiff_t y_step))                                              \
    X(sum_taps, (ptrdiff_t pixels, ptrdiff_t phases, ptrdiff_t channels, const ck_taps *taps, double count, const void *x,  \
                 const uint8_t *index, ptrdiff_t x_step, void *y, ptrdiff_t y_step))                                        \
    X(multiply_add, (ptrdiff_t repeats, void *sink))

#define CK_FIELD(name, arguments) void (*name) arguments;
typedef struct {
    const char *isa;
    int vector;                                    /* elements in a SIMD word */
    int vecs;                                      /* widest panel, in words */
    int rows[CK_MAX_VECS + 1];                     /* rows[v]: height of the tile that is v words wide */
    CK_KERNELS(CK_FIELD)
} ck_kernels;
#undef CK_FIELD

/* The ISAs this build has, best first, NULL at the end; and the table of one, or NULL where the CPU cannot run it. */
extern const char *const ck_isas[];
const ck_kernels *ck_find(const char *isa, ck_dtype dtype);

#endif
