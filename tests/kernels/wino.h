/* Winograd's transforms against matrices made of their points, one axis after the other. */
#include "check.h"

/* Of one axis: n pixels -> n points -> outputs, taps -> the same points. Infinity is the last point. */
typedef struct {
    int pixels, places, place[6];
    double x[6];
    double input[6][6];                            /* [point][pixel] */
    double divided[6];                             /* what the taps at a point are divided by */
} axis;

static axis axis_of(int form)
{
    static const double small[] = { 0, 1, -1 }, large[] = { 0, 0.625, -0.625, 1.5, -1.5 };
    axis s = { .pixels = form == CK_SMALL ? 4 : form, .places = form <= CK_SMALL ? (form == CK_SMALL ? 4 : 1) : 6 };
    const double *all = form == CK_SMALL ? small : large;
    const int finite = s.pixels - 1, total = s.places - 1;
    for (int p = 0; p < finite; p++) {
        double scale = 1;
        s.divided[p] = 1;
        for (int q = 0; q < total; q++)            /* points that a short form leaves out are still in the filters */
            if (q != p) {
                s.divided[p] *= all[p] - all[q];
                scale *= q >= finite ? all[p] - all[q] : 1;
            }
        if (form == CK_SMALL && p == 0)
            s.divided[p] = 1, scale = -1;
        s.x[p] = all[p];
        s.place[p] = p;
        s.input[p][0] = scale;
        for (int q = 0, degree = 0; q < finite; q++)
            if (q != p) {                          /* times (z - point) */
                degree++;
                for (int k = degree; k >= 0; k--)
                    s.input[p][k] = (k ? s.input[p][k - 1] : 0) - all[q] * s.input[p][k];
            }
    }
    s.place[finite] = total;
    s.divided[finite] = 1;
    s.input[finite][0] = 1;
    for (int q = 0; q < finite; q++)
        for (int k = q + 1; k >= 0; k--)
            s.input[finite][k] = (k ? s.input[finite][k - 1] : 0) - all[q] * s.input[finite][k];
    return s;
}

/* The value at a point of the k-th of `count` coefficients; to the outputs it is the same the other way round. */
static double power_of(const axis *s, int point, int k, int count)
{
    if (point == s->pixels - 1)
        return k == count - 1;
    double power = 1;
    while (k--)
        power *= s->x[point];
    return power;
}

/* Which of a tile's pointers leads to a point. */
static int kind_of(int place_h, int place_w)
{
    static const int along[] = { 0, 0, 0, 1, 2, 0 };
    return 3 * along[place_h] + along[place_w];
}

enum { KINDS = 9 };

static const int forms[] = { CK_PLAIN, CK_SMALL, CK_FOUR, CK_FIVE, CK_SIX };
enum { FORMS = 5, TRANSFORMS = 40 };               /* roundings of two axes, at most */

static ptrdiff_t whole_words(ptrdiff_t channels)
{
    return (channels + now.k->vector - 1) / now.k->vector * now.k->vector;
}

/* Points of pixels (or, `as_taps`, of taps) against their definition, and nothing else written. */
static void wino_points_once(int as_taps, int form_h, int form_w, ptrdiff_t channels)
{
    const axis h = axis_of(form_h), w = axis_of(form_w), *s[] = { &h, &w };
    ck_patch patch = { .form = { form_h, form_w } };
    const int simple = draw() % 3 == 0, exact = now.integers;
    for (int i = 0; i < 2; i++) {
        const int filter = s[i]->pixels > 4 && draw() % 2 ? 5 : 3;      /* the other factor of the products */
        const int most = s[i]->pixels == 1 ? 1 : as_taps ? s[i]->pixels - filter + 1 : s[i]->pixels;
        patch.taps[i] = most;
        patch.lo[i] = as_taps || simple ? 0 : (int)(draw() % (unsigned)(most + 1));
        patch.hi[i] = simple ? most : patch.lo[i] + (int)(draw() % (unsigned)(most - patch.lo[i] + 1));
        patch.hi[i] += as_taps && !patch.hi[i];
    }
    patch.col = channels + ONE_OF(0, 3);
    patch.row = 6 * patch.col + ONE_OF(0, 1);
    const int rows = patch.hi[0] - patch.lo[0], cols = patch.hi[1] - patch.lo[1], some = rows && cols;
    const real *x = input(some ? (rows - 1) * patch.row + (cols - 1) * patch.col + channels : 0);
    patch.origin = (const void *)((uintptr_t)x - (uintptr_t)(patch.lo[0] * patch.row + patch.lo[1] * patch.col) * sizeof(real));
    const ptrdiff_t width = whole_words(channels), step = width + ONE_OF(0, 5), count = (h.places * w.places - 1) * step + width;
    real *points[KINDS];
    double *before[KINDS];
    for (int k = 0; k < KINDS; k++) {
        points[k] = numbers(count);
        before[k] = copy_of(points[k], count);
    }
    (as_taps ? now.k->wino_taps : now.k->wino_input)(&patch, channels, (void *const *)points, step);
    now.integers = exact && form_h <= CK_SMALL && form_w <= CK_SMALL;
    for (int p = 0; p < h.pixels; p++)
        for (int q = 0; q < w.pixels; q++)
            for (ptrdiff_t c = 0; c < width; c++) {
                double sum = 0, size = 0;
                for (int i = patch.lo[0]; i < patch.hi[0] && c < channels; i++)
                    for (int j = patch.lo[1]; j < patch.hi[1]; j++) {
                        const double by = as_taps ? power_of(&h, p, i, patch.taps[0]) / h.divided[p] *
                                                        power_of(&w, q, j, patch.taps[1]) / w.divided[q]
                                                  : h.input[p][i] * w.input[q][j];
                        const double term = by * (double)x[(i - patch.lo[0]) * patch.row + (j - patch.lo[1]) * patch.col + c];
                        sum += term;
                        size += fabs(term);
                    }
                const ptrdiff_t at = (h.place[p] * w.places + w.place[q]) * step + c;
                const int kind = kind_of(h.place[p], w.place[q]);
                expect("points", at, points[kind][at], sum, size, TRANSFORMS);
                before[kind][at] = (double)points[kind][at];
            }
    for (int k = 0; k < KINDS; k++) {
        for (ptrdiff_t i = 0; i < count; i++)
            if ((double)points[k][i] != before[k][i])
                fail("place %ld of step %ld was written", (long)i, (long)step);
        free(before[k]);
    }
    now.integers = exact;
    release();
}

static void each_form(void (*once)(int, int, ptrdiff_t))
{
    for (int i = 0; i < FORMS; i++)
        for (int j = 0; j < FORMS; j++)
            if ((forms[i] == CK_SMALL) == (forms[j] == CK_SMALL) || forms[i] == CK_PLAIN || forms[j] == CK_PLAIN)
                for (ptrdiff_t c = 1; c <= 2 * now.k->vector + 1; c += now.k->vector > 8 && c > 2 ? 3 : 1)
                    once(forms[i], forms[j], c);
}

static void wino_input_once(int form_h, int form_w, ptrdiff_t channels) { wino_points_once(0, form_h, form_w, channels); }
static void wino_taps_once(int form_h, int form_w, ptrdiff_t channels) { wino_points_once(1, form_h, form_w, channels); }
static void check_wino_input(void) { each_form(wino_input_once); }
static void check_wino_taps(void) { each_form(wino_taps_once); }

static void wino_output_once(int form_h, int form_w, ptrdiff_t channels)
{
    const axis h = axis_of(form_h), w = axis_of(form_w), *s[] = { &h, &w };
    ck_fold fold = { .form = { form_h, form_w }, .relu = (int)draw() % 2 };
    const int exact = now.integers, spoilt = draw() % 4 == 0;
    for (int i = 0; i < 2; i++) {
        const int filter = s[i]->pixels > 4 && draw() % 2 ? 5 : 3, whole = s[i]->pixels > 5 || s[i]->x[1] == 1;
        if (s[i]->pixels > 1 && whole && draw() % 2)         /* the taps of a gradient of the filters */
            fold.keep[i] = fold.count[i] = filter;
        else {
            fold.count[i] = s[i]->pixels == 1 ? 1 : s[i]->pixels - filter + 1;
            fold.keep[i] = draw() % 2 ? fold.count[i] : 1 + (int)(draw() % (unsigned)fold.count[i]);
        }
    }
    fold.col = channels + ONE_OF(0, 3);
    fold.row = 5 * fold.col + ONE_OF(0, 1);
    fold.bias = draw() % 2 ? input(channels) : NULL;
    const real *bias = fold.bias;
    const ptrdiff_t width = whole_words(channels), step = width + ONE_OF(0, 5), all = (h.places * w.places - 1) * step + width;
    const real *points[KINDS];
    const ptrdiff_t odd_channel = draw() % (unsigned)channels;
    for (int k = 0; k < KINDS; k++) {
        real *some = numbers(all);
        if (spoilt && !k)                          /* the first point is in the first output */
            some[odd_channel] = draw() % 2 ? (real)INFINITY : (real)NAN;
        seal();
        points[k] = some;
    }
    const ptrdiff_t count = (fold.keep[0] - 1) * fold.row + (fold.keep[1] - 1) * fold.col + channels;
    real *y = numbers(count);
    double *before = copy_of(y, count);
    int odd = 0;
    const real *added = draw() % 2 ? input(count) : NULL;
    fold.adds = added != NULL;
    fold.residual = added ? (const char *)added - (const char *)y : 0;
    now.k->wino_output(&fold, (const void *const *)points, step, channels, y, &odd);
    if (odd != spoilt)
        fail("odd is %d", odd);
    now.integers = exact && form_h <= CK_SMALL && form_w <= CK_SMALL;
    for (int i = 0; i < fold.keep[0]; i++)
        for (int j = 0; j < fold.keep[1]; j++)
            for (ptrdiff_t c = 0; c < channels; c++) {
                double sum = bias ? (double)bias[c] : 0, size = fabs(sum);
                if (added) {
                    const double more = (double)added[i * fold.row + j * fold.col + c];
                    sum += more;
                    size += fabs(more);
                }
                for (int p = 0; p < h.pixels; p++)
                    for (int q = 0; q < w.pixels; q++) {
                        const real *from = points[kind_of(h.place[p], w.place[q])];
                        const double term = power_of(&h, p, i, (int)fold.count[0]) * power_of(&w, q, j, (int)fold.count[1]) *
                                            (double)from[(h.place[p] * w.places + w.place[q]) * step + c];
                        sum += term;
                        size += fabs(term);
                    }
                const ptrdiff_t at = i * fold.row + j * fold.col + c;
                if (!spoilt || c != odd_channel)
                    expect("y", at, y[at], fold.relu && sum < 0 ? 0 : sum, size, TRANSFORMS);
                before[at] = NAN;
            }
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isnan(before[i]) && (double)y[i] != before[i])
            fail("place %ld was written", (long)i);
    now.integers = exact;
    free(before);
    release();
}

static void check_wino_output(void) { each_form(wino_output_once); }

static void wino_filter_once(const int *form, const int *taps, ptrdiff_t depth, ptrdiff_t cols)
{
    const axis h = axis_of(form[0]), w = axis_of(form[1]);
    const ptrdiff_t vector = now.k->vector, width = (cols + vector - 1) / vector * vector, turned = draw() % 2;
    const ptrdiff_t depth_step = cols + ONE_OF(0, 3), col = depth * depth_step, row = col * taps[1];
    const ptrdiff_t count = depth * width, step = count + ONE_OF(0, 5), exact = now.integers;
    const real *from = input((taps[0] * taps[1] - 1) * col + (depth - 1) * depth_step + cols);
    const real *first = from + turned * ((taps[0] - 1) * row + (taps[1] - 1) * col);
    const ck_patch patch = { first, turned ? -row : row, turned ? -col : col, { form[0], form[1] }, .taps = { taps[0], taps[1] } };
    real *u = numbers((h.places * w.places - 1) * step + count);
    now.k->wino_filter(&patch, depth, depth_step, cols, (int)(width / vector), u, step);
    now.integers = 0;                              /* divided by what is no power of 2 */
    for (int p = 0; p < h.pixels; p++)
        for (int q = 0; q < w.pixels; q++)
            for (ptrdiff_t e = 0; e < count; e++) {
                double sum = 0, size = 0;
                for (int t = 0; t < taps[0] * taps[1] && e % width < cols; t++) {
                    const double by = power_of(&h, p, t / taps[1], taps[0]) / h.divided[p] *
                                      power_of(&w, q, t % taps[1], taps[1]) / w.divided[q];
                    const ptrdiff_t at = t / taps[1] * patch.row + t % taps[1] * patch.col;
                    const double term = by * (double)first[at + e / width * depth_step + e % width];
                    sum += term;
                    size += fabs(term);
                }
                const ptrdiff_t at = (p * w.places + q) * step + e;
                /* in double, then rounded once */
                expect("u", at, u[at], sum, CK_DOUBLE ? size : fabs(sum) + size * FLT_EPSILON / 8, CK_DOUBLE ? TRANSFORMS : 0);
            }
    now.integers = (int)exact;
    release();
}

static void check_wino_filter(void)
{
    static const int of[][4] = { { CK_SIX, CK_SIX, 3, 3 },   { CK_SIX, CK_SIX, 5, 5 },     { CK_SIX, CK_SIX, 3, 5 },
                                 { CK_PLAIN, CK_SIX, 1, 3 }, { CK_SIX, CK_PLAIN, 5, 1 },   { CK_SMALL, CK_SMALL, 3, 3 },
                                 { CK_SMALL, CK_PLAIN, 3, 1 } };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (ptrdiff_t cols = 1; cols <= now.k->vecs * now.k->vector; cols += now.k->vector > 8 ? 5 : 3)
            wino_filter_once(of[i], of[i] + 2, ONE_OF(1, 2, 5), cols);
}

/* The value of 3x3 taps at a point, times what they are divided by if not `divides`. `size` is of the terms. */
static double few_value(const axis *s, int p, int q, const real *taps, ptrdiff_t row, ptrdiff_t col, int divides, double *size)
{
    double sum = 0;
    const double by = divides ? 1 / (s->divided[p] * s->divided[q]) : 1;
    *size = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const double term = power_of(s, p, i, 3) * power_of(s, q, j, 3) * by * (double)taps[i * row + j * col];
            sum += term;
            *size += fabs(term);
        }
    return sum;
}

static void wino_few_once(ptrdiff_t depth, ptrdiff_t tiles)
{
    const axis s = axis_of(CK_SIX);
    const ptrdiff_t vector = now.k->vector, tap = CK_FEW * vector, step = tiles * vector + ONE_OF(0, 3), exact = now.integers;
    ptrdiff_t used[6];
    for (int i = 0; i < 6; i++)
        used[i] = draw() % (unsigned)(tiles + 1);
    const int resume = draw() % 2;
    const real *taps = input(9 * tap), *v = input(depth * 36 * tiles);
    real *sums = numbers(35 * step + tiles * vector);
    double *before = copy_of(sums, 35 * step + tiles * vector);
    now.k->wino_few(depth, tiles, used, taps, v, sums, step, resume, taps);
    now.integers = 0;
    for (int p = 0; p < 36; p++)
        for (ptrdiff_t e = 0; e < tiles * vector; e++) {
            const ptrdiff_t at = p * step + e, t = e / vector;
            if (t >= used[p / 6]) {
                if ((double)sums[at] != before[at])
                    fail("place %ld was written", (long)at);
                continue;
            }
            double sum = resume ? before[at] : 0, size = fabs(sum), each;
            for (ptrdiff_t k = 0; k < depth; k++) {
                const double x = (double)v[(k * 36 + p) * tiles + t];
                sum += x * few_value(&s, p / 6, p % 6, taps + k * vector + e % vector, 3 * tap, tap, 0, &each);
                size += fabs(x) * each;
            }
            expect("sums", at, sums[at], sum, size, depth + TRANSFORMS);
        }
    now.integers = (int)exact;
    free(before);
    release();
}

static void check_wino_few(void)
{
    for (ptrdiff_t tiles = 1; tiles <= CK_FEW_TILES; tiles++)
        for (ptrdiff_t depth = 1; depth <= CK_FEW; depth += 3)
            wino_few_once(depth, tiles);
}

static void wino_few_filter_once(ptrdiff_t depth, ptrdiff_t cols)
{
    const axis s = axis_of(CK_SIX);
    const ptrdiff_t width = whole_words(cols), turned = draw() % 2, depth_step = cols + ONE_OF(0, 3), col = depth * depth_step;
    const ptrdiff_t count = depth * width, step = count + ONE_OF(0, 5), exact = now.integers;
    const real *first = input(8 * col + (depth - 1) * depth_step + cols) + turned * 8 * col;
    const ck_patch patch = { first, turned ? -3 * col : 3 * col, turned ? -col : col, { CK_SIX, CK_SIX }, .taps = { 3, 3 } };
    real *u = numbers(35 * step + count);
    now.k->wino_few_filter(&patch, depth, depth_step, cols, (int)(width / now.k->vector), u, step);
    for (int p = 0; p < 36; p++)                   /* and wino_scale, in place */
        now.k->wino_scale(p, depth, width, u + p * step, width);
    now.integers = 0;
    for (int p = 0; p < 36; p++)
        for (ptrdiff_t e = 0; e < count; e++) {
            const real *taps = first + e / width * depth_step + e % width;
            double size = 0;
            const double sum = e % width < cols ? few_value(&s, p / 6, p % 6, taps, patch.row, patch.col, 1, &size) : 0;
            expect("u", p * step + e, u[p * step + e], sum, size, TRANSFORMS);
        }
    now.integers = (int)exact;
    release();
}

static void check_wino_few_filter(void)
{
    for (ptrdiff_t cols = 1; cols <= now.k->vecs * now.k->vector; cols += now.k->vector > 8 ? 5 : 3)
        wino_few_filter_once(ONE_OF(1, 2, 5), cols);
}
