/* depthwise_strip and depthwise_filters against their formulas. */
#include "check.h"

enum { MOST_ROWS = 6 };

/* Of the columns of a line of x, those lo <= i < hi that exist. */
static void some_columns(ptrdiff_t all, ptrdiff_t *lo, ptrdiff_t *hi)
{
    *lo = draw() % 2 ? ONE_OF(-2, 0) : draw() % (unsigned)(all + 1);
    *hi = draw() % 2 ? all + ONE_OF(0, 3) : (*lo > 0 ? *lo : 0) + draw() % (unsigned)(all - (*lo > 0 ? *lo : 0) + 1);
}

/* Values of `lines` lines of columns lo <= i < hi, `row` from one to the next: where column 0 would be. */
static const real *columns(ptrdiff_t lines, ptrdiff_t row, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t tap, ptrdiff_t channels)
{
    const real *x = input(hi > lo ? (lines - 1) * row + (hi - lo - 1) * tap + channels : 0);
    return (const real *)((uintptr_t)x - (uintptr_t)(lo * tap) * sizeof(real));
}

static void depthwise_strip_once(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t taps, ptrdiff_t step)
{
    const ptrdiff_t words = (channels + now.k->vector - 1) / now.k->vector, word = taps * now.k->vector;
    const ptrdiff_t all = (pixels - 1) * step + taps, x_at = ONE_OF(0, 3);
    ck_depthwise g = { .rows = rows, .taps = taps, .step = step, .lines = (int)ONE_OF(1, 2), .relu = (int)draw() % 2 };
    g.x_tap = channels + ONE_OF(0, 2);
    g.y_pixel = channels + ONE_OF(0, 3);
    g.y_line = pixels * g.y_pixel + ONE_OF(0, 1);
    some_columns(all, &g.lo, &g.hi);
    const int backwards = draw() % 2;
    g.w_tap = backwards ? -now.k->vector : now.k->vector;
    g.w_word = word;
    const ptrdiff_t w_at = backwards ? (taps - 1) * now.k->vector : 0;
    const ptrdiff_t outputs = (g.lines - 1) * g.y_line + (pixels - 1) * g.y_pixel + channels;
    const void **x = place((size_t)rows * sizeof *x), **w[2];
    for (int l = 0; l < 2; l++)
        g.w[l] = w[l] = place((size_t)rows * sizeof **w);
    for (ptrdiff_t r = 0; r < rows; r++) {
        x[r] = (const void *)((uintptr_t)columns(1, 0, g.lo, g.hi, g.x_tap, channels) - (uintptr_t)x_at * sizeof(real));
        for (int l = 0; l < g.lines; l++)
            w[l][r] = g.lines == 2 && draw() % 3 == 0 ? NULL : input(words * word);
    }
    const real *bias = g.bias = draw() % 2 ? input(channels) : NULL;
    g.x = x;
    real *y = numbers(outputs);
    const real *added;
    g.resume = a_start(y, outputs, &added, &g.residual);
    double *before = copy_of(y, outputs);
    now.k->depthwise_strip(pixels, channels, &g, x_at, w_at, y);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t l = i / g.y_line, p = i % g.y_line / g.y_pixel, c = i % g.y_line % g.y_pixel;
        if (c >= channels || p >= pixels) {
            if ((double)y[i] != before[i])
                fail("channel %ld of %ld was written", (long)c, (long)channels);
            continue;
        }
        double size, sum = begun(g.resume, before[i], bias, c, added, i, &size);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t k = 0; k < taps && w[l][r]; k++) {
                const ptrdiff_t filter = c / now.k->vector * word + w_at + k * g.w_tap + c % now.k->vector, at = p * step + k;
                if (at < g.lo || at >= g.hi)
                    continue;
                const double term = (double)((const real *)x[r])[x_at + at * g.x_tap + c] * (double)((const real *)w[l][r])[filter];
                sum += term;
                size += fabs(term);
            }
        expect("y", i, y[i], g.relu && sum < 0 ? 0 : sum, size, rows * taps + 2);
    }
    free(before);
    release();
}

static void check_depthwise_strip(void)
{
    for (ptrdiff_t channels = 1; channels <= 2 * now.k->vector + 1; channels += channels < 3 ? 1 : 1 + draw() % 5)
        for (ptrdiff_t taps = 1; taps <= 8; taps++)
            for (ptrdiff_t pixels = 1; pixels <= 17; pixels += 1 + draw() % 3)
                depthwise_strip_once(pixels, channels, ONE_OF(0, 1, 2, 3), taps, ONE_OF(1, 1, 2, 3));
}

static void depthwise_filters_once(ptrdiff_t lines, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t taps)
{
    const ptrdiff_t vector = now.k->vector, words = (channels + vector - 1) / vector;
    ck_depthwise_filters g = { .rows = rows, .taps = taps };
    g.dy_pixel = channels + ONE_OF(0, 2);
    g.dy_line = pixels * g.dy_pixel + ONE_OF(0, 1);
    g.x_tap = channels + ONE_OF(0, 2);
    g.step = ONE_OF(1, 2, 3);
    const ptrdiff_t all = (pixels - 1) * g.step + taps;
    some_columns(all, &g.lo, &g.hi);
    g.x_row = (all + 6) * g.x_tap;
    g.x_line = ONE_OF(1, 2) * g.x_row;
    g.sums_row = taps * vector;
    g.sums_word = rows * g.sums_row;
    const real *dy = input((lines - 1) * g.dy_line + (pixels - 1) * g.dy_pixel + channels);
    const real *x = columns((lines - 1) * (g.x_line / g.x_row) + rows, g.x_row, g.lo, g.hi, g.x_tap, channels);
    real *sums = numbers(words * g.sums_word);
    double *before = copy_of(sums, words * g.sums_word);
    now.k->depthwise_filters(lines, pixels, channels, &g, dy, x, sums);
    for (ptrdiff_t i = 0; i < words * g.sums_word; i++) {
        const ptrdiff_t c = i / g.sums_word * vector + i % vector, r = i % g.sums_word / g.sums_row, k = i % g.sums_row / vector;
        double sum = before[i], size = fabs(sum);
        for (ptrdiff_t l = 0; l < lines && c < channels; l++)
            for (ptrdiff_t p = 0; p < pixels; p++) {
                const ptrdiff_t at = p * g.step + k;
                if (at < g.lo || at >= g.hi)
                    continue;
                const double term = (double)dy[l * g.dy_line + p * g.dy_pixel + c] *
                                    (double)x[l * g.x_line + r * g.x_row + at * g.x_tap + c];
                sum += term;
                size += fabs(term);
            }
        expect("sums", i, sums[i], sum, size, c < channels ? lines * pixels + 1 : 0);
    }
    free(before);
    release();
}

static void check_depthwise_filters(void)
{
    for (ptrdiff_t channels = 1; channels <= 2 * now.k->vector + 1; channels += 1 + draw() % 5)
        for (ptrdiff_t rows = 1; rows <= MOST_ROWS; rows++)
            for (ptrdiff_t taps = 1; taps <= 9; taps++)
                depthwise_filters_once(ONE_OF(1, 2, 3), ONE_OF(1, 2, 5), channels, rows, taps);
}
