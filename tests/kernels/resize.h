/* The checks of kernels/resize.h. */
#ifndef RESIZE_H
#define RESIZE_H

#include "check.h"

static void blend_once(ptrdiff_t pixels, ptrdiff_t channels, int resume)
{
    enum { MOST = 6, PLACES = 9 };
    const ptrdiff_t base = ONE_OF(0, 3), step = channels + ONE_OF(0, 2), x_size = (PLACES - 1) * step + channels;
    ptrdiff_t *first = place((size_t)(pixels + 1) * sizeof *first), *from, total = 0;
    for (ptrdiff_t p = 0; p < pixels; p++) {
        first[p] = total;
        total += ONE_OF(0, 1, 1, 2, 4, MOST);
    }
    first[pixels] = total;
    seal();
    from = place((size_t)total * sizeof *from);
    for (ptrdiff_t t = 0; t < total; t++)
        from[t] = base + draw() % PLACES;
    seal();
    real *weight = numbers(total);
    for (ptrdiff_t t = 0; t < total; t++)
        weight[t] = draw() % 4 ? weight[t] : 1;
    seal();
    const real *x = input(x_size);
    real *y = numbers(pixels * channels);
    double *before = copy_of(y, pixels * channels);
    now.k->blend(pixels, channels, first, from, base, step, weight, x, y, resume);
    for (ptrdiff_t i = 0; i < pixels * channels; i++) {
        const ptrdiff_t p = i / channels;
        double sum = resume ? before[i] : 0, size = fabs(sum);
        for (ptrdiff_t t = first[p]; t < first[p + 1]; t++) {
            const double product = (double)weight[t] * (double)x[(from[t] - base) * step + i % channels];
            sum += product;
            size += fabs(product);
        }
        expect("y", i, y[i], sum, size, first[p + 1] - first[p]);
    }
    free(before);
    release();
}

static void check_blend(void)
{
    for (ptrdiff_t channels = 1; channels <= 6 * now.k->vector; channels += channels < 9 ? 1 : 1 + draw() % 5)
        for (int resume = 0; resume < 2; resume++)
            blend_once(ONE_OF(1, 2, 5), channels, resume);
}

static void pairs_once(ptrdiff_t pixels, ptrdiff_t channels, int lines, int stream)
{
    enum { PLACES = 6 };
    ptrdiff_t *first = place((size_t)(pixels + 1) * sizeof *first), *from, total = 0;
    for (ptrdiff_t p = 0; p < pixels; p++) {
        first[p] = total;
        total += ONE_OF(1, 2, 2);
    }
    first[pixels] = total;
    seal();
    from = place((size_t)total * sizeof *from);
    for (ptrdiff_t p = 0, at = 0; p < pixels; p++) {
        at = draw() % 3 ? at : draw() % (PLACES - 1);                  /* neighbours often read the same pixels, or the next */
        at += at < PLACES - 2 && draw() % 2;
        from[first[p]] = at;
        from[first[p + 1] - 1] = at + (first[p + 1] - first[p] > 1);
    }
    seal();
    real *weight = numbers(total);
    for (ptrdiff_t t = 0; t < total; t++)
        weight[t] = draw() % 4 ? weight[t] : 1;
    seal();
    const real *above = input(PLACES * channels), *below = lines > 1 ? input(PLACES * channels) : NULL;
    const double shares[2] = { ONE_OF(1, 0.75), 0.25 };
    real *y = numbers(pixels * channels);
    now.k->blend_pairs(pixels, channels, first, from, weight, above, below, shares, y, stream);
    for (ptrdiff_t i = 0; i < pixels * channels; i++) {
        double sum = 0, size = 0;
        for (ptrdiff_t t = first[i / channels]; t < first[i / channels + 1]; t++)
            for (int line = 0; line < lines; line++) {
                const double a = (double)(line ? below : above)[from[t] * channels + i % channels];
                sum += (double)weight[t] * shares[line] * a;
                size += fabs((double)weight[t] * shares[line] * a);
            }
        expect("y", i, y[i], sum, size, 6);
    }
    release();
}

static void check_blend_pairs(void)
{
    for (ptrdiff_t channels = 1; channels <= 6 * now.k->vector; channels += channels < 9 ? 1 : 1 + draw() % 5)
        for (int kind = 0; kind < 4; kind++)
            pairs_once(ONE_OF(1, 2, 9), channels, 1 + kind % 2, kind / 2);
}

#endif
