/* Weighted sums of pixels, for resampling:
 *
 *     y[p][c] = sum over first[p] <= t < first[p + 1] of  weight[t] * x[(place[t] - base)*step + c],   p < pixels, c < channels
 *
 * y        pixels next to each other; with `resume` it holds sums that are gone on from
 * x        element c of place `base`; places lie `step` apart
 *
 * pixels >= 1, channels >= 1. An output without taps is 0. Each sum has one accumulator and the order of the taps; a pixel
 * that has one tap of weight 1 is copied, so that no bit of it changes.
 */
CK_INLINE void blend_words(const int vecs, const int resume, const ptrdiff_t n, ptrdiff_t taps, const ptrdiff_t *place,
                           ptrdiff_t base, ptrdiff_t step, const real *weight, const real *x, real *y)
{
    vf sums[4];
    ptrdiff_t t = 0;
    if (resume)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sums[v] = n == VL ? v_load(y + v * VL) : v_load_n(y + v * VL, n);
    else {
        const real *from = x + (place[0] - base) * step;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sums[v] = v_set1(weight[0]) * (n == VL ? v_load(from + v * VL) : v_load_n(from + v * VL, n));
        t = 1;
    }
    for (; t < taps; t++) {
        const real *from = x + (place[t] - base) * step;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sums[v] = v_fma(v_set1(weight[t]), n == VL ? v_load(from + v * VL) : v_load_n(from + v * VL, n), sums[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        if (n == VL)
            v_store(y + v * VL, sums[v]);
        else
            v_store_n(y + v * VL, sums[v], n);
}

CK_INLINE void blend_pixel(const int resume, ptrdiff_t channels, ptrdiff_t taps, const ptrdiff_t *place, ptrdiff_t base,
                           ptrdiff_t step, const real *weight, const real *x, real *y)
{
    ptrdiff_t c = 0;
    for (; c + 4 * VL <= channels; c += 4 * VL)
        blend_words(4, resume, VL, taps, place, base, step, weight, x + c, y + c);
    for (; c + VL <= channels; c += VL)
        blend_words(1, resume, VL, taps, place, base, step, weight, x + c, y + c);
    if (c < channels)
        blend_words(1, resume, channels - c, taps, place, base, step, weight, x + c, y + c);
}

static void blend(ptrdiff_t pixels, ptrdiff_t channels, const ptrdiff_t *first, const ptrdiff_t *place, ptrdiff_t base,
                  ptrdiff_t step, const void *weights, const void *source, void *target, int resume)
{
    const real *weight = weights, *x = source;
    real *y = target;
    for (ptrdiff_t p = 0; p < pixels; p++, y += channels) {
        const ptrdiff_t start = first[p], taps = first[p + 1] - start;
        if (resume)
            blend_pixel(1, channels, taps, place + start, base, step, weight + start, x, y);
        else if (taps == 0)
            memset(y, 0, (size_t)channels * sizeof(real));
        else if (taps == 1 && weight[start] == 1)
            memcpy(y, x + (place[start] - base) * step, (size_t)channels * sizeof(real));
        else
            blend_pixel(0, channels, taps, place + start, base, step, weight + start, x, y);
    }
}

/* The same where an output has one tap or two neighbouring ones, as in nearest and linear interpolation, of one line or two:
 *
 *     y[p][c] = the sum over its taps t of  weight[t] * (lines[0] * above[place[t]][c] + lines[1] * below[place[t]][c])
 *
 * below   NULL where there is one line
 * stream  y is too large for the caches
 *
 * What two outputs have in common stays in registers. The bits are those of blend along the lines, then across.
 */
CK_INLINE vf pair_of_lines(const ptrdiff_t n, const real *above, const real *below, const real *lines)
{
    vf a = n < VL ? v_load_n(above, n) : v_load(above);
    if (!below) {
        const real *share = lines;
        CK_HOLD(share);                                /* or a * 1 is a, to a compiler that knows no subnormal taken as zero */
        if (lines[0] != 1)
            a = v_set1(share[0]) * a;
        return a;
    }
    return v_fma(v_set1(lines[1]), n < VL ? v_load_n(below, n) : v_load(below), v_set1(lines[0]) * a);
}

CK_INLINE void pairs_words(const int vecs, const ptrdiff_t n, ptrdiff_t pixels, ptrdiff_t channels, const ptrdiff_t *first,
                           const ptrdiff_t *place, const real *weight, const real *above, const real *below, const real *lines,
                           real *y, int stream)
{
    enum { AHEAD = 4 };                                /* pixels: y is asked for before it is written */
    ptrdiff_t left = -1, right = -1;                   /* the pixels that a and b hold */
    const real *share = weight;                        /* as in pair_of_lines */
    CK_HOLD(share);
    vf a[4], b[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        a[v] = b[v] = v_zero();
    for (ptrdiff_t p = 0; p < pixels; p++, y += channels) {
        const ptrdiff_t t = first[p], at = place[t], next = (at + 1) * channels;
        const int two = first[p + 1] > t + 1;
        if (at != left && at != right)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                a[v] = pair_of_lines(n, above + at * channels + v * VL, below ? below + at * channels + v * VL : NULL, lines);
        else if (at != left)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                a[v] = b[v];
        left = at;
        if (two && right != at + 1) {
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                b[v] = pair_of_lines(n, above + next + v * VL, below ? below + next + v * VL : NULL, lines);
            right = at + 1;
        }
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            vf sum = a[v];
            if (!stream)
                __builtin_prefetch(y + AHEAD * channels + v * VL, 1);
            if (two)
                sum = v_fma(v_set1(weight[t + 1]), b[v], v_set1(weight[t]) * a[v]);
            else if (weight[t] != 1)
                sum = v_set1(share[t]) * a[v];
            if (n < VL)
                v_store_n(y + v * VL, sum, n);
            else if (stream)
                v_stream(y + v * VL, sum);
            else
                v_store(y + v * VL, sum);
        }
    }
}

static void blend_pairs(ptrdiff_t pixels, ptrdiff_t channels, const ptrdiff_t *first, const ptrdiff_t *place,
                        const void *weights, const void *upper, const void *lower, const double *shares, void *target, int stream)
{
    const real *above = upper, *below = lower, *weight = weights, lines[2] = { (real)shares[0], (real)shares[1] };
    real *y = target;
    ptrdiff_t c = 0;
    stream = stream && channels % VL == 0 && (uintptr_t)y % sizeof(vf) == 0;
    for (; c + 4 * VL <= channels; c += 4 * VL)
        pairs_words(4, VL, pixels, channels, first, place, weight, above + c, below ? below + c : NULL, lines, y + c, stream);
    for (; c < channels; c += VL)
        pairs_words(1, channels - c, pixels, channels, first, place, weight, above + c, below ? below + c : NULL, lines, y + c,
                    stream);
    if (stream)
        v_fence();
}
