/* max_taps for every element type, max_spread and sum_taps, against their formulas. */
#include "check.h"

typedef struct {
    ck_element element;
    int flipped, bytes;
} kind;

static const kind kinds[] = {
    { CK_REAL, 0, sizeof(real) }, { CK_INT, 0, sizeof(real) }, { CK_INT, 1, sizeof(real) },
#if !CK_DOUBLE
    { CK_INT16, 0, 2 },           { CK_INT16, 1, 2 },          { CK_INT8, 0, 1 },           { CK_INT8, 1, 1 },
#endif
};

#define AS(type) ((long double)((const type *)a)[i])

/* Element i as a number that compares as the elements do; NaN is the largest of all. */
static long double value(const kind *e, const void *a, ptrdiff_t i)
{
    if (e->element == CK_REAL) {
        const long double x = AS(real);
        return isnan(x) ? INFINITY : x > LDBL_MAX ? LDBL_MAX : x;
    }
    if (e->bytes == 1)
        return e->flipped ? AS(uint8_t) : AS(int8_t);
    if (e->bytes == 2)
        return e->flipped ? AS(uint16_t) : AS(int16_t);
    if (e->bytes == 4)
        return e->flipped ? AS(uint32_t) : AS(int32_t);
    return e->flipped ? AS(uint64_t) : AS(int64_t);
}

/* What a maximum starts from. */
static long double lowest(const kind *e)
{
    return e->element == CK_REAL ? -INFINITY : e->flipped ? 0 : -ldexpl(1, 8 * e->bytes - 1);
}

static void *elements(const kind *e, ptrdiff_t count)
{
    unsigned char *a = place((size_t)(count * e->bytes));
    for (ptrdiff_t i = 0; i < count * e->bytes; i++)
        a[i] = (unsigned char)draw();
    for (ptrdiff_t i = 0; e->element == CK_REAL && i < count; i++) {
        const unsigned dice = draw() % 16;         /* equal values, infinities and NaN among the others */
        ((real *)a)[i] = dice == 0 ? (real)NAN : dice == 1 ? -(real)INFINITY : dice == 2 ? (real)INFINITY : dice < 8 ? (real)(dice % 3) : number();
    }
    return a;
}

/* Random taps of which the last one reads the last element of x. */
static ck_taps *some_taps(ptrdiff_t phases, ptrdiff_t count, ptrdiff_t x_step, ptrdiff_t *reach)
{
    ck_taps *taps = place((size_t)phases * sizeof *taps);
    *reach = 0;
    for (ptrdiff_t q = 0; q < phases; q++) {
        taps[q].count = count;
        for (ptrdiff_t t = 0; t < count; t++) {
            taps[q].offset[t] = draw() % 4 * x_step + draw() % 3;
            taps[q].label[t] = (uint8_t)(draw() % 3);
            *reach = taps[q].offset[t] > *reach ? taps[q].offset[t] : *reach;
        }
        taps[q].start = 7;
        taps[q].resume = taps[q].stream = taps[q].rectified = 0;
    }
    return taps;
}

static void max_taps_once(const kind *e, ptrdiff_t pixels, ptrdiff_t channels, int options)
{
    const int has_y = options & 1 || !(options & 2), has_index = options & 2, resume = has_y && options & 4;
    const ptrdiff_t x_step = channels + ONE_OF(0, 2), y_step = channels + ONE_OF(0, 3), outputs = (pixels - 1) * y_step + channels;
    ptrdiff_t reach;
    ck_taps *taps = some_taps(1, ONE_OF(0, 1, 3, 9), x_step, &reach);
    const int rectified = taps->rectified = e == kinds && has_index && !resume && draw() % 2;
    taps->resume = resume;
    seal();
    const void *x = elements(e, reach + (pixels - 1) * x_step + channels);
    seal();
    unsigned char *y = has_y ? elements(e, outputs) : NULL;
    unsigned char *before = malloc((size_t)(outputs * e->bytes));
    if (y)
        memcpy(before, y, (size_t)(outputs * e->bytes));
    uint8_t *index = has_index ? place((size_t)outputs) : NULL;
    now.k->max_taps(e->element, e->flipped, pixels, channels, taps, x, x_step, y, index, y_step);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t p = i / y_step, c = i % y_step;
        if (c >= channels) {
            if ((y && memcmp(y + i * e->bytes, before + i * e->bytes, (size_t)e->bytes)) || (index && index[i] != SPARE))
                fail("channel %ld of %ld was written", (long)c, (long)channels);
            continue;
        }
        long double best = resume ? value(e, before, i) : rectified ? 0 : lowest(e);
        const unsigned char *from = resume ? before + i * e->bytes : NULL;
        int label = taps->start;
        for (ptrdiff_t t = 0; t < taps->count; t++) {
            const ptrdiff_t at = p * x_step + taps->offset[t] + c;
            if (value(e, x, at) > best) {
                best = value(e, x, at);
                from = (const unsigned char *)x + at * e->bytes;
                label = taps->label[t];
            }
        }
        now.compared++;
        if (y && (from ? memcmp(y + i * e->bytes, from, (size_t)e->bytes) != 0 : value(e, y, i) != best))
            fail("y[%ld] is %Lg, wanted %Lg", (long)i, value(e, y, i), best);
        if (index && index[i] != label)
            fail("index[%ld] is %d, wanted %d", (long)i, index[i], label);
    }
    free(before);
    release();
}

static void check_max_taps(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (ptrdiff_t channels = 1; channels <= 150; channels += channels < 9 ? 1 : 1 + draw() % 9)
            for (int options = 0; options < 8; options++)
                max_taps_once(&kinds[i], ONE_OF(1, 2, 3), channels, options);
}

/* Windows of h lines by w pixels that lie side by side along a line. */
static void max_spread_once(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t h, ptrdiff_t w, int options)
{
    const kind *e = &kinds[0];
    const ptrdiff_t gap = ONE_OF(0, 0, 2), pixel = channels + gap, line = pixels * w * pixel, y_step = channels + ONE_OF(0, 3);
    const ptrdiff_t inputs = h * line - gap, outputs = (pixels - 1) * y_step + channels;
    ck_taps *taps = place(sizeof *taps);
    taps->count = h * w;
    taps->stream = options & 1;
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        taps->offset[t] = t / w * line + t % w * pixel;
        taps->label[t] = (uint8_t)(t + 1);
    }
    seal();
    const real *x = elements(e, inputs);
    seal();
    const real *dy = input(outputs);
    real *dx = numbers(inputs);
    double *before = copy_of(dx, inputs);
    uint8_t *index = options & 2 ? place((size_t)outputs) : NULL;
    for (ptrdiff_t i = 0; index && i < outputs; i++)
        index[i] = (uint8_t)(draw() % (taps->count + 2));
    real *sums = index && draw() % 2 ? numbers(channels) : NULL;
    double *sums_before = sums ? copy_of(sums, channels) : NULL;
    now.k->max_spread(pixels, channels, taps, index ? NULL : x, w * pixel, index, dy, y_step, dx, sums);
    for (ptrdiff_t i = 0; i < inputs; i++) {
        const ptrdiff_t c = i % pixel, p = i % line / pixel / w, t = i / line * w + i % line / pixel % w;
        if (c >= channels) {
            if ((double)dx[i] != before[i])
                fail("channel %ld of %ld was written", (long)c, (long)channels);
            continue;
        }
        ptrdiff_t chosen = index ? index[p * y_step + c] - 1 : 0;
        for (ptrdiff_t u = 1; !index && u < taps->count; u++)
            if (value(e, x, p * w * pixel + taps->offset[u] + c) > value(e, x, p * w * pixel + taps->offset[chosen] + c))
                chosen = u;
        expect("dx", i, dx[i], t == chosen ? (double)dy[p * y_step + c] : 0, 0, 0);
    }
    for (ptrdiff_t c = 0; sums && c < channels; c++) {
        double sum = sums_before[c], magnitude = fabs(sum);
        for (ptrdiff_t i = c; i < outputs; i += y_step)
            if (index[i] >= 1 && index[i] <= taps->count) {
                sum += (double)dy[i];
                magnitude += fabs((double)dy[i]);
            }
        expect("sums", c, sums[c], sum, magnitude, pixels);
    }
    free(sums_before);
    free(before);
    release();
}

static void check_max_spread(void)
{
    for (ptrdiff_t channels = 1; channels <= 10 * now.k->vector; channels += channels < 9 ? 1 : 1 + draw() % 5)
        for (int options = 0; options < 4; options++)
            max_spread_once(ONE_OF(1, 2, 3), channels, ONE_OF(1, 2, 3), ONE_OF(1, 2, 4), options);
}

static void sum_taps_once(ptrdiff_t pixels, ptrdiff_t phases, ptrdiff_t channels, double count, int options)
{
    const int has_index = options & 1, resume = options & 2;
    const ptrdiff_t x_step = channels + ONE_OF(0, 2), y_step = channels + ONE_OF(0, 0, 3), all = pixels * phases;
    const ptrdiff_t outputs = (all - 1) * y_step + channels;
    ptrdiff_t reach;
    ck_taps *taps = some_taps(phases, ONE_OF(0, 1, 4, 9), x_step, &reach);
    for (ptrdiff_t q = 0; q < phases; q++) {
        taps[q].resume = resume;
        taps[q].stream = options & 4;
    }
    seal();
    const ptrdiff_t inputs = reach + (pixels - 1) * x_step + channels;
    const real *x = input(inputs);
    uint8_t *index = has_index ? place((size_t)inputs) : NULL;
    for (ptrdiff_t i = 0; index && i < inputs; i++)
        index[i] = (uint8_t)(draw() % 3);
    if (index)
        seal();
    real *y = numbers(outputs);
    double *before = copy_of(y, outputs);
    now.k->sum_taps(pixels, phases, channels, taps, count, x, index, x_step, y, y_step);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t p = i / y_step / phases, q = i / y_step % phases, c = i % y_step;
        if (c >= channels) {
            if ((double)y[i] != before[i])
                fail("channel %ld of %ld was written", (long)c, (long)channels);
            continue;
        }
        double sum = resume ? before[i] : 0, size = fabs(sum);
        for (ptrdiff_t t = 0; t < taps[q].count; t++) {
            const ptrdiff_t at = p * x_step + taps[q].offset[t] + c;
            if (!index || index[at] == taps[q].label[t]) {
                sum += (double)x[at];
                size += fabs((double)x[at]);
            }
        }
        expect("y", i, y[i], now.integers ? (double)((real)sum / (real)count) : sum / count, size / count, taps[q].count + 1);
    }
    free(before);
    release();
}

static void check_sum_taps(void)
{
    for (ptrdiff_t channels = 1; channels <= 5 * now.k->vector; channels += channels < 9 ? 1 : 1 + draw() % 5)
        for (int options = 0; options < 8; options++)
            sum_taps_once(ONE_OF(1, 2, 3), ONE_OF(1, 2, 3), channels, (double)ONE_OF(1, 3, 4, 9), options);
}
