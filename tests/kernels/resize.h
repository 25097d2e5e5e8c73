/* The check of kernels/resize.h. */
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

#endif
