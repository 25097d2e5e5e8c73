/* depthwise_strip and depthwise_filters against their formulas. */
#include "check.h"

enum { MOST_ROWS = 6 };

static void depthwise_strip_once(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t taps, ptrdiff_t stride)
{
    const ptrdiff_t words = (channels + now.k->vector - 1) / now.k->vector, word = taps * now.k->vector;
    ck_depthwise g = { .rows = rows, .taps = taps, .relu = (int)draw() % 2 };
    g.x_tap = channels + ONE_OF(0, 2);
    g.x_pixel = stride * g.x_tap + (draw() % 5 == 0);        /* neighbours need not lie a whole number of taps apart */
    g.y_pixel = channels + ONE_OF(0, 3);
    const int backwards = draw() % 2;
    g.w_tap = backwards ? -now.k->vector : now.k->vector;
    g.w_word = word;
    const ptrdiff_t x_at = ONE_OF(0, 3), w_at = backwards ? (taps - 1) * now.k->vector : 0;
    const ptrdiff_t outputs = (pixels - 1) * g.y_pixel + channels;
    const void **x = place((size_t)rows * sizeof *x), **w = place((size_t)rows * sizeof *w);
    for (ptrdiff_t r = 0; r < rows; r++) {
        x[r] = input(x_at + (pixels - 1) * g.x_pixel + (taps - 1) * g.x_tap + channels);
        w[r] = input(words * word);
    }
    const real *bias = g.bias = draw() % 2 ? input(channels) : NULL;
    g.x = x, g.w = w;
    real *y = numbers(outputs);
    const real *added;
    g.resume = a_start(y, outputs, &added, &g.residual);
    double *before = copy_of(y, outputs);
    now.k->depthwise_strip(pixels, channels, &g, x_at, w_at, y);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t p = i / g.y_pixel, c = i % g.y_pixel;
        if (c >= channels) {
            if ((double)y[i] != before[i])
                fail("channel %ld of %ld was written", (long)c, (long)channels);
            continue;
        }
        double size, sum = begun(g.resume, before[i], bias, c, added, i, &size);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t k = 0; k < taps; k++) {
                const ptrdiff_t filter = c / now.k->vector * word + w_at + k * g.w_tap + c % now.k->vector;
                const double term = (double)((const real *)x[r])[x_at + p * g.x_pixel + k * g.x_tap + c] *
                                    (double)((const real *)w[r])[filter];
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
    g.x_pixel = ONE_OF(1, 2) * g.x_tap;
    g.x_row = (taps + 1) * g.x_tap;
    g.x_line = ONE_OF(1, 2) * g.x_row;
    g.sums_row = taps * vector;
    g.sums_word = rows * g.sums_row;
    const real *dy = input((lines - 1) * g.dy_line + (pixels - 1) * g.dy_pixel + channels);
    const real *x = input((lines - 1) * g.x_line + (pixels - 1) * g.x_pixel + (rows - 1) * g.x_row + (taps - 1) * g.x_tap + channels);
    real *sums = numbers(words * g.sums_word);
    double *before = copy_of(sums, words * g.sums_word);
    now.k->depthwise_filters(lines, pixels, channels, &g, dy, x, sums);
    for (ptrdiff_t i = 0; i < words * g.sums_word; i++) {
        const ptrdiff_t c = i / g.sums_word * vector + i % vector, r = i % g.sums_word / g.sums_row, k = i % g.sums_row / vector;
        double sum = before[i], size = fabs(sum);
        for (ptrdiff_t l = 0; l < lines && c < channels; l++)
            for (ptrdiff_t p = 0; p < pixels; p++) {
                const double term = (double)dy[l * g.dy_line + p * g.dy_pixel + c] *
                                    (double)x[l * g.x_line + p * g.x_pixel + r * g.x_row + k * g.x_tap + c];
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
