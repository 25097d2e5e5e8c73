/* Depthwise convolution: every channel has filters of its own, so the channels fill the words and nothing is broadcast.
 *
 *     depthwise_strip     y[p][c] = finish( sum over r < rows, k < taps of x[r][p*x_pixel + k*x_tap + c] * w[r][k*w_tap + c] )
 *     depthwise_filters   sums[r][k][c] += sum over l < lines, p < pixels of
 *                                          dy[l*dy_line + p*dy_pixel + c] * x[l*x_line + p*x_pixel + r*x_row + k*x_tap + c]
 *
 * Filters and their sums are packed by words of VL channels, each with all its taps: (words, taps, VL). All pixels exist: what
 * lies in the padding is left out by the caller. Each output has one accumulator and the order r, k; each sum the order l, p.
 *
 * A strip of outputs is summed in registers, so that a filter word is loaded once for the strip; where neighbouring outputs
 * read neighbouring taps, so is a word of x for all taps of a filter row. Loads then stay well under the multiply-adds.
 */
CK_INLINE void strip_of(const int strip, const int taps, const int step, const ck_depthwise *g, const ptrdiff_t n,
                        const vf start, ptrdiff_t x_at, ptrdiff_t w_at, real *y)
{
    vf sums[8];
#pragma GCC unroll 8
    for (int p = 0; p < strip; p++)
        sums[p] = g->resume == CK_STORED ? v_load_n(y + p * g->y_pixel, n) : start;
    if (g->resume == CK_RESIDUAL) {
        const real *residual = (const real *)((const char *)y + g->residual);
#pragma GCC unroll 8
        for (int p = 0; p < strip; p++)
            sums[p] = v_add(start, v_load_n(residual + p * g->y_pixel, n));
    }
    for (ptrdiff_t r = 0; r < g->rows; r++) {
        const real *x = (const real *)g->x[r] + x_at, *w = (const real *)g->w[r] + w_at;
        if (taps) {                                /* known taps; neighbouring outputs lie `step` taps apart */
            vf filter[7];
#pragma GCC unroll 7
            for (int k = 0; k < taps; k++, w += g->w_tap)
                filter[k] = v_load(w);
#pragma GCC unroll 24
            for (int i = 0; i < (strip - 1) * step + taps; i++, x += g->x_tap) {
                const vf a = v_hold(v_load(x));
#pragma GCC unroll 7
                for (int k = 0; k < taps; k++)
                    if (i >= k && (i - k) % step == 0 && (i - k) / step < strip)
                        sums[(i - k) / step] = v_fma(a, filter[k], sums[(i - k) / step]);
            }
        } else {
            for (ptrdiff_t k = 0; k < g->taps; k++, x += g->x_tap, w += g->w_tap) {
                const vf filter = v_load(w);
                const real *from = x;
#pragma GCC unroll 8
                for (int p = 0; p < strip; p++, from += g->x_pixel)
                    sums[p] = v_fma(n == VL ? v_load(from) : v_load_n(from, n), filter, sums[p]);
            }
        }
    }
    if (g->relu)
#pragma GCC unroll 8
        for (int p = 0; p < strip; p++)
            sums[p] = v_max(v_zero(), sums[p]);
#pragma GCC unroll 8
    for (int p = 0; p < strip; p++, y += g->y_pixel) {
        if (n == VL)
            v_store(y, sums[p]);
        else
            v_store_n(y, sums[p], n);
    }
}

/* All channels of a strip, so that x is read in the order of its memory. */
CK_INLINE void strip_words(const int strip, const int taps, const int step, ptrdiff_t channels, const ck_depthwise *g,
                           ptrdiff_t x, ptrdiff_t w, real *y)
{
    const real *bias = g->bias;
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL, w += g->w_word)
        strip_of(strip, taps, step, g, VL, bias ? v_load(bias + c) : v_zero(), x + c, w, y + c);
    if (c < channels)
        strip_of(strip, 0, 0, g, channels - c, bias ? v_load_n(bias + c, channels - c) : v_zero(), x + c, w, y + c);
}

#define CK_STRIPS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)

/* Strips of nearly equal length, each of which is compiled on its own. */
CK_INLINE void strips_of(const int taps, const int step, ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *shared,
                         ptrdiff_t x, ptrdiff_t w, real *y)
{
    const ck_depthwise g = *shared;                /* no store to y can change this copy */
    const ptrdiff_t strips = (pixels + 7) / 8, shorter = pixels / strips, longer = pixels % strips;
    for (ptrdiff_t i = 0; i < strips; i++) {
        const ptrdiff_t strip = shorter + (i < longer);
        switch (strip) {
#define CK_STRIP(s)                                                                                                         \
    case s:                                                                                                                 \
        strip_words(s, taps, step, channels, &g, x, w, y);                                                                  \
        break;
            CK_STRIPS(CK_STRIP)
#undef CK_STRIP
        }
        x += strip * g.x_pixel;
        y += strip * g.y_pixel;
    }
}

/* taps, step: kept apart, because the compiler would share addresses between them through the stack. */
#define CK_RUNS(X) X(0, 0) X(2, 1) X(3, 1) X(3, 2) X(5, 1) X(5, 2) X(7, 1)
#define CK_RUN(taps, step)                                                                                                  \
    static __attribute__((noinline)) void strips_##taps##_##step(ptrdiff_t pixels, ptrdiff_t channels,                      \
                                                                 const ck_depthwise *g, ptrdiff_t x, ptrdiff_t w, real *y)  \
    {                                                                                                                       \
        strips_of(taps, step, pixels, channels, g, x, w, y);                                                                \
    }
CK_RUNS(CK_RUN)
#undef CK_RUN

static void depthwise_strip(ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *g, ptrdiff_t x, ptrdiff_t w, void *y)
{
#define CK_RUN(known, step)                                                                                                 \
    if (known == 0 || (g->taps == known && g->x_pixel == step * g->x_tap && pixels > 1)) {                                  \
        strips_##known##_##step(pixels, channels, g, x, w, y);                                                              \
        return;                                                                                                             \
    }
    CK_RUN(2, 1) CK_RUN(3, 1) CK_RUN(3, 2) CK_RUN(5, 1) CK_RUN(5, 2) CK_RUN(7, 1) CK_RUN(0, 0)
#undef CK_RUN
}

/* `rows` by `taps` sums of one word of channels. */
CK_INLINE void filters_of(const int rows, const int taps, ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *g,
                          const ptrdiff_t n, const real *dy, const real *x, real *sums)
{
    vf sum[5][7];
#pragma GCC unroll 5
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++)
            sum[r][k] = v_load(sums + r * g->sums_row + k * VL);
    for (ptrdiff_t l = 0; l < lines; l++, dy += g->dy_line, x += g->x_line) {
        const real *d = dy, *row[5];
#pragma GCC unroll 5
        for (int r = 0; r < rows; r++)
            row[r] = x + r * g->x_row;
        for (ptrdiff_t p = 0; p < pixels; p++, d += g->dy_pixel) {
            const vf a = n == VL ? v_load(d) : v_load_n(d, n);
#pragma GCC unroll 5
            for (int r = 0; r < rows; r++) {
#pragma GCC unroll 7
                for (int k = 0; k < taps; k++) {
                    const vf b = n == VL ? v_load(row[r] + k * g->x_tap) : v_load_n(row[r] + k * g->x_tap, n);
                    sum[r][k] = v_fma(a, b, sum[r][k]);
                }
                row[r] += g->x_pixel;
            }
        }
    }
#pragma GCC unroll 5
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++)
            v_store(sums + r * g->sums_row + k * VL, sum[r][k]);
}

/* All sums of one word, in blocks that the registers hold; a last word that is not `whole` goes row by row. */
CK_INLINE void blocks_of(const int whole, ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *g, const ptrdiff_t n,
                         const real *dy, const real *x, real *sums)
{
    const ptrdiff_t tap_blocks = (g->taps + 6) / 7, widest = (g->taps + tap_blocks - 1) / tap_blocks;
    const ptrdiff_t height = !whole ? 1 : SUMS / widest < 5 ? SUMS / widest : 5, row_blocks = (g->rows + height - 1) / height;
    for (ptrdiff_t i = 0; i < row_blocks * tap_blocks; i++) {
        const ptrdiff_t r = g->rows * (i / tap_blocks) / row_blocks, r_end = g->rows * (i / tap_blocks + 1) / row_blocks;
        const ptrdiff_t k = g->taps * (i % tap_blocks) / tap_blocks, k_end = g->taps * (i % tap_blocks + 1) / tap_blocks;
        const real *from = x + r * g->x_row + k * g->x_tap;
        real *to = sums + r * g->sums_row + k * VL;
#define CK_SUMS(rows, taps)                                                                                                 \
    case 8 * rows + taps:                                                                                                   \
        if (rows * taps <= (whole ? SUMS : 7) && (whole || rows == 1))                                                      \
            filters_of(rows, taps, lines, pixels, g, n, dy, from, to);                                                      \
        break;
#define CK_SUMS_ROWS(r) CK_SUMS(r, 1) CK_SUMS(r, 2) CK_SUMS(r, 3) CK_SUMS(r, 4) CK_SUMS(r, 5) CK_SUMS(r, 6) CK_SUMS(r, 7)
        switch (8 * (r_end - r) + k_end - k) {
            CK_SUMS_ROWS(1) CK_SUMS_ROWS(2) CK_SUMS_ROWS(3) CK_SUMS_ROWS(4) CK_SUMS_ROWS(5)
        }
#undef CK_SUMS_ROWS
#undef CK_SUMS
    }
}

static void depthwise_filters(ptrdiff_t lines, ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise_filters *g,
                              const void *dy_from, const void *x_from, void *sums_from)
{
    const real *dy = dy_from, *x = x_from;
    real *sums = sums_from;
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL, sums += g->sums_word)
        blocks_of(1, lines, pixels, g, VL, dy + c, x + c, sums);
    if (c < channels)
        blocks_of(0, lines, pixels, g, channels - c, dy + c, x + c, sums);
}
