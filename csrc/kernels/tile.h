/* The register tile of every dense forward pass and gradient of the input.
 *
 *     c[r][o] = finish( sum over t < taps, k < depth of a[t][r][k] * b[t][k][o] ),   r < rows, o < cols
 *
 * a     pointers to `depth` neighbouring inputs: a[t*a_step + r] for tap t and output row r; a padded tap points at zeros
 * b     one panel of packed filters, (taps, depth, vecs*VL), zeros after the last channel (pack.h)
 * c     pointers to the outputs of each row, `cols` of which are written
 *
 * rows <= CK_TILE_ROWS[vecs], (vecs-1)*VL < cols <= vecs*VL. Each output has one accumulator and a fixed order of sums
 * (taps, then depth), whatever the shape of the tile: how work is split never shows in the bits. The shape of the tile
 * follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), the pointers Dukhan, "The
 * Indirect Convolution Algorithm" (2019).
 */
/* Sums of a large result are stored where a cache holds them first: a loop that serves all tiles takes them on from there, past
 * the caches, while the next ones are made. Only where a word is a line of the caches: parts of lines gained nothing. */
enum { STREAMS = sizeof(vf) == 64 };

static __attribute__((noinline)) void stream_words(ptrdiff_t lines, ptrdiff_t words, const real *near, ptrdiff_t near_line,
                                                   real *y, ptrdiff_t y_line, ptrdiff_t y_word)
{
    for (ptrdiff_t l = 0; l < lines; l++, near += near_line, y += y_line)
        for (ptrdiff_t w = 0; w < words; w++)
            v_stream(y + w * y_word, v_load(near + w * VL));
}

CK_INLINE void tile_start(const int rows, const int vecs, vf sums[][VECS], void *const *c, const ck_finish *finish)
{
    const ptrdiff_t last = finish->cols - (vecs - 1) * VL;
    const real *bias = finish->bias;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        const ptrdiff_t width = v < vecs - 1 ? VL : last;
        const vf first = !bias ? v_zero() : width == VL ? v_load(bias + v * VL) : v_load_n(bias + v * VL, width);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            sums[r][v] = first;
        if (finish->resume == CK_STORED) {
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++)
                sums[r][v] = v_load_n((const real *)c[r] + v * VL, width);
        } else if (finish->resume == CK_RESIDUAL) {
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++)
                sums[r][v] = v_add(first, v_load_n((const real *)((const char *)c[r] + finish->residual) + v * VL, width));
        }
    }
}

CK_INLINE void tile_finish(const int rows, const int vecs, vf sums[][VECS], void *const *c, const ck_finish *finish)
{
    const ptrdiff_t last = finish->cols - (vecs - 1) * VL;
    if (finish->relu) {
        const vf zero = v_zero();
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                sums[r][v] = v_max(zero, sums[r][v]);
    }
    if (last == VL) {                              /* row by row: memory is written in order */
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                v_store((real *)c[r] + v * VL, sums[r][v]);
    } else {
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < vecs - 1; v++)
                v_store((real *)c[r] + v * VL, sums[r][v]);
            v_store_n((real *)c[r] + (vecs - 1) * VL, sums[r][vecs - 1], last);
        }
    }
}

CK_INLINE void tile_of(const int rows, const int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a,
                       ptrdiff_t a_step, const real *b, void *const *c, const ck_finish *finish)
{
    vf sums[CK_MAX_ROWS][VECS];
    tile_start(rows, vecs, sums, c, finish);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)                 /* what is written comes from memory first, while the sums are made */
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            __builtin_prefetch((const real *)c[r] + v * VL, 1);
    const char *next = finish->next;
    for (ptrdiff_t t = 0; t < taps; t++, a += a_step) {
        const real *row[CK_MAX_ROWS];
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            row[r] = a[r];
        if (!finish->next)                         /* the next tile mostly reads the next pixels */
            next = (const char *)(row[0] + rows * depth);
        const ptrdiff_t line = finish->next ? 64 : rows * (ptrdiff_t)sizeof(real);
        for (ptrdiff_t k = 0; k < depth; k++, b += vecs * VL) {
            vf filter[VECS];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                filter[v] = v_load(b + v * VL);
            __builtin_prefetch(next);
            next += line;
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                const vf x = v_set1(row[r][k]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    sums[r][v] = v_fma(x, filter[v], sums[r][v]);
            }
        }
    }
    tile_finish(rows, vecs, sums, c, finish);
}

#define CK_HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)

/* Each height is compiled on its own, so that a short tile costs no more than its rows. */
CK_INLINE void tile_rows_of(const int vecs, int rows, ptrdiff_t taps, ptrdiff_t depth, const void *const *a,
                            ptrdiff_t a_step, const real *b, void *const *c, const ck_finish *finish)
{
    static const int tallest[] = CK_TILE_ROWS;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r <= tallest[vecs])                                                                                             \
            tile_of(r, vecs, taps, depth, a, a_step, b, c, finish);                                                         \
        break;
    switch (rows) {
        CK_HEIGHTS(CK_HEIGHT)
    }
#undef CK_HEIGHT
}

static void stream_tile(int rows, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,
                        const void *b, void *const *c, const ck_finish *finish);

static void tile_rows(int rows, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,
                      const void *b, void *const *c, const ck_finish *finish)
{
    if (STREAMS && finish->stream)
        stream_tile(rows, vecs, taps, depth, a, a_step, b, c, finish);
    else if (vecs == 1)
        tile_rows_of(1, rows, taps, depth, a, a_step, b, c, finish);
    else if (VECS >= 2 && vecs == 2)
        tile_rows_of(2, rows, taps, depth, a, a_step, b, c, finish);
    else if (VECS >= 3 && vecs == 3)
        tile_rows_of(3, rows, taps, depth, a, a_step, b, c, finish);
    else if (VECS >= 4 && vecs == 4)
        tile_rows_of(4, rows, taps, depth, a, a_step, b, c, finish);
}

static __attribute__((noinline)) void stream_tile(int rows, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a,
                                                  ptrdiff_t a_step, const void *b, void *const *c, const ck_finish *finish)
{
    real near[CK_MAX_ROWS * VECS * VL] __attribute__((aligned(64)));
    void *to[CK_MAX_ROWS];
    ck_finish plain = *finish;
    plain.stream = 0;
    for (int r = 0; r < CK_MAX_ROWS; r++)
        to[r] = near + r * vecs * VL;
    tile_rows(rows, vecs, taps, depth, a, a_step, b, to, &plain);
    for (int r = 0; r < rows; r++)
        stream_words(1, vecs, to[r], 0, c[r], 0, VL);
}
