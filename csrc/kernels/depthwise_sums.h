/* The gradient of the filters of a depthwise convolution (depthwise.h):
 *
 *     sums[r][k][c] += sum over l < lines, p < pixels of
 *                      dy[l*dy_line + p*dy_pixel + c] * x[l*x_line + r*x_row + (p*step + k)*x_tap + c]
 *
 * Each sum has one accumulator and the order l, p. Columns i = p*step + k of x that are not lo <= i < hi do not exist.
 *
 * A word of x is loaded once for all sums of its row: it meets the last few words of dy, which slide along in registers. The
 * next word of the pixels is fetched meanwhile: the hardware does not expect a cache line of each pixel.
 */
enum { MOST_ROWS = 5 };                            /* of the filter, together */

CK_INLINE vf depthwise_word(const int whole, const real *p, const ptrdiff_t n)
{
    return whole ? v_load(p) : v_load_n(p, n);
}

/* Pixels j of one line, from first to last: the columns j*step ... j*step + step-1 of x meet dy[j], dy[j-1], ... */
CK_INLINE void line_sums_of(const int rows, const int taps, const int step, const int edge, const int whole, ptrdiff_t first,
                       ptrdiff_t last, ptrdiff_t pixels, const ck_depthwise_filters *g, const ptrdiff_t n, const real *dy,
                       const real *x, vf sum[][MOST_TAPS])
{
    const int back = (taps - 1) / step;            /* words of dy behind the newest one */
    vf slides[MOST_TAPS];
    const real *row[MOST_ROWS];
    slides[0] = v_zero();                          /* else the compiler sees a way to read it before it is set */
    if (!edge && first < last) {
#pragma GCC unroll 7
        for (int m = 1; m <= back; m++)
            slides[m - 1] = depthwise_word(whole, dy + (first - m) * g->dy_pixel, n);
    }
#pragma GCC unroll 5
    for (int r = 0; r < rows; r++)
        row[r] = x + r * g->x_row + first * step * g->x_tap;
    for (ptrdiff_t j = first; j < last; j++) {
        if (!edge) {
#pragma GCC unroll 7
            for (int m = back; m > 0; m--)
                slides[m] = slides[m - 1];
            slides[0] = depthwise_word(whole, dy + j * g->dy_pixel, n);
            __builtin_prefetch(dy + j * g->dy_pixel + VL);
        }
#pragma GCC unroll 7
        for (int i = 0; i < (step < taps ? step : taps); i++) {
            if (edge && (j * step + i < g->lo || j * step + i >= g->hi))
                continue;
#pragma GCC unroll 5
            for (int r = 0; r < rows; r++) {
                const vf a = v_hold(depthwise_word(whole, row[r] + i * g->x_tap, n));
                if (r == rows - 1)
                    __builtin_prefetch(row[r] + i * g->x_tap + VL);
#pragma GCC unroll 7
                for (int m = 0; m <= back; m++)
                    if (i + m * step < taps && (!edge || (m <= j && j - m < pixels)))
                        sum[r][i + m * step] = v_fma(a, edge ? depthwise_word(whole, dy + (j - m) * g->dy_pixel, n) : slides[m],
                                                     sum[r][i + m * step]);
            }
        }
#pragma GCC unroll 5
        for (int r = 0; r < rows; r++)
            row[r] += step * g->x_tap;
    }
}

/* `rows` by `taps` sums of one word of channels. */
CK_INLINE void filters_of(const int rows, const int taps, const int step, const int whole, ptrdiff_t lines, ptrdiff_t pixels,
                          const ck_depthwise_filters *g, const ptrdiff_t n, const real *dy, const real *x, real *sums)
{
    const ptrdiff_t back = (taps - 1) / step, all = pixels + back;
    const ptrdiff_t lo = back > (g->lo + step - 1) / step ? back : (g->lo + step - 1) / step;
    const ptrdiff_t hi = pixels < g->hi / step ? pixels : g->hi / step;
    const ptrdiff_t first = lo < all ? lo : all, last = hi > first ? hi : first;
    vf sum[MOST_ROWS][MOST_TAPS];
#pragma GCC unroll 5
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++)
            sum[r][k] = v_load(sums + r * g->sums_row + k * VL);
    for (ptrdiff_t l = 0; l < lines; l++, dy += g->dy_line, x += g->x_line)
        for (int end = 0; end < 2; end++) {        /* columns near the ends of the line are tested one by one */
            line_sums_of(rows, taps, step, 1, whole, end ? last : 0, end ? all : first, pixels, g, n, dy, x, sum);
            if (!end)
                line_sums_of(rows, taps, step, 0, whole, first, last, pixels, g, n, dy, x, sum);
        }
#pragma GCC unroll 5
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++)
            v_store(sums + r * g->sums_row + k * VL, sum[r][k]);
}

/* A row of any taps, apart as many as may be. */
CK_INLINE void any_filters_of(const int taps, const int whole, ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *g,
                              const ptrdiff_t n, const real *dy, const real *x, real *sums)
{
    vf sum[MOST_TAPS];
#pragma GCC unroll 7
    for (int k = 0; k < taps; k++)
        sum[k] = v_load(sums + k * VL);
    for (ptrdiff_t l = 0; l < lines; l++, dy += g->dy_line, x += g->x_line)
        for (ptrdiff_t p = 0; p < pixels; p++) {
            const ptrdiff_t i = p * g->step;
            const vf a = depthwise_word(whole, dy + p * g->dy_pixel, n);
            if (i >= g->lo && i + taps <= g->hi) {
#pragma GCC unroll 7
                for (int k = 0; k < taps; k++)
                    sum[k] = v_fma(a, depthwise_word(whole, x + (i + k) * g->x_tap, n), sum[k]);
            } else {
#pragma GCC unroll 7
                for (int k = 0; k < taps; k++)
                    if (i + k >= g->lo && i + k < g->hi)
                        sum[k] = v_fma(a, depthwise_word(whole, x + (i + k) * g->x_tap, n), sum[k]);
            }
        }
#pragma GCC unroll 7
    for (int k = 0; k < taps; k++)
        v_store(sums + k * VL, sum[k]);
}

/* Up to 7 taps of a row at a time. */
CK_INLINE void any_blocks_of(const int whole, ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *shared,
                             const ptrdiff_t n, const real *dy, const real *x, real *sums)
{
    ck_depthwise_filters g = *shared;
    const ptrdiff_t blocks = (g.taps + MOST_TAPS - 1) / MOST_TAPS;
    for (ptrdiff_t i = 0; i < g.rows * blocks; i++) {
        const ptrdiff_t r = i / blocks, k = g.taps * (i % blocks) / blocks, taps = g.taps * (i % blocks + 1) / blocks - k;
        const real *from = x + r * g.x_row + k * g.x_tap;
        real *to = sums + r * g.sums_row + k * VL;
        g.lo = shared->lo - k;
        g.hi = shared->hi - k;
        switch (taps) {
#define CK_SUMS(taps)                                                                                                       \
    case taps:                                                                                                              \
        any_filters_of(taps, whole, lines, pixels, &g, n, dy, from, to);                                                    \
        break;
            CK_SUMS(1) CK_SUMS(2) CK_SUMS(3) CK_SUMS(4) CK_SUMS(5) CK_SUMS(6) CK_SUMS(7)
#undef CK_SUMS
        }
    }
}

/* All sums of one word, in blocks of as many rows as the registers hold. */
CK_INLINE void blocks_of(const int taps, const int step, const int whole, ptrdiff_t lines, ptrdiff_t pixels,
                         const ck_depthwise_filters *g, const ptrdiff_t n, const real *dy, const real *x, real *sums)
{
    const ptrdiff_t most = taps < 4 ? 3 : SUMS / taps < MOST_ROWS ? SUMS / taps : MOST_ROWS;
    const ptrdiff_t blocks = (g->rows + most - 1) / most;
    for (ptrdiff_t i = 0; i < blocks; i++) {
        const ptrdiff_t r = g->rows * i / blocks, rows = g->rows * (i + 1) / blocks - r;
        const real *from = x + r * g->x_row;
        real *to = sums + r * g->sums_row;
        switch (rows) {
#define CK_SUMS(rows)                                                                                                       \
    case rows:                                                                                                              \
        if (rows <= most)                                                                                                   \
            filters_of(rows, taps, step, whole, lines, pixels, g, n, dy, from, to);                                         \
        break;
            CK_SUMS(1) CK_SUMS(2) CK_SUMS(3) CK_SUMS(4) CK_SUMS(5)
#undef CK_SUMS
        }
    }
}

/* Compiled for each filter and stride of common networks. */
#define CK_RUNS(X) X(2, 1) X(3, 1) X(3, 2) X(5, 1) X(5, 2) X(7, 1)
#define CK_RUN(taps, step)                                                                                                  \
    static __attribute__((noinline)) void sums_##taps##_##step(ptrdiff_t lines, ptrdiff_t pixels,                           \
                                                               const ck_depthwise_filters *g, ptrdiff_t n, const real *dy,  \
                                                               const real *x, real *sums)                                   \
    {                                                                                                                       \
        if (!FREE_MASKS && n == VL)                                                                                         \
            blocks_of(taps, step, 1, lines, pixels, g, VL, dy, x, sums);                                                    \
        else                                                                                                                \
            blocks_of(taps, step, 0, lines, pixels, g, n, dy, x, sums);                                                     \
    }
CK_RUNS(CK_RUN)
#undef CK_RUN

static void sums_any(ptrdiff_t lines, ptrdiff_t pixels, const ck_depthwise_filters *g, ptrdiff_t n, const real *dy,
                     const real *x, real *sums)
{
    if (!FREE_MASKS && n == VL)
        any_blocks_of(1, lines, pixels, g, VL, dy, x, sums);
    else
        any_blocks_of(0, lines, pixels, g, n, dy, x, sums);
}

static void depthwise_filters(ptrdiff_t lines, ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise_filters *shared,
                              const void *dy_from, const void *x_from, void *sums_from)
{
    const ck_depthwise_filters g = *shared;
    const real *dy = dy_from, *x = x_from;
    real *sums = sums_from;
    for (ptrdiff_t c = 0; c < channels; c += VL, sums += g.sums_word) {
        const ptrdiff_t n = channels - c < VL ? channels - c : VL;
#define CK_RUN(known, apart)                                                                                                \
    if (g.taps == known && g.step == apart)                                                                                 \
        sums_##known##_##apart(lines, pixels, &g, n, dy + c, x + c, sums);                                                  \
    else
        CK_RUNS(CK_RUN)
            sums_any(lines, pixels, &g, n, dy + c, x + c, sums);
#undef CK_RUN
    }
}
