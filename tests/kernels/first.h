/* line_tiles, line_sums, sum_windows and sum_lines against their formulas. */
#include "check.h"

static void line_tiles_once(ptrdiff_t pixels, int vecs, ptrdiff_t cols, ptrdiff_t taps, ptrdiff_t depth, ptrdiff_t a_step,
                            ptrdiff_t c_step)
{
    const ptrdiff_t width = (ptrdiff_t)vecs * now.k->vector;
    const ptrdiff_t outputs = (pixels - 1) * c_step + cols;
    const void **a = place((size_t)taps * sizeof *a);
    for (ptrdiff_t t = 0; t < taps; t++)
        a[t] = input((pixels - 1) * a_step + depth);
    const real *panel = input(taps * depth * width), *bias = draw() % 2 ? input(cols) : NULL;
    real *c = numbers(outputs);
    const real *added;
    ptrdiff_t residual;
    const int start = a_start(c, outputs, &added, &residual);
    const ck_finish finish = { .bias = bias, .cols = cols, .resume = start, .residual = residual, .relu = (int)draw() % 2 };
    double *before = copy_of(c, outputs);
    now.k->line_tiles(pixels, vecs, taps, depth, a, a_step, panel, c, c_step, &finish);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t p = i / c_step, o = i % c_step;
        if (o >= cols) {
            if ((double)c[i] != before[i])
                fail("column %ld of %ld was written", (long)o, (long)cols);
            continue;
        }
        double size, sum = begun(start, before[i], bias, o, added, i, &size);
        for (ptrdiff_t t = 0; t < taps; t++)
            for (ptrdiff_t k = 0; k < depth; k++) {
                const double term = (double)((const real *)a[t])[p * a_step + k] * (double)panel[(t * depth + k) * width + o];
                sum += term;
                size += fabs(term);
            }
        expect("c", i, c[i], finish.relu && sum < 0 ? 0 : sum, size, taps * depth + 2);
    }
    free(before);
    release();
}

static void check_line_tiles(void)
{
    for (int vecs = 1; vecs <= now.k->vecs; vecs++)
        for (ptrdiff_t pixels = 1; pixels <= 2 * now.k->rows[vecs] + 1; pixels++)
            for (int times = 0; times < 4; times++) {
                const ptrdiff_t cols = (vecs - 1) * now.k->vector + 1 + draw() % (unsigned)now.k->vector;
                line_tiles_once(pixels, vecs, cols, ONE_OF(1, 2, 3), ONE_OF(1, 3, 9), ONE_OF(1, 2, 3, 8), cols + ONE_OF(0, 3));
            }
    for (ptrdiff_t pixels = 1; pixels <= 20; pixels++)     /* whole words, where filters may stay in registers, and nearly so */
        for (int times = 0; times < 16; times++) {
            const ptrdiff_t word = now.k->vector;
            line_tiles_once(pixels, 1, word - (times == 0), 1, word, word, word);
        }
}

static void line_sums_once(int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels)
{
    const ptrdiff_t width = (cols + now.k->vector - 1) / now.k->vector * now.k->vector, c_step = width + ONE_OF(0, 2);
    const ptrdiff_t groups = (rows + CK_SUMS_TOGETHER - 1) / CK_SUMS_TOGETHER, a_step = ONE_OF(1, 3);
    const ptrdiff_t groups_step = groups + ONE_OF(0, 1), b_step = cols + ONE_OF(0, 2);
    const ptrdiff_t count = (rows - 1) * c_step + width;
    const ptrdiff_t together = rows < CK_SUMS_TOGETHER ? rows : CK_SUMS_TOGETHER;
    const real *x = input(9 + together + (pixels - 1) * a_step);
    const void **a = place((size_t)(lines * groups_step) * sizeof *a), **b = place((size_t)lines * sizeof *b);
    for (ptrdiff_t i = 0; i < lines * groups_step; i++)
        a[i] = x + draw() % 10;
    for (ptrdiff_t i = 0; i < lines; i++)
        b[i] = input((pixels - 1) * b_step + cols);
    real *c = numbers(count);
    double *before = copy_of(c, count);
    now.k->line_sums(rows, cols, lines, pixels, a, groups_step, a_step, b, b_step, c, c_step);
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t r = at / c_step, o = at % c_step;
        double sum = before[at], size = fabs(sum);
        for (ptrdiff_t i = 0; i < lines && o < cols; i++)
            for (ptrdiff_t p = 0; p < pixels; p++) {
                const real *group = a[i * groups_step + r / CK_SUMS_TOGETHER], *dy = b[i];
                const double term = (double)group[p * a_step + r % CK_SUMS_TOGETHER] * (double)dy[p * b_step + o];
                sum += term;
                size += fabs(term);
            }
        expect("c", at, c[at], sum, size, o < cols ? lines * pixels + 1 : 0);
    }
    free(before);
    release();
}

static void check_line_sums(void)
{
    for (int vecs = 1; vecs <= now.k->vecs; vecs++)
        for (int rows = 1; rows <= now.k->rows[vecs]; rows += rows < CK_SUMS_TOGETHER ? 1 : CK_SUMS_TOGETHER)
            for (int times = 0; times < 4; times++)
                line_sums_once(rows, (vecs - 1) * now.k->vector + 1 + draw() % (unsigned)now.k->vector, ONE_OF(0, 1, 2), ONE_OF(1, 2, 7));
}

static void sum_windows_once(ptrdiff_t pixels, ptrdiff_t depth, ptrdiff_t c_step)
{
    const ptrdiff_t reach = (depth + c_step - 1) / c_step, a_step = depth + ONE_OF(0, 3), spare = now.k->vector;
    const real *a = input((reach + pixels - 2) * a_step + depth + spare);      /* vectors are read and written whole */
    real *c = numbers(pixels * c_step + spare);
    const real *first = a + (reach - 1) * a_step;
    now.k->sum_windows(pixels, depth, first, a_step, c, c_step);
    for (ptrdiff_t q = 0; q < pixels; q++)
        for (ptrdiff_t i = 0; i < c_step; i++) {
            double sum = 0, size = 0;
            for (ptrdiff_t j = 0; j * c_step + i < depth; j++) {
                const double term = (double)first[(q - j) * a_step + j * c_step + i];
                sum += term;
                size += fabs(term);
            }
            expect("c", q * c_step + i, c[q * c_step + i], sum, size, reach);
        }
    release();
}

static void check_sum_windows(void)
{
    for (ptrdiff_t c_step = 1; c_step <= 2 * now.k->vector + 1; c_step += c_step < 9 ? 1 : 1 + draw() % 5)
        for (ptrdiff_t reach = 1; reach <= 7; reach++)
            for (int times = 0; times < 2; times++)
                sum_windows_once(ONE_OF(1, 2, 5), times ? reach * c_step : (reach - 1) * c_step + 1 + draw() % (unsigned)c_step, c_step);
}

static void check_sum_lines(void)
{
    for (ptrdiff_t length = 1; length <= 4 * now.k->vector; length++) {
        const ptrdiff_t whole = (length + now.k->vector - 1) / now.k->vector * now.k->vector, taps = ONE_OF(0, 1, 3);
        const int relu = (int)draw() % 2;
        const void **a = place((size_t)taps * sizeof *a);
        for (ptrdiff_t t = 0; t < taps; t++)
            a[t] = input(whole);
        const real *bias = input(whole);
        real *line = numbers(whole);
        now.k->sum_lines(taps, length, a, bias, line, relu);
        for (ptrdiff_t i = 0; i < length; i++) {
            double sum = (double)bias[i], size = fabs(sum);
            for (ptrdiff_t t = 0; t < taps; t++) {
                sum += (double)((const real *)a[t])[i];
                size += fabs((double)((const real *)a[t])[i]);
            }
            expect("line", i, line[i], relu && sum < 0 ? 0 : sum, size, taps);
        }
        release();
    }
}
