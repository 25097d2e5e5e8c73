/* Layers with few channels, whose pixels lie so close that a few neighbours fill a row of the filter.
 *
 * line_tiles: the outputs of a line of pixels, all of one panel of filters.
 *
 *     c[p*c_step + o] = finish( sum over t < taps, k < depth of a[t][p*a_step + k] * b[t][k][o] ),   p < pixels, o < cols
 *
 * a     for each tap (a row of the filter) the first input that the line reads; depth and a_step may overlap
 * b     one panel of packed filters as in tile.h, whose order of sums this is
 *
 * line_sums: the gradient of the filters with the outputs in the vector, as the inputs would leave most of it empty.
 *
 *     c[r*c_step + o] += sum over i < lines, p < pixels of a[i*groups_step + r/3][p*a_step + r%3] * b[i][p*b_step + o]
 *
 * r < rows, o < cols. Three rows read neighbouring numbers, so that a tile needs few pointers; rows are a multiple of three
 * up to CK_TILE_ROWS[ceil(cols/VL)], or one or two. The sum has one order: lines, pixels, then what c held.
 */
enum { LINE = 64 };                                /* bytes that one fetch brings */

/* Where the rows of a tile begin. */
CK_INLINE void line_rows(const int rows, real *c, ptrdiff_t c_step, void **out)
{
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++, c += c_step)
        out[r] = c;
}

CK_INLINE void line_tile(const int rows, const int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a,
                         ptrdiff_t first, ptrdiff_t a_step, const real *b, real *c, ptrdiff_t c_step,
                         const ck_finish *finish, const char *next)
{
    enum { TOGETHER = 3 };                         /* rows to a pointer: all of them fit the general registers */
    vf sums[CK_MAX_ROWS][VECS];
    void *out[CK_MAX_ROWS];
    line_rows(rows, c, c_step, out);
    tile_start(rows, vecs, sums, out, finish);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)                 /* what the next tile writes: there are few sums to hide its arrival */
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            __builtin_prefetch((real *)out[r] + rows * c_step + v * VL, 1);
    for (ptrdiff_t t = 0; t < taps; t++) {
        const real *row[CK_MAX_ROWS], *line = (const real *)a[t] + first * a_step;
        const char *ahead = next ? next + t * depth * LINE : (const char *)(line + rows * a_step);
        const ptrdiff_t ahead_step = next ? LINE : rows * (ptrdiff_t)sizeof(real);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r += TOGETHER)
            row[r] = line + r * a_step;
        for (ptrdiff_t k = 0; k < depth; k++, b += vecs * VL) {
            vf filter[VECS];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                filter[v] = v_load(b + v * VL);
            __builtin_prefetch(ahead);
            ahead += ahead_step;
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                const vf x = v_set1(row[r - r % TOGETHER][r % TOGETHER * a_step]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    sums[r][v] = v_fma(x, filter[v], sums[r][v]);
            }
#pragma GCC unroll 14
            for (int r = 0; r < rows; r += TOGETHER)
                row[r]++;
        }
    }
    CK_HOLD(c);                                    /* found again: pointers that wait for the sums would need registers */
    line_rows(rows, c, c_step, out);
    tile_finish(rows, vecs, sums, out, finish);
}

/* Pixels of one word, without a gap, times filters of one word, which stay in registers. Returns how many of them are done. */
enum { STANDING = 8, STANDS = VL + STANDING <= SUMS };

static __attribute__((noinline)) ptrdiff_t standing_tiles(ptrdiff_t pixels, const real *x, const real *b, real *c,
                                                          const ck_finish *finish)
{
    vf filter[VL];
#pragma GCC unroll 16
    for (int k = 0; k < VL; k++)
        filter[k] = v_hold(v_load(b + k * VL));
    ptrdiff_t p = 0;
    for (; p + STANDING <= pixels; p += STANDING) {
        const real *line = x + p * VL;
        const char *next = finish->next;
        next = next ? next + p / STANDING % finish->pieces * STANDING * LINE : (const char *)(line + STANDING * VL);
        vf sums[STANDING];
#pragma GCC unroll 8
        for (int r = 0; r < STANDING; r++)
            sums[r] = v_zero();
#pragma GCC unroll 16
        for (int k = 0; k < VL; k++) {
            if (k < STANDING)
                __builtin_prefetch(next + k * LINE);
#pragma GCC unroll 8
            for (int r = 0; r < STANDING; r++)
                sums[r] = v_fma(v_set1(line[r * VL + k]), filter[k], sums[r]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < STANDING; r++)
            v_store(c + (p + r) * VL, sums[r]);
    }
    return p;
}

CK_INLINE void line_tiles_of(const int vecs, ptrdiff_t pixels, ptrdiff_t taps, ptrdiff_t depth, const void *const *a,
                             ptrdiff_t a_step, const real *b, real *c, ptrdiff_t c_step, const ck_finish *finish)
{
    static const int tallest[] = CK_TILE_ROWS;
    const int stream = STREAMS && finish->stream;
    real near[CK_MAX_ROWS * VECS * VL] __attribute__((aligned(64)));
    const ptrdiff_t to_step = stream ? vecs * VL : c_step;
    const ptrdiff_t tiles = (pixels + tallest[vecs] - 1) / tallest[vecs], each = pixels / tiles, taller = pixels % tiles;
    for (ptrdiff_t i = 0, first = 0; i < tiles; i++) {
        const int rows = (int)(each + (i < taller));
        const char *next = finish->next;
        real *to = stream ? near : c + first * c_step;
        if (next)
            next += i % finish->pieces * taps * depth * LINE;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r <= tallest[vecs])                                                                                             \
            line_tile(r, vecs, taps, depth, a, first, a_step, b, to, to_step, finish, next);                                \
        break;
        switch (rows) {
            CK_HEIGHTS(CK_HEIGHT)
        }
#undef CK_HEIGHT
        if (stream)
            stream_words(rows, vecs, near, to_step, c + first * c_step, c_step, VL);
        first += rows;
    }
}

static void line_tiles(ptrdiff_t pixels, int vecs, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step,
                       const void *b, void *c, ptrdiff_t c_step, const ck_finish *finish)
{
    const void *rest = *a;
    if (STANDS && vecs * taps == 1 && depth == VL && a_step == VL && c_step == VL && finish->cols == VL && !finish->bias
        && !finish->relu && finish->resume == CK_BIAS) {
        const ptrdiff_t done = standing_tiles(pixels, *a, b, c, finish);
        if (done == pixels)
            return;
        rest = (const real *)*a + done * VL;
        a = &rest, c = (real *)c + done * VL, pixels -= done;
    }
    if (vecs == 1)
        line_tiles_of(1, pixels, taps, depth, a, a_step, b, c, c_step, finish);
    else if (VECS >= 2 && vecs == 2)
        line_tiles_of(2, pixels, taps, depth, a, a_step, b, c, c_step, finish);
    else if (VECS >= 3 && vecs == 3)
        line_tiles_of(3, pixels, taps, depth, a, a_step, b, c, c_step, finish);
    else if (VECS >= 4 && vecs == 4)
        line_tiles_of(4, pixels, taps, depth, a, a_step, b, c, c_step, finish);
}

CK_INLINE void sums_of(const int rows, const int vecs, const int whole, ptrdiff_t last, ptrdiff_t lines, ptrdiff_t pixels,
                       const void *const *a, ptrdiff_t groups_step, ptrdiff_t a_step, const void *const *b, ptrdiff_t b_step,
                       real *c, ptrdiff_t c_step)
{
    enum { TOGETHER = CK_SUMS_TOGETHER };
    vf sums[CK_MAX_ROWS][VECS];
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sums[r][v] = v_zero();

    for (ptrdiff_t i = 0; i < lines; i++, a += groups_step) {
        const real *group[CK_MAX_ROWS], *dy = b[i];
#pragma GCC unroll 14
        for (int r = 0; r < rows; r += TOGETHER)
            group[r] = a[r / TOGETHER];
        for (ptrdiff_t p = 0; p < pixels; p++, dy += b_step) {
            vf right[VECS];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                right[v] = whole || v < vecs - 1 ? v_load(dy + v * VL) : v_load_n(dy + v * VL, last);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                __builtin_prefetch(dy + pixels * b_step + v * VL);  /* the next call mostly reads the next pixels */
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                const vf x = v_set1(group[r - r % TOGETHER][r % TOGETHER]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    sums[r][v] = v_fma(x, right[v], sums[r][v]);
            }
#pragma GCC unroll 14
            for (int r = 0; r < rows; r += TOGETHER)
                group[r] += a_step;
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            real *to = c + r * c_step + v * VL;
            v_store(to, v_add(v_load(to), sums[r][v]));
        }
}

CK_INLINE void sums_rows_of(const int vecs, int rows, ptrdiff_t last, ptrdiff_t lines, ptrdiff_t pixels, const void *const *a,
                            ptrdiff_t groups_step, ptrdiff_t a_step, const void *const *b, ptrdiff_t b_step, real *c,
                            ptrdiff_t c_step)
{
    static const int tallest[] = CK_TILE_ROWS;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r > tallest[vecs])                                                                                              \
            break;                                                                                                          \
        if (last == VL)                                                                                                     \
            sums_of(r, vecs, 1, VL, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);                           \
        else                                                                                                                \
            sums_of(r, vecs, 0, last, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);                         \
        break;
    switch (rows) {
        CK_HEIGHT(1) CK_HEIGHT(2) CK_HEIGHT(3) CK_HEIGHT(6) CK_HEIGHT(9) CK_HEIGHT(12)
    }
#undef CK_HEIGHT
}

/* c is scratch: its rows are as wide as whole vectors. */
static void line_sums(int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels, const void *const *a, ptrdiff_t groups_step,
                      ptrdiff_t a_step, const void *const *b, ptrdiff_t b_step, void *c, ptrdiff_t c_step)
{
    const int vecs = (int)((cols + VL - 1) / VL);
    const ptrdiff_t last = cols - (vecs - 1) * (ptrdiff_t)VL;
    if (vecs == 1)
        sums_rows_of(1, rows, last, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);
    else if (VECS >= 2 && vecs == 2)
        sums_rows_of(2, rows, last, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);
    else if (VECS >= 3 && vecs == 3)
        sums_rows_of(3, rows, last, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);
    else if (VECS >= 4 && vecs == 4)
        sums_rows_of(4, rows, last, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);
}
