/* Depthwise convolution: every channel has filters of its own, so the channels fill the words and nothing is broadcast.
 *
 *     y[l][p][c] = finish( sum over r < rows, k < taps of x[r][(p*step + k)*x_tap + c] * w[l][r][k*w_tap + c] )
 *
 * Filters are packed by words of VL channels, each with all its taps: (words, taps, VL). Each output has one accumulator and
 * the order r, k. Columns i = p*step + k of x that are not lo <= i < hi do not exist and are left out.
 *
 * A strip of outputs is summed in registers, so that a filter word is loaded once for the strip and a word of x once for all
 * outputs that read it. With enough registers two lines of outputs go together: they read most lines of x in common. A line
 * of x that one of them does not read has NULL for its filters.
 */
enum { STRIP = 8, LEAST_PAIR = 4, PAIRS = SUMS >= 25, MOST_TAPS = 7 };

/* One line of x for a strip, with known taps. */
CK_INLINE void line_of(const int strip, const int both, const int taps, const int step, const int whole, const ck_depthwise *g,
                       const ptrdiff_t n, uint32_t inside, const real *x, const real *w, const real *w2, vf *sums,
                       vf *sums2)
{
    vf filter[MOST_TAPS], filter2[MOST_TAPS];
#pragma GCC unroll 7
    for (int k = 0; k < taps; k++) {
        filter[k] = v_load(w + k * g->w_tap);
        if (both)
            filter2[k] = v_load(w2 + k * g->w_tap);
    }
    CK_HOLD(inside);                               /* else the compiler prepares all tests and all addresses ahead, in memory */
#pragma GCC unroll 24
    for (int i = 0; i < (strip - 1) * step + taps; i++, x += g->x_tap) {
        CK_HOLD(x);
        if (inside & 1u << i) {
            const vf a = v_hold(whole ? v_load(x) : v_load_n(x, n));
#pragma GCC unroll 7
            for (int k = 0; k < taps; k++)
                if (i >= k && (i - k) % step == 0 && (i - k) / step < strip) {
                    sums[(i - k) / step] = v_fma(a, filter[k], sums[(i - k) / step]);
                    if (both)
                        sums2[(i - k) / step] = v_fma(a, filter2[k], sums2[(i - k) / step]);
                }
        }
    }
}

/* The same for any taps. */
CK_INLINE void line_of_any(const int strip, const int whole, const ck_depthwise *g, const ptrdiff_t n, const ptrdiff_t lo,
                           const ptrdiff_t hi, const real *x, const real *w, vf *sums)
{
    for (ptrdiff_t k = 0; k < g->taps; k++, x += g->x_tap, w += g->w_tap) {
        const vf filter = v_load(w);
        const real *from = x;
        ptrdiff_t i = k;
#pragma GCC unroll 8
        for (int p = 0; p < strip; p++, i += g->step, from += g->step * g->x_tap)
            if (i >= lo && i < hi)
                sums[p] = v_fma(whole ? v_load(from) : v_load_n(from, n), filter, sums[p]);
    }
}

CK_INLINE void strip_of(const int strip, const int lines, const int taps, const int step, const int whole,
                        const ck_depthwise *g, const ptrdiff_t n, const vf start, const uint32_t inside, const ptrdiff_t lo,
                        const ptrdiff_t hi, ptrdiff_t x_at, ptrdiff_t w_at, real *y)
{
    vf sums[2][STRIP];
    const vf least = g->relu ? v_zero() : v_set1(-(real)INFINITY);
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++)
#pragma GCC unroll 8
        for (int p = 0; p < strip; p++)
            sums[l][p] = !taps && g->resume == CK_STORED ? v_load_n(y + p * g->y_pixel, n) : start;
    if (g->resume == CK_RESIDUAL)
#pragma GCC unroll 2
        for (int l = 0; l < lines; l++) {
            const real *residual = (const real *)((const char *)(y + l * g->y_line) + g->residual);
#pragma GCC unroll 8
            for (int p = 0; p < strip; p++)
                sums[l][p] = v_add(start, v_load_n(residual + p * g->y_pixel, n));
        }
    for (ptrdiff_t r = 0; r < g->rows; r++) {
        const real *x = (const real *)g->x[r] + x_at, *w = g->w[0][r], *w2 = lines == 2 ? g->w[1][r] : NULL;
        if (lines == 2 && w && w2)
            line_of(strip, 1, taps, step, whole, g, n, inside, x, w + w_at, w2 + w_at, sums[0], sums[1]);
        else if (w && taps)
            line_of(strip, 0, taps, step, whole, g, n, inside, x, w + w_at, NULL, sums[0], NULL);
        else if (lines == 2 && w2)
            line_of(strip, 0, taps, step, whole, g, n, inside, x, w2 + w_at, NULL, sums[1], NULL);
        else if (w)
            line_of_any(strip, whole, g, n, lo, hi, x, w + w_at, sums[0]);
    }
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++) {
        real *to = y + l * g->y_line;
#pragma GCC unroll 8
        for (int p = 0; p < strip; p++, to += g->y_pixel) {
            CK_HOLD(to);
            if (whole)
                v_store(to, v_max(least, sums[l][p]));
            else
                v_store_n(to, v_max(least, sums[l][p]), n);
        }
    }
}

CK_INLINE uint32_t first_bits(ptrdiff_t n)
{
    return n <= 0 ? 0 : n >= 32 ? ~0u : (1u << n) - 1;
}

/* All channels of a strip, so that x is read in the order of its memory. */
CK_INLINE void strip_words(const int strip, const int lines, const int taps, const int step, ptrdiff_t channels,
                           const ck_depthwise *g, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t x, ptrdiff_t w, real *y)
{
    const real *bias = g->bias;
    const uint32_t inside = first_bits(hi) & ~first_bits(lo);
    ptrdiff_t c = 0;
    for (; !FREE_MASKS && c + VL <= channels; c += VL, w += g->w_word)
        strip_of(strip, lines, taps, step, 1, g, VL, bias ? v_load(bias + c) : v_zero(), inside, lo, hi, x + c, w, y + c);
    for (; c < channels; c += VL, w += g->w_word) {            /* where masks cost nothing, one loop serves all words */
        const ptrdiff_t n = channels - c < VL ? channels - c : VL;
        strip_of(strip, lines, taps, step, 0, g, n, bias ? v_load_n(bias + c, n) : v_zero(), inside, lo, hi, x + c, w, y + c);
    }
}

#define CK_STRIPS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)

/* Strips of nearly equal length, each of which is compiled on its own. */
CK_INLINE void strips_of(const int lines, const int taps, const int step, ptrdiff_t pixels, ptrdiff_t channels,
                         const ck_depthwise *shared, ptrdiff_t x, ptrdiff_t w, real *y)
{
    const ck_depthwise g = *shared;                /* no store to y can change this copy */
    const ptrdiff_t strips = (pixels + STRIP - 1) / STRIP, shorter = pixels / strips, longer = pixels % strips;
    ptrdiff_t lo = g.lo, hi = g.hi;
    for (ptrdiff_t i = 0; i < strips; i++) {
        const ptrdiff_t strip = shorter + (i < longer);
        switch (strip) {
#define CK_STRIP(s)                                                                                                         \
    case s:                                                                                                                 \
        if (lines == 1 || s >= LEAST_PAIR)                                                                                  \
            strip_words(s, lines, taps, step, channels, &g, lo, hi, x, w, y);                                               \
        break;
            CK_STRIPS(CK_STRIP)
#undef CK_STRIP
        }
        lo -= strip * g.step;
        hi -= strip * g.step;
        x += strip * g.step * g.x_tap;
        y += strip * g.y_pixel;
    }
}

/* taps, step: kept apart, because the compiler would share addresses between them through the stack. */
#define CK_RUN(lines, taps, step)                                                                                           \
    static __attribute__((noinline)) void strips_##lines##_##taps##_##step(                                                 \
        ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *g, ptrdiff_t x, ptrdiff_t w, real *y)                     \
    {                                                                                                                       \
        strips_of(lines, taps, step, pixels, channels, g, x, w, y);                                                         \
    }
CK_RUN(1, 0, 0) CK_RUN(1, 1, 1) CK_RUN(1, 2, 1) CK_RUN(1, 3, 1) CK_RUN(1, 3, 2) CK_RUN(1, 5, 1) CK_RUN(1, 5, 2) CK_RUN(1, 7, 1)
CK_RUN(2, 5, 1)
#undef CK_RUN

static void stream_strips(ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *shared, ptrdiff_t x, ptrdiff_t w, real *y);

/* Two lines go together where the registers hold them, otherwise one after the other. */
static void depthwise_strip(ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *shared, ptrdiff_t x, ptrdiff_t w, void *y)
{
    ck_depthwise g = *shared;
    if (STREAMS && g.stream) {
        stream_strips(pixels, channels, shared, x, w, y);
        return;
    }
#define CK_RUN(known, apart)                                                                                                \
    if (PAIRS && g.lines == 2 && pixels >= LEAST_PAIR && g.taps == known && g.step == apart && g.resume != CK_STORED) {     \
        strips_2_##known##_##apart(pixels, channels, &g, x, w, y);                                                          \
        return;                                                                                                             \
    }
    CK_RUN(5, 1)
#undef CK_RUN
    for (int l = 0; l < g.lines; l++, g.w[0] = g.w[1]) {
        real *line = (real *)y + l * g.y_line;
#define CK_RUN(known, apart)                                                                                                \
    if (g.taps == known && g.step == apart && g.resume != CK_STORED)                                                        \
        strips_1_##known##_##apart(pixels, channels, &g, x, w, line);                                                       \
    else
        CK_RUN(1, 1) CK_RUN(2, 1) CK_RUN(3, 1) CK_RUN(3, 2) CK_RUN(5, 1) CK_RUN(5, 2) CK_RUN(7, 1)
            strips_1_0_0(pixels, channels, &g, x, w, line);
#undef CK_RUN
    }
}

/* The same for a large result: a few strips of a few words at a time, 64 words of each line. */
static __attribute__((noinline)) void stream_strips(ptrdiff_t pixels, ptrdiff_t channels, const ck_depthwise *shared,
                                                    ptrdiff_t x, ptrdiff_t w, real *y)
{
    enum { MOST = 8 * STRIP };
    real near[2 * MOST * VL] __attribute__((aligned(64)));
    const ptrdiff_t parts = (channels + MOST / STRIP * VL - 1) / (MOST / STRIP * VL);
    const ptrdiff_t words = (channels / VL + parts - 1) / parts, most = MOST / words / STRIP * STRIP;
    ck_depthwise g = *shared;
    g.stream = 0;
    g.y_pixel = words * VL;
    g.y_line = MOST * VL;
    for (ptrdiff_t p = 0; p < pixels; p += most) {
        const ptrdiff_t some = pixels - p < most ? pixels - p : most;
        for (ptrdiff_t c = 0; c < channels; c += words * VL) {
            const ptrdiff_t wide = channels - c < words * VL ? channels - c : words * VL;
            g.bias = shared->bias ? (const real *)shared->bias + c : NULL;
            depthwise_strip(some, wide, &g, x + p * g.step * g.x_tap + c, w + c / VL * g.w_word, near);
            for (int l = 0; l < g.lines; l++)
                stream_words(some, wide / VL, near + l * g.y_line, g.y_pixel,
                             y + l * shared->y_line + p * shared->y_pixel + c, shared->y_pixel, VL);
        }
        g.lo -= some * g.step;
        g.hi -= some * g.step;
    }
}
