/* Normalisation by statistics of columns: of each channel over the pixels, which are rows.
 *
 *     column_moments   of each column: m, about its mean; the sum of x - m, and that of (x - m)^2
 *     column_apply     y = relu( (x - center) * scale + shift + residual ), or relu6
 *     column_sums      of each column: the sum of g, and that of g * (x - center)
 *     column_grad      dx = a * g + (b * (x - center) + d),  dresidual = g
 *
 * where g is dy, but 0 where the relu gave 0, or relu6 6: read off `y` where there is one, else worked out again from x.
 *
 * x, y, dy, ...   rows `step` apart; residual, y of the gradients, and dresidual may be NULL
 * sums            one line for each figure, `sums_step` apart
 *
 * Rows of one call are few enough for the second-level cache, which column_moments goes over twice, and for a plain sum: what
 * the calls give is put together in double. Subtracting a center near the mean first is exact or nearly so, and keeps all
 * digits where the mean is large beside the deviation.
 */
CK_INLINE vf word(const real *a, ptrdiff_t n) { return n < VL ? v_load_n(a, n) : v_load(a); }

CK_INLINE void put_word(real *y, vf a, ptrdiff_t n)
{
    if (n < VL)
        v_store_n(y, a, n);
    else
        v_store(y, a);
}

enum { HEIGHT = 16 };                                  /* rows at a time: whole lines of few pages, in the order of memory */

/* Adds rows of `vecs` words of columns, of the last one n, to their sums. */
CK_INLINE void panel_means(const int vecs, ptrdiff_t n, ptrdiff_t rows, const real *x, ptrdiff_t step, real *sums)
{
    vf mean[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        mean[v] = word(sums + v * VL, n);
    for (ptrdiff_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            mean[v] = v_add(mean[v], word(x + r * step + v * VL, n));
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        put_word(sums + v * VL, mean[v], n);
}

CK_INLINE void panel_moments(const int vecs, ptrdiff_t n, ptrdiff_t rows, const real *x, ptrdiff_t step, real *sums,
                             ptrdiff_t sums_step)
{
    vf mean[4], first[4], second[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        mean[v] = word(sums + v * VL, n);
        first[v] = word(sums + sums_step + v * VL, n);
        second[v] = word(sums + 2 * sums_step + v * VL, n);
    }
    for (ptrdiff_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const vf off = word(x + r * step + v * VL, n) - mean[v];
            first[v] = v_add(first[v], off);
            second[v] = v_fma(off, off, second[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        put_word(sums + sums_step + v * VL, first[v], n);
        put_word(sums + 2 * sums_step + v * VL, second[v], n);
    }
}

static void column_moments(ptrdiff_t rows, ptrdiff_t cols, const void *from, ptrdiff_t step, void *to, ptrdiff_t sums_step)
{
    const ptrdiff_t height = cols > 4 * VL ? HEIGHT : rows;
    real *sums = to;
    ptrdiff_t c;
    for (int i = 0; i < 3; i++)
        memset(sums + i * sums_step, 0, (size_t)cols * sizeof(real));
    for (ptrdiff_t r = 0; r < rows; r += height) {
        const ptrdiff_t some = rows - r < height ? rows - r : height;
        const real *x = (const real *)from + r * step;
        for (c = 0; c + 4 * VL <= cols; c += 4 * VL)
            panel_means(4, VL, some, x + c, step, sums + c);
        for (; c + VL <= cols; c += VL)
            panel_means(1, VL, some, x + c, step, sums + c);
        if (c < cols)
            panel_means(1, cols - c, some, x + c, step, sums + c);
    }
    for (c = 0; c < cols; c += VL)
        put_word(sums + c, word(sums + c, cols - c) / v_set1((real)rows), cols - c);
    for (ptrdiff_t r = 0; r < rows; r += height) {
        const ptrdiff_t some = rows - r < height ? rows - r : height;
        const real *x = (const real *)from + r * step;
        for (c = 0; c + 4 * VL <= cols; c += 4 * VL)
            panel_moments(4, VL, some, x + c, step, sums + c, sums_step);
        for (; c + VL <= cols; c += VL)
            panel_moments(1, VL, some, x + c, step, sums + c, sums_step);
        if (c < cols)
            panel_moments(1, cols - c, some, x + c, step, sums + c, sums_step);
    }
}

CK_INLINE vf normal_word(const ck_columns *g, ptrdiff_t c, ptrdiff_t n, vf off)
{
    return v_fma(off, word((const real *)g->scale + c, n), word((const real *)g->shift + c, n));
}

CK_INLINE void apply_word(const int plus, const int stream, const ptrdiff_t n, ptrdiff_t c, const ck_columns *g, vf least,
                          vf most, const real *x, const real *residual, real *y)
{
    vf t = normal_word(g, c, n, word(x + c, n) - word((const real *)g->center + c, n));
    if (plus)
        t = v_add(t, word(residual + c, n));
    t = v_min(most, v_max(least, t));
    if (stream)
        v_stream(y + c, t);
    else
        put_word(y + c, t, n);
}

CK_INLINE void apply_words(const int plus, ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const real *x, ptrdiff_t step,
                           const real *residual, real *y)
{
    const vf least = v_set1(g->relu ? 0 : (real)-INFINITY), most = v_set1(g->relu == 6 ? 6 : (real)INFINITY);
    const int stream = g->stream && (uintptr_t)y % sizeof(vf) == 0 && step % VL == 0;
    for (ptrdiff_t r = 0; r < rows; r++, x += step, y += step, residual += plus ? step : 0) {
        ptrdiff_t c = 0;
        for (; stream && c + VL <= cols; c += VL)
            apply_word(plus, 1, VL, c, g, least, most, x, residual, y);
        for (; c + VL <= cols; c += VL)
            apply_word(plus, 0, VL, c, g, least, most, x, residual, y);
        if (c < cols)
            apply_word(plus, 0, cols - c, c, g, least, most, x, residual, y);
    }
    if (stream)
        v_fence();
}

static void column_apply(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *x, ptrdiff_t step,
                         const void *residual, void *y)
{
    if (residual)
        apply_words(1, rows, cols, g, x, step, residual, y);
    else
        apply_words(0, rows, cols, g, x, step, NULL, y);
}

/* dy of n columns from c on, where the relu let it through. */
CK_INLINE vf let_through(const ck_columns *g, ptrdiff_t c, ptrdiff_t n, const real *dy, vf off, const real *y)
{
    const vf slope = word(dy, n);
    if (!g->relu)
        return slope;
    const vf t = y ? word(y, n) : normal_word(g, c, n, off), through = v_if_less(v_zero(), t, slope, v_zero());
    return g->relu == 6 ? v_if_less(t, v_set1(6), through, v_zero()) : through;
}

CK_INLINE void panel_sums(const int vecs, ptrdiff_t n, ptrdiff_t rows, ptrdiff_t c, const ck_columns *g, const real *dy,
                          const real *x, const real *y, ptrdiff_t step, real *sums, ptrdiff_t sums_step)
{
    vf first[4], second[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        first[v] = word(sums + c + v * VL, n);
        second[v] = word(sums + sums_step + c + v * VL, n);
    }
    for (ptrdiff_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const ptrdiff_t at = r * step + c + v * VL;
            const vf off = word(x + at, n) - word((const real *)g->center + c + v * VL, n);
            const vf slope = let_through(g, c + v * VL, n, dy + at, off, y ? y + at : NULL);
            first[v] = v_add(first[v], slope);
            second[v] = v_fma(slope, off, second[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        put_word(sums + c + v * VL, first[v], n);
        put_word(sums + sums_step + c + v * VL, second[v], n);
    }
}

static void column_sums(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *slopes, const void *from,
                        const void *result, ptrdiff_t step, void *to, ptrdiff_t sums_step)
{
    const ptrdiff_t height = cols > 4 * VL ? HEIGHT : rows;
    real *sums = to;
    for (int i = 0; i < 2; i++)
        memset(sums + i * sums_step, 0, (size_t)cols * sizeof(real));
    for (ptrdiff_t r = 0; r < rows; r += height) {
        const ptrdiff_t some = rows - r < height ? rows - r : height;
        const real *dy = (const real *)slopes + r * step, *x = (const real *)from + r * step;
        const real *y = result ? (const real *)result + r * step : NULL;
        ptrdiff_t c = 0;
        for (; c + 4 * VL <= cols; c += 4 * VL)
            panel_sums(4, VL, some, c, g, dy, x, y, step, sums, sums_step);
        for (; c + VL <= cols; c += VL)
            panel_sums(1, VL, some, c, g, dy, x, y, step, sums, sums_step);
        if (c < cols)
            panel_sums(1, cols - c, some, c, g, dy, x, y, step, sums, sums_step);
    }
}

CK_INLINE void grad_word(const int stream, const ptrdiff_t n, ptrdiff_t c, const ck_columns *g, const real *dy, const real *x,
                         const real *y, real *dx, real *dresidual)
{
    const vf off = word(x + c, n) - word((const real *)g->center + c, n);
    const vf slope = let_through(g, c, n, dy + c, off, y ? y + c : NULL);
    const vf rest = v_fma(word((const real *)g->b + c, n), off, word((const real *)g->d + c, n));
    const vf t = v_fma(word((const real *)g->a + c, n), slope, rest);
    if (stream)
        v_stream(dx + c, t);
    else
        put_word(dx + c, t, n);
    if (dresidual)
        put_word(dresidual + c, slope, n);
}

static void column_grad(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *slopes, const void *from,
                        const void *result, ptrdiff_t step, void *to, void *also)
{
    const int stream = g->stream && (uintptr_t)to % sizeof(vf) == 0 && step % VL == 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t at = r * step;
        const real *dy = (const real *)slopes + at, *x = (const real *)from + at;
        const real *y = result ? (const real *)result + at : NULL;
        real *dx = (real *)to + at, *dresidual = also ? (real *)also + at : NULL;
        ptrdiff_t c = 0;
        for (; stream && c + VL <= cols; c += VL)
            grad_word(1, VL, c, g, dy, x, y, dx, dresidual);
        for (; c + VL <= cols; c += VL)
            grad_word(0, VL, c, g, dy, x, y, dx, dresidual);
        if (c < cols)
            grad_word(0, cols - c, c, g, dy, x, y, dx, dresidual);
    }
    if (stream)
        v_fence();
}
