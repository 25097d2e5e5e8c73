/* Convolution in groups of a few channels: several groups share a SIMD word.
 *
 *     y[r][o] = finish( sum over i < lines, s < runs, k < depth, t < span[s] of x[i][k][place[s] + t + r][o] * w[i][s][k][t][o] )
 *
 * Word o of a pixel of y holds the outputs of one or several whole groups (or a part of one group). `spread_pixels` gives
 * every output its own copy of the inputs that it reads: element o of word (k, p) of a spread line is channel k of the group
 * of output o at pixel p. A word is spread once and then read by every tap, every row and, through the registers, by the
 * neighbouring taps of a run; so the sums below are multiply-adds of whole words, and no group sees another one's numbers.
 *
 * x     spread lines (depth, width, VL), one for each line of the source that the filter reads
 * w     packed filters (lines, runs, depth, span, VL)
 * runs  taps that read neighbouring pixels: the place of the first one in a spread line and how many there are
 *
 * Each output has one accumulator and one order of sums (lines, runs, depth, taps), whatever the number of rows.
 */
CK_INLINE void spread_channels(const int count, const int whole, ptrdiff_t width, ptrdiff_t channels, const int32_t *lanes,
                               const void *const *x, ptrdiff_t ahead, real *to)
{
    vi from[4];
#pragma GCC unroll 4
    for (int k = 0; k < count; k++)
        from[k] = v_indices(lanes + k * VL);
    for (ptrdiff_t p = 0; p < width; p++, to += VL) {
        const vf pixel = whole ? v_load(x[p]) : v_load_n(x[p], channels);
        __builtin_prefetch((const char *)x[p] + ahead);
#pragma GCC unroll 4
        for (int k = 0; k < count; k++)
            v_store(to + k * width * VL, v_spread(pixel, from[k]));
    }
}

CK_INLINE void spread_depth(const int whole, ptrdiff_t width, ptrdiff_t depth, ptrdiff_t channels, const int32_t *lanes,
                            const void *const *x, ptrdiff_t ahead, real *to)
{
    for (; depth >= 4; depth -= 4, lanes += 4 * VL, to += 4 * width * VL)
        spread_channels(4, whole, width, channels, lanes, x, ahead, to);
    for (; depth >= 1; depth -= 1, lanes += VL, to += width * VL)
        spread_channels(1, whole, width, channels, lanes, x, ahead, to);
}

static void spread_pixels(ptrdiff_t width, ptrdiff_t depth, ptrdiff_t channels, const int32_t *lanes, const void *const *x,
                          ptrdiff_t ahead, void *line)
{
    real *to = line;
    if (lanes && channels == VL)
        spread_depth(1, width, depth, channels, lanes, x, ahead, to);
    else if (lanes)
        spread_depth(0, width, depth, channels, lanes, x, ahead, to);
    else                                           /* one group: all outputs read the same channel */
        for (ptrdiff_t p = 0; p < width; p++, to += VL) {
            __builtin_prefetch((const char *)x[p] + ahead);
            for (ptrdiff_t k = 0; k < depth; k++)
                v_store(to + k * width * VL, v_set1(((const real *)x[p])[k]));
        }
}

/* One run of taps over `rows` pixels: a word of x is loaded once for all of its taps. */
CK_INLINE const real *group_run(const int rows, const int span, ptrdiff_t depth, ptrdiff_t step, const real *x, const real *w,
                                vf *sums)
{
    for (ptrdiff_t k = 0; k < depth; k++, x += step, w += span * VL) {
        vf filter[CK_GROUP_SPAN];
#pragma GCC unroll 4
        for (int t = 0; t < span; t++)
            filter[t] = v_load(w + t * VL);
#pragma GCC unroll 16
        for (int p = 0; p < rows + span - 1; p++) {
            const vf pixel = v_held(v_load(x + p * VL));
#pragma GCC unroll 4
            for (int t = 0; t < span; t++)
                if (p - t >= 0 && p - t < rows)
                    sums[p - t] = v_fma(pixel, filter[t], sums[p - t]);
        }
    }
    return w;
}

CK_INLINE void group_of(const int rows, ptrdiff_t lines, const void *const *x, ptrdiff_t depth, ptrdiff_t width,
                        ptrdiff_t runs, const ck_run *run, const real *w, real *y, ptrdiff_t y_step,
                        ptrdiff_t next, const ck_finish *finish)
{
    vf sums[CK_MAX_ROWS];
    const vf zero = v_zero(), first = finish->bias ? v_load_n(finish->bias, finish->cols) : zero;
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        sums[r] = first;
    for (int r = 0; r < rows; r++)
        __builtin_prefetch((const char *)(y + r * y_step) + next, 1);
    for (ptrdiff_t i = 0; i < lines; i++)
        for (ptrdiff_t s = 0; s < runs; s++) {
            const real *from = (const real *)x[i] + run[s].place * VL;
            if (run[s].span == 3)
                w = group_run(rows, 3, depth, width * VL, from, w, sums);
            else if (run[s].span == 2)
                w = group_run(rows, 2, depth, width * VL, from, w, sums);
            else
                w = group_run(rows, 1, depth, width * VL, from, w, sums);
        }
    if (finish->relu)
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            sums[r] = v_max(zero, sums[r]);
    if (finish->cols == VL) {
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            v_store(y + r * y_step, sums[r]);
    } else {
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            v_store_n(y + r * y_step, sums[r], finish->cols);
    }
}

static void group_rows(int rows, ptrdiff_t lines, const void *const *x, ptrdiff_t depth, ptrdiff_t width, ptrdiff_t runs,
                       const ck_run *run, const void *w, void *y, ptrdiff_t y_step,
                       ptrdiff_t next, const ck_finish *finish)
{
    static const int tallest[] = CK_TILE_ROWS;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r <= tallest[1])                                                                                                \
            group_of(r, lines, x, depth, width, runs, run, w, y, y_step, next, finish);                                           \
        break;
    switch (rows) {
        CK_HEIGHTS(CK_HEIGHT)
    }
#undef CK_HEIGHT
}

/* The gradient of the filters of a run, `deep` channels at a time: sums[k][t] += sum over p of x[k][p + t] * dy[p]. */
CK_INLINE void group_sums_of(const int deep, const int span, const int whole, ptrdiff_t pixels, ptrdiff_t cols, ptrdiff_t step,
                             const real *x, const real *dy, ptrdiff_t dy_step, real *sums)
{
    vf sum[CK_GROUP_DEEP * CK_GROUP_SPAN];
#pragma GCC unroll 12
    for (int i = 0; i < deep * span; i++)
        sum[i] = v_load(sums + i * VL);
    for (ptrdiff_t p = 0; p < pixels; p++, x += VL, dy += dy_step) {
        const vf d = whole ? v_load(dy) : v_load_n(dy, cols);
#pragma GCC unroll 4
        for (int k = 0; k < deep; k++)
#pragma GCC unroll 4
            for (int t = 0; t < span; t++)
                sum[k * span + t] = v_fma(v_load(x + k * step + t * VL), d, sum[k * span + t]);
    }
#pragma GCC unroll 12
    for (int i = 0; i < deep * span; i++)
        v_store(sums + i * VL, sum[i]);
}

CK_INLINE void group_sums_run(const int span, const int whole, ptrdiff_t pixels, ptrdiff_t cols, ptrdiff_t depth, ptrdiff_t step,
                              const real *x, const real *dy, ptrdiff_t dy_step, real *sums)
{
    for (; depth >= 4; depth -= 4, x += 4 * step, sums += 4 * span * VL)
        group_sums_of(4, span, whole, pixels, cols, step, x, dy, dy_step, sums);
    if (depth == 3)
        group_sums_of(3, span, whole, pixels, cols, step, x, dy, dy_step, sums);
    else if (depth == 2)
        group_sums_of(2, span, whole, pixels, cols, step, x, dy, dy_step, sums);
    else if (depth == 1)
        group_sums_of(1, span, whole, pixels, cols, step, x, dy, dy_step, sums);
}

CK_INLINE void group_sums_lines(const int whole, ptrdiff_t pixels, ptrdiff_t cols, ptrdiff_t lines, const void *const *x,
                                ptrdiff_t depth, ptrdiff_t width, ptrdiff_t runs, const ck_run *run, const real *dy,
                                ptrdiff_t dy_step, real *sums)
{
    for (ptrdiff_t i = 0; i < lines; i++)
        for (ptrdiff_t s = 0; s < runs; sums += depth * run[s].span * VL, s++) {
            const real *from = (const real *)x[i] + run[s].place * VL;
            if (run[s].span == 3)
                group_sums_run(3, whole, pixels, cols, depth, width * VL, from, dy, dy_step, sums);
            else if (run[s].span == 2)
                group_sums_run(2, whole, pixels, cols, depth, width * VL, from, dy, dy_step, sums);
            else
                group_sums_run(1, whole, pixels, cols, depth, width * VL, from, dy, dy_step, sums);
        }
}

/* sums (as w above) += x * dy over neighbouring pixels of dy; the elements of a word from `cols` on are not used. */
static void group_sums(ptrdiff_t pixels, ptrdiff_t cols, ptrdiff_t lines, const void *const *x, ptrdiff_t depth,
                       ptrdiff_t width, ptrdiff_t runs, const ck_run *run, const void *dy, ptrdiff_t dy_step, void *sums)
{
    if (cols == VL)
        group_sums_lines(1, pixels, cols, lines, x, depth, width, runs, run, dy, dy_step, sums);
    else
        group_sums_lines(0, pixels, cols, lines, x, depth, width, runs, run, dy, dy_step, sums);
}
