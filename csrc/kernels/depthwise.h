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
                        const real *bias, ptrdiff_t x_at, ptrdiff_t w_at, real *y)
{
    vf sums[8];
#pragma GCC unroll 8
    for (int p = 0; p < strip; p++)
        sums[p] = g->resume ? v_load_n(y + p * g->y_pixel, n) : !bias ? v_zero() : n == VL ? v_load(bias) : v_load_n(bias, n);
    for (ptrdiff_t r = 0; r < g->rows; r++) {
        const real *x = (const real *)g->x[r] + x_at, *w = (const real *)g->w[r] + w_at;
        if (taps) {                                /* known taps; neighbouring outputs lie `step` taps apart */
            vf filter[7];
#pragma GCC unroll 7
            for (int k = 0; k < taps; k++, w += g->w_tap)
                filter[k] = v_load(w);
#pragma GCC unroll 24
            for (int i = 0; i < (strip - 1) * step + taps; i++, x += g->x_tap) {
                const vf a = v_load(x);
#pragma GCC unroll 7
                for (int k = 0; k < taps; k++)
                    if (i >= k && (i - k) % step == 0 && (i - k) / step < strip)
                        sums[(i - k) / step] = v_fma(a, filter[k], sums[(i - k) / step]);
            }
        } else {
            for (ptrdiff_t k = 0; k < g->taps; k++, x += g->x_tap, w += g->w_tap) {
                const vf filter = v_load(w);
#pragma GCC unroll 8
                for (int p = 0; p < strip; p++) {
                    const vf a = n == VL ? v_load(x + p * g->x_pixel) : v_load_n(x + p * g->x_pixel, n);
                    sums[p] = v_fma(a, filter, sums[p]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < strip; p++) {
        if (g->relu)
            sums[p] = v_max(v_zero(), sums[p]);
        if (n == VL)
            v_store(y + p * g->y_pixel, sums[p]);
        else
            v_store_n(y + p * g->y_pixel, sums[p], n);
    }
}

/* One word of channels: the pixels in strips of 8, 4, 2 and 1. */
CK_INLINE void strips_of(const int taps, const int step, ptrdiff_t pixels, const ck_depthwise *g, const ptrdiff_t n,
                         const real *bias, ptrdiff_t x, ptrdiff_t w, real *y)
{
    for (; pixels >= 8; pixels -= 8, x += 8 * g->x_pixel, y += 8 * g->y_pixel)
        strip_of(8, taps, step, g, n, bias, x, w, y);
    if (pixels & 4) {
        strip_of(4, taps, step, g, n, bias, x, w, y);
        x += 4 * g->x_pixel, y += 4 * g->y_pixel;
    }
    if (pixels & 2) {
        strip_of(2, taps, step, g, n, bias, x, w, y);
        x += 2 * g->x_pixel, y += 2 * g->y_pixel;
    }
    if (pixels & 1)
        strip_of(1, taps, step, g, n, bias, x, w, y);
}

CK_INLINE void words_of(const int taps, const int step, ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *g,
                        ptrdiff_t x, ptrdiff_t w, real *y)
{
    const real *bias = g->bias;
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL, w += g->w_word)
        strips_of(taps, step, pixels, g, VL, bias ? bias + c : NULL, x + c, w, y + c);
    if (c < channels)
        strips_of(0, 0, pixels, g, channels - c, bias ? bias + c : NULL, x + c, w, y + c);
}

static void depthwise_strip(ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *g, ptrdiff_t x, ptrdiff_t w, void *y)
{
#define CK_STRIP(k, step)                                                                                                   \
    if (g->taps == k && g->x_pixel == step * g->x_tap) {                                                                    \
        words_of(k, step, pixels, channels, g, x, w, y);                                                                    \
        return;                                                                                                             \
    }
    if (pixels > 1) {
        CK_STRIP(3, 1)
        CK_STRIP(3, 2)
        CK_STRIP(2, 1)
        CK_STRIP(5, 1)
        CK_STRIP(5, 2)
        CK_STRIP(7, 1)
    }
#undef CK_STRIP
    words_of(0, 0, pixels, channels, g, x, w, y);
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

/* All sums of one word, in blocks that the registers hold. */
CK_INLINE void blocks_of(ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *g, const ptrdiff_t n, const real *dy,
                         const real *x, real *sums)
{
    const ptrdiff_t tap_blocks = (g->taps + 6) / 7, widest = (g->taps + tap_blocks - 1) / tap_blocks;
    const ptrdiff_t height = SUMS / widest < 5 ? SUMS / widest : 5, row_blocks = (g->rows + height - 1) / height;
    for (ptrdiff_t i = 0; i < row_blocks * tap_blocks; i++) {
        const ptrdiff_t r = g->rows * (i / tap_blocks) / row_blocks, r_end = g->rows * (i / tap_blocks + 1) / row_blocks;
        const ptrdiff_t k = g->taps * (i % tap_blocks) / tap_blocks, k_end = g->taps * (i % tap_blocks + 1) / tap_blocks;
        const real *from = x + r * g->x_row + k * g->x_tap;
        real *to = sums + r * g->sums_row + k * VL;
#define CK_SUMS(rows, taps)                                                                                                 \
    case 8 * rows + taps:                                                                                                   \
        if (rows * taps <= SUMS)                                                                                            \
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
        blocks_of(lines, pixels, g, VL, dy + c, x + c, sums);
    if (c < channels)
        blocks_of(lines, pixels, g, channels - c, dy + c, x + c, sums);
}
