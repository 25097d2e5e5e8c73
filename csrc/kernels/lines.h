/* The register tile of the gradient of the filters.
 *
 *     c[r][v] = sum over i < lines, p < pixels of a[i][p][r] * b[i][p][v],   r < rows, v < cols, and what c held to `resume`
 *
 * a     pixel p of run i starts at a->lines[i] + a->first + p*a->step
 * b     in the same way
 * c     row r at c + r*c_step
 *
 * rows <= CK_LINES_ROWS[vecs] for vecs = ceil(cols/VL) <= VECS. Each element of c has one accumulator, so its sum has one
 * order: runs, then pixels, then what c held before. Which operand is which is up to the caller. For each pixel what lies at
 * `next` is fetched, next_step bytes further each time: the pieces that many calls read lie too far apart for the hardware to
 * see a stream, and memory keeps up only with fetches that are spread evenly over the time.
 */
#ifndef CK_LINES_ROWS
#define CK_LINES_ROWS CK_TILE_ROWS
#endif
enum { LINES_ROWS = 16 };                          /* most of any ISA: rows need no pointers */

CK_INLINE void lines_of(const int rows, const int vecs, const int whole, ptrdiff_t last, ptrdiff_t lines, ptrdiff_t pixels,
                        const ck_lines *a, const ck_lines *b, const char *next, ptrdiff_t next_step, real *c, ptrdiff_t c_step,
                        int resume)
{
    vf sums[LINES_ROWS][VECS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sums[r][v] = v_zero();

    if (resume)                                    /* what is added at the end comes from far */
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                __builtin_prefetch(c + r * c_step + v * VL, 1);
    enum { AHEAD = 8 };                            /* pixels: their rows of a come from the second-level cache */
    const ptrdiff_t a_step = a->step, b_step = b->step;
    for (ptrdiff_t i = 0; i < lines; i++) {
        const real *left = (const real *)a->lines[i] + a->first, *right = (const real *)b->lines[i] + b->first;
        for (ptrdiff_t p = 0; p < pixels; p++, left += a_step, right += b_step) {
            vf x[VECS];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                x[v] = whole || v < vecs - 1 ? v_load(right + v * VL) : v_load_n(right + v * VL, last);
            __builtin_prefetch(left + AHEAD * a_step);
            __builtin_prefetch(next, 0, 2);
            next += next_step;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const vf dy = v_set1(left[r]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    sums[r][v] = v_fma(dy, x[v], sums[r][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            real *y = c + r * c_step + v * VL;
            if (whole || v < vecs - 1)
                v_store(y, resume ? v_add(v_load(y), sums[r][v]) : sums[r][v]);
            else
                v_store_n(y, resume ? v_add(v_load_n(y, last), sums[r][v]) : sums[r][v], last);
        }
}

/* A mask, even a free one, costs some percent of a loop of nothing but multiply-adds: most tiles are whole and tall. */
CK_INLINE void lines_rows_of(const int vecs, int rows, ptrdiff_t last, ptrdiff_t lines, ptrdiff_t pixels, const ck_lines *a,
                             const ck_lines *b, const char *next, ptrdiff_t next_step, real *c, ptrdiff_t c_step, int resume)
{
    static const int tallest[] = CK_LINES_ROWS;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r > tallest[vecs])                                                                                              \
            break;                                                                                                          \
        if (last == VL && (!FREE_MASKS || r == tallest[vecs]))                                                                                      \
            lines_of(r, vecs, 1, VL, lines, pixels, a, b, next, next_step, c, c_step, resume);                              \
        else                                                                                                                \
            lines_of(r, vecs, 0, last, lines, pixels, a, b, next, next_step, c, c_step, resume);                            \
        break;
    switch (rows) {
        CK_HEIGHTS(CK_HEIGHT) CK_HEIGHT(15) CK_HEIGHT(16)
    }
#undef CK_HEIGHT
}

static void tile_lines(int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const ck_lines *a, const ck_lines *b,
                       const void *next, ptrdiff_t next_step, void *c, ptrdiff_t c_step, int resume)
{
    const int vecs = (int)((cols + VL - 1) / VL);
    const ptrdiff_t last = cols - (vecs - 1) * (ptrdiff_t)VL;
    if (vecs == 1)
        lines_rows_of(1, rows, last, lines, pixels, a, b, next, next_step, c, c_step, resume);
    else if (VECS >= 2 && vecs == 2)
        lines_rows_of(2, rows, last, lines, pixels, a, b, next, next_step, c, c_step, resume);
    else if (VECS >= 3 && vecs == 3)
        lines_rows_of(3, rows, last, lines, pixels, a, b, next, next_step, c, c_step, resume);
    else if (VECS >= 4 && vecs == 4)
        lines_rows_of(4, rows, last, lines, pixels, a, b, next, next_step, c, c_step, resume);
}
