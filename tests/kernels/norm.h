/* Checks of activations, softmax, normalisation and dropout. */
#ifndef NORM_H
#define NORM_H

#include "check.h"

static void near(const char *what, ptrdiff_t at, real got, double want, double tolerance)
{
    now.compared++;
    if (!(fabs((double)got - want) <= tolerance))
        fail("%s[%ld] is %.17g, wanted %.17g within %.3g", what, (long)at, (double)got, want, tolerance);
}

static double act_of(ck_act act, double x, const double *h)
{
    const double s = 1 / (1 + exp(-x)), cube = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    switch (act) {
    case CK_RELU: return x > 0 ? x : 0;
    case CK_LEAKY: return x > 0 ? x : h[0] * x;
    case CK_RAMP: return fmin(fmax(h[0] * x + h[1], 0), h[2]);
    case CK_HARD_SWISH: return x * fmin(fmax(x + 3, 0), 6) / 6;
    case CK_ELU: return x > 0 ? h[0] * x : h[1] * expm1(h[2] * x);
    case CK_GELU: return x * 0.5 * erfc(-x * 0.70710678118654752440);
    case CK_GELU_TANH: return 0.5 * x * (1 + tanh(cube));
    case CK_SILU: return x * s;
    case CK_MISH: return x * tanh(log1p(exp(x)));
    case CK_SIGMOID: return s;
    case CK_TANH: return tanh(x);
    case CK_SOFTPLUS: return h[1] * log1p(exp(h[0] * x));
    case CK_SOFTSIGN: return x / (1 + fabs(x));
    default: return x;
    }
}

static void check_act_line(void)
{
    for (int act = 0; act < CK_NO_ACT; act++)
        for (ptrdiff_t n = 0; n < 70; n += 1 + n / 20) {
            const double how[3] = { act == CK_SOFTPLUS ? 2 : 0.75, 0.5, 1.25 }, h = 1e-6;
            const int of_result = act == CK_RELU || act == CK_SIGMOID || act == CK_TANH;
            const real *x = input(n), *dy = input(n);
            real *y = numbers(n), *dx = numbers(n), *kept = numbers(n);
            now.k->act_line((ck_act)act, n, x, NULL, how, y, n % 2);
            for (ptrdiff_t i = 0; i < n; i++) {
                near("y", i, y[i], act_of((ck_act)act, (double)x[i], how), 20 * REAL_EPSILON);
                kept[i] = of_result ? y[i] : x[i];
            }
            now.k->act_line((ck_act)act, n, kept, dy, how, dx, 0);
            for (ptrdiff_t i = 0; i < n; i++) {
                const double at = (double)x[i], near_kink = act == CK_RAMP ? fabs(0.75 * at + 0.5) : fabs(at);
                const double slope = (act_of((ck_act)act, at + h, how) - act_of((ck_act)act, at - h, how)) / (2 * h);
                if (near_kink > 2 * h && fabs(fabs(at) - 3) > 2 * h && fabs(0.75 * at - 0.75) > 2 * h)
                    near("dx", i, dx[i], (double)dy[i] * slope, 40 * REAL_EPSILON + 4e-9);
            }
            release();
        }
}

static void check_softmax_rows(void)
{
    for (ptrdiff_t n = 1; n < 90; n += 1 + n / 8)
        for (ptrdiff_t rows = 1; rows < 4; rows++) {
            const real *x = input(rows * n), *dy = input(rows * n);
            real *y = numbers(rows * n), *log_y = numbers(rows * n), *dx = numbers(rows * n), *log_dx = numbers(rows * n);
            now.k->softmax_rows(CK_SOFTMAX, rows, n, x, NULL, y);
            now.k->softmax_rows(CK_LOG_SOFTMAX, rows, n, x, NULL, log_y);
            now.k->softmax_rows(CK_SOFTMAX_GRAD, rows, n, dy, y, dx);
            now.k->softmax_rows(CK_LOG_SOFTMAX_GRAD, rows, n, dy, log_y, log_dx);
            for (ptrdiff_t r = 0; r < rows; r++) {
                double total = 0, dot = 0, sum = 0;
                for (ptrdiff_t i = r * n; i < r * n + n; i++)
                    total += exp((double)x[i]), sum += (double)dy[i];
                for (ptrdiff_t i = r * n; i < r * n + n; i++)
                    dot += (double)dy[i] * exp((double)x[i]) / total;
                for (ptrdiff_t i = r * n; i < r * n + n; i++) {
                    const double p = exp((double)x[i]) / total, e = REAL_EPSILON;
                    near("softmax", i, y[i], p, 40 * e * p);
                    near("log_softmax", i, log_y[i], log(p), 40 * e);
                    near("softmax_grad", i, dx[i], p * ((double)dy[i] - dot), 400 * e);
                    near("log_softmax_grad", i, log_dx[i], (double)dy[i] - p * sum, 400 * e + 40 * e * fabs(sum));
                }
            }
            release();
        }
}

static void check_cross_entropy_rows(void)
{
    for (ptrdiff_t n = 1; n < 90; n += 1 + n / 8)
        for (int kind = 0; kind < 4; kind++) {
            const ptrdiff_t rows = 3;
            const real *x = input(rows * n), *w = kind & 1 ? input(n) : NULL, *spread = kind & 2 ? input(n) : NULL;
            real *y = numbers(rows * n), *weights = numbers(n), *each = numbers(n);
            double *losses = place((size_t)rows * sizeof *losses), how[3] = { 0.75, 0, 0.5 };
            int64_t *labels = place((size_t)rows * sizeof *labels);
            for (ptrdiff_t i = 0; i < n; i++) {
                weights[i] = (real)(w ? fabs((double)w[i]) : 1);
                each[i] = (real)(spread ? fmax((double)spread[i], 0) : 0);
                how[1] += (double)each[i];
            }
            labels[0] = n - 1, labels[1] = -1, labels[2] = 0;
            now.k->cross_entropy_rows(rows, n, x, labels, w ? weights : NULL, spread ? each : NULL, how, y, losses);
            for (ptrdiff_t r = 0; r < rows; r++) {
                double total = 0, loss = 0, pull = labels[r] < 0 ? 0 : how[0] * (double)weights[labels[r]];
                const double pulls = pull + how[1], e = 100 * REAL_EPSILON;
                for (ptrdiff_t i = 0; i < n; i++)
                    total += exp((double)x[r * n + i]);
                for (ptrdiff_t i = 0; i < n; i++) {
                    const double p = exp((double)x[r * n + i]) / total, t = (double)each[i] + (i == labels[r] ? pull : 0);
                    loss -= t * log(p);
                    near("dx", r * n + i, y[r * n + i], labels[r] < 0 ? 0 : 0.5 * (p * pulls - t), e * (1 + pulls));
                }
                near("loss", r, (real)losses[r], labels[r] < 0 ? 0 : loss, e * (1 + fabs(loss) + 8 * pulls));
            }
            release();
        }
}

static void check_column_moments(void)
{
    for (ptrdiff_t cols = 1; cols < 150; cols += 1 + cols / 6) {
        const ptrdiff_t rows = ONE_OF(1, 2, 7, 30), step = cols + ONE_OF(0, 3);
        const real *x = input((rows - 1) * step + cols);
        real *sums = numbers(3 * cols);
        now.k->column_moments(rows, cols, x, step, sums, cols);
        for (ptrdiff_t c = 0; c < cols; c++) {
            const double about = (double)sums[c];
            double mean = 0, some = 0, first = 0, second = 0;
            for (ptrdiff_t r = 0; r < rows; r++) {
                const double off = (double)x[r * step + c] - about;
                first += off, second += off * off;
                if (r % ((rows + 3) / 4) == 0)
                    mean += (double)x[r * step + c], some++;
            }
            near("about", c, sums[c], mean / some, 100 * REAL_EPSILON);
            near("first", c, sums[cols + c], first, 400 * REAL_EPSILON);
            near("second", c, sums[2 * cols + c], second, 4000 * REAL_EPSILON);
        }
        release();
    }
}

static void check_columns(void)
{
    for (ptrdiff_t cols = 1; cols < 150; cols += 1 + cols / 6)
        for (int kind = 0; kind < 8; kind++) {
            const ptrdiff_t rows = ONE_OF(1, 2, 7), all = rows * cols;
            const real *x = input(all), *dy = input(all), *residual = kind & 2 ? input(all) : NULL;
            const real *line[6];
            for (int i = 0; i < 6; i++)
                line[i] = input(cols);
            const ck_columns g = { line[0], line[1], line[2], line[3], line[4], line[5], kind & 1 ? ONE_OF(1, 6) : 0, !!(kind & 4) };
            real *y = numbers(all), *dx = numbers(all), *dresidual = residual ? numbers(all) : NULL, *sums = numbers(2 * cols);
            now.k->column_apply(rows, cols, &g, x, cols, residual, y);
            now.k->column_sums(rows, cols, &g, dy, x, residual ? y : NULL, cols, sums, cols);
            now.k->column_grad(rows, cols, &g, dy, x, residual ? y : NULL, cols, dx, dresidual);
            for (ptrdiff_t c = 0; c < cols; c++) {
                double first = 0, second = 0;
                for (ptrdiff_t at = c; at < all; at += cols) {
                    const double off = (double)(real)(x[at] - line[0][c]);
                    double t = off * (double)line[1][c] + (double)line[2][c] + (residual ? (double)residual[at] : 0);
                    t = g.relu && t < 0 ? 0 : g.relu == 6 && t > 6 ? 6 : t;
                    near("y", at, y[at], t, 40 * REAL_EPSILON);
                    const double slope = g.relu && !(y[at] > 0 && (g.relu != 6 || y[at] < 6)) ? 0 : (double)dy[at];
                    near("dx", at, dx[at], (double)line[3][c] * slope + (double)line[4][c] * off + (double)line[5][c],
                         60 * REAL_EPSILON);
                    if (residual)
                        near("dresidual", at, dresidual[at], slope, 0);
                    first += slope, second += slope * off;
                }
                near("first", c, sums[c], first, 100 * REAL_EPSILON);
                near("second", c, sums[cols + c], second, 400 * REAL_EPSILON);
            }
            release();
        }
}

static void check_row_norm(void)
{
    for (ptrdiff_t n = 1; n < 300; n += 1 + n / 6)
        for (int kind = 0; kind < 4; kind++) {
            const ptrdiff_t rows = ONE_OF(1, 3);
            const int centered = kind & 1;
            const double eps = 0.25, e = 600 * REAL_EPSILON;
            const real *x = input(rows * n), *dy = input(rows * n), *w = kind & 2 ? input(n) : NULL, *b = kind & 2 ? input(n) : NULL;
            real *y = numbers(rows * n), *dx = numbers(rows * n), *dw = numbers(n), *db = numbers(n);
            double *stats = place((size_t)rows * 2 * sizeof *stats), *dw_want = copy_of(dw, n), *db_want = copy_of(db, n);
            now.k->row_norm(rows, n, x, w, b, eps, centered, y, stats);
            now.k->row_norm_grad(rows, n, dy, x, w, eps, centered, stats, dx, dw, db);
            for (ptrdiff_t r = 0; r < rows; r++) {
                double mean = 0, var = 0, one = 0, two = 0;
                for (ptrdiff_t i = r * n; i < r * n + n; i++)
                    mean += centered ? (double)x[i] / (double)n : 0;
                for (ptrdiff_t i = r * n; i < r * n + n; i++)
                    var += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
                const double inverse = 1 / sqrt(var + eps);
                for (ptrdiff_t i = 0; i < n; i++) {
                    const double xh = ((double)x[r * n + i] - mean) * inverse, g = (double)dy[r * n + i] * (w ? (double)w[i] : 1);
                    near("y", r * n + i, y[r * n + i], xh * (w ? (double)w[i] : 1) + (b ? (double)b[i] : 0), e);
                    one += centered ? g / (double)n : 0, two += g * xh / (double)n;
                    dw_want[i] += (double)dy[r * n + i] * xh, db_want[i] += (double)dy[r * n + i];
                }
                for (ptrdiff_t i = 0; i < n; i++) {
                    const double xh = ((double)x[r * n + i] - mean) * inverse, g = (double)dy[r * n + i] * (w ? (double)w[i] : 1);
                    near("dx", r * n + i, dx[r * n + i], inverse * (g - one - xh * two), 4 * e);
                }
            }
            for (ptrdiff_t i = 0; i < n; i++) {
                near("dw", i, dw[i], dw_want[i], e);
                near("db", i, db[i], db_want[i], e);
            }
            free(dw_want);
            free(db_want);
            release();
        }
}

static void check_dropout_line(void)
{
    for (ptrdiff_t n = 0; n < 100; n++) {
        const double abc[3] = { 2, 0.5, -3 };
        const real *x = input(n);
        real *y = numbers(n), *all = numbers(256);
        for (ptrdiff_t i = 0; i < 256; i++)
            all[i] = 0;
        now.k->dropout_line(256, 64, 77, 1u << 30, abc, all, all);
        now.k->dropout_line(n, 64, 77, 1u << 30, abc, x, y);
        ptrdiff_t dropped = 0;
        for (ptrdiff_t i = 0; i < 256; i++)
            dropped += all[i] == -3;
        if (dropped < 32 || dropped > 96)
            fail("%ld of 256 are dropped, wanted about 64", (long)dropped);
        for (ptrdiff_t i = 0; i < n; i++)
            near("y", i, y[i], all[i] == -3 ? -3 : 2 * (double)x[i] + 0.5, 4 * REAL_EPSILON);
        release();
    }
}

#endif
