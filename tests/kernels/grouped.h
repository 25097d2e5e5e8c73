/* group_rows and group_sums against their formulas. */
#include "check.h"

/* Groups of one SIMD word, and lines of pixels for them. */
typedef struct {
    ck_group g;
    ck_pixels *x;
    ptrdiff_t lines, taps, cols;                   /* taps of all runs */
} grouped;

static grouped some_groups(ptrdiff_t cols, int alone, ptrdiff_t rows, ptrdiff_t lines)
{
    const int vector = now.k->vector;
    grouped s = { .lines = lines, .cols = cols };
    s.g.alone = alone;
    s.g.depth = ONE_OF(1, 2, 3, 4, 5, 8);
    s.g.channels = alone ? s.g.depth : draw() % 2 ? vector : 1 + (ptrdiff_t)(draw() % (unsigned)vector);
    s.g.runs = ONE_OF(1, 2);
    int32_t *lanes = place((size_t)(s.g.depth * vector) * sizeof *lanes);
    for (ptrdiff_t i = 0; i < s.g.depth * vector; i++)
        lanes[i] = alone ? (int32_t)(i / vector) : (int32_t)(draw() % (unsigned)s.g.channels);
    seal();
    ck_run *run = place((size_t)s.g.runs * sizeof *run);
    s.g.width = 0;
    for (ptrdiff_t i = 0; i < s.g.runs; i++) {
        run[i] = (ck_run){ draw() % 3, 1 + draw() % CK_GROUP_SPAN };
        s.taps += run[i].span;
        const ptrdiff_t end = run[i].place + run[i].span + rows - 1;
        s.g.width = end > s.g.width ? end : s.g.width;
    }
    seal();
    s.g.lanes = lanes, s.g.run = run;
    s.x = place((size_t)lines * sizeof *s.x);
    for (ptrdiff_t i = 0; i < lines; i++) {
        const ptrdiff_t pixel = s.g.channels + ONE_OF(0, 2);
        ptrdiff_t *at = place((size_t)s.g.width * sizeof *at);
        for (ptrdiff_t p = 0; p < s.g.width; p++)
            at[p] = (draw() % (unsigned)s.g.width) * pixel * (ptrdiff_t)sizeof(real);
        seal();
        s.x[i] = (ck_pixels){ input((s.g.width - 1) * pixel + s.g.channels), at };
    }
    return s;
}

static double pixel_of(const grouped *s, ptrdiff_t line, ptrdiff_t p, ptrdiff_t k, ptrdiff_t o)
{
    const real *pixel = (const real *)((const char *)s->x[line].line + s->x[line].at[p]);
    return (double)pixel[s->g.lanes[k * now.k->vector + o]];
}

static void group_rows_once(int rows, ptrdiff_t cols, int alone)
{
    const int vector = now.k->vector;
    grouped s = some_groups(cols, alone, rows, ONE_OF(1, 2));
    const real *w = input(s.lines * s.taps * s.g.depth * vector), *bias = draw() % 2 ? input(cols) : NULL;
    const ptrdiff_t y_step = cols + ONE_OF(0, 3), outputs = (rows - 1) * y_step + cols;
    real *y = numbers(outputs);
    const real *added = draw() % 2 ? input(outputs) : NULL;
    const int start = added ? CK_RESIDUAL : CK_BIAS;
    const ptrdiff_t residual = added ? (const char *)added - (const char *)y : 0;
    const ck_finish finish = { .bias = bias, .cols = cols, .resume = start, .residual = residual, .relu = (int)draw() % 2 };
    double *before = copy_of(y, outputs);
    now.k->group_rows(rows, &s.g, s.lines, s.x, 0, w, y, y_step, 0, &finish);
    for (ptrdiff_t at = 0; at < outputs; at++) {
        const ptrdiff_t r = at / y_step, o = at % y_step;
        if (o >= cols) {
            if ((double)y[at] != before[at])
                fail("column %ld of %ld was written", (long)o, (long)cols);
            continue;
        }
        double size, sum = begun(start, before[at], bias, o, added, at, &size);
        const real *filter = w + o;
        for (ptrdiff_t i = 0; i < s.lines; i++)
            for (ptrdiff_t n = 0; n < s.g.runs; n++)
                for (ptrdiff_t k = 0; k < s.g.depth; k++)
                    for (ptrdiff_t t = 0; t < s.g.run[n].span; t++, filter += vector) {
                        const double term = pixel_of(&s, i, s.g.run[n].place + t + r, k, o) * (double)*filter;
                        sum += term;
                        size += fabs(term);
                    }
        expect("y", at, y[at], finish.relu && sum < 0 ? 0 : sum, size, s.lines * s.taps * s.g.depth + 2);
    }
    free(before);
    release();
}

static void check_group_rows(void)
{
    for (int rows = 1; rows <= now.k->rows[1]; rows++)
        for (ptrdiff_t cols = 1; cols <= now.k->vector; cols++)
            for (int times = 0; times < 4; times++)
                group_rows_once(rows, cols, times & 1);
}

static void group_sums_once(ptrdiff_t pixels, ptrdiff_t cols, int alone)
{
    const int vector = now.k->vector;
    grouped s = some_groups(cols, alone, pixels, ONE_OF(1, 2));
    const ptrdiff_t dy_step = cols + ONE_OF(0, 3), count = s.lines * s.taps * s.g.depth * vector;
    const real *dy = input((pixels - 1) * dy_step + cols);
    real *sums = numbers(count);
    double *before = copy_of(sums, count);
    now.k->group_sums(pixels, cols, &s.g, s.lines, s.x, dy, dy_step, sums);
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < s.lines; i++)
        for (ptrdiff_t n = 0; n < s.g.runs; n++)
            for (ptrdiff_t k = 0; k < s.g.depth; k++)
                for (ptrdiff_t t = 0; t < s.g.run[n].span; t++)
                    for (ptrdiff_t o = 0; o < vector; o++, at++) {
                        double sum = before[at], size = fabs(sum);
                        for (ptrdiff_t p = 0; p < pixels && o < cols; p++) {
                            const double term = pixel_of(&s, i, s.g.run[n].place + t + p, k, o) * (double)dy[p * dy_step + o];
                            sum += term;
                            size += fabs(term);
                        }
                        expect("sums", at, sums[at], sum, size, o < cols ? pixels + 1 : 0);
                    }
    free(before);
    release();
}

static void check_group_sums(void)
{
    for (ptrdiff_t pixels = 1; pixels <= 9; pixels++)
        for (ptrdiff_t cols = 1; cols <= now.k->vector; cols++)
            for (int times = 0; times < 4; times++)
                group_sums_once(pixels, cols, times & 1);
}
