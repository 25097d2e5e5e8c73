/* The gradient of the filters of a convolution in groups (grouped.h):
 *
 *     sums[i][s][k][t][o] += sum over p < pixels of x[i][place[s] + t + p][channel k of o's group] * dy[p][o]
 *
 * Each element has one accumulator and one order of sums. A few channels k are taken at a time; each pixel of x is spread
 * once for the taps of a run, and dy slides along in as many words as there are taps. Sums are never made of pixels that lie
 * outside: a number that is not finite must not meet a zero that stands for nothing.
 */
CK_INLINE vf group_dy(const int how, const real *dy, ptrdiff_t cols)
{
    return how == GROUP_ONE || how == GROUP_WHOLE ? v_load(dy) : v_load_n(dy, cols);
}

CK_INLINE void group_sums_of(const int deep, const int span, const int how, const ck_group *g, const ck_pixels *x, ptrdiff_t k,
                             ptrdiff_t first, ptrdiff_t pixels, ptrdiff_t cols, const real *dy, ptrdiff_t dy_step, real *sums)
{
    vf sum[CK_GROUP_DEEP * CK_GROUP_SPAN], slides[CK_GROUP_SPAN];
    vi from[CK_GROUP_DEEP];
    const ptrdiff_t end = pixels + span - 1;
#pragma GCC unroll 4
    for (int j = 0; j < deep; j++)
        from[j] = v_indices(g->lanes + (k + j) * VL);
#pragma GCC unroll 12
    for (int i = 0; i < deep * span; i++)
        sum[i] = v_load(sums + i * VL);
    for (ptrdiff_t p = 0; p < end; p++) {
        if (p == span - 1 && p < pixels) {             /* all taps meet dy from here on */
#pragma GCC unroll 4
            for (int t = 1; t < span; t++)
                slides[t - 1] = group_dy(how, dy + (p - t) * dy_step, cols);
            for (; p < pixels; p++) {
#pragma GCC unroll 4
                for (int t = span - 1; t > 0; t--)
                    slides[t] = slides[t - 1];
                slides[0] = group_dy(how, dy + p * dy_step, cols);
#pragma GCC unroll 4
                for (int j = 0; j < deep; j++) {
                    const vf pixel = group_pixel(how, x, first + p, k + j, from[j], g->channels);
#pragma GCC unroll 4
                    for (int t = 0; t < span; t++)
                        sum[j * span + t] = v_fma(pixel, slides[t], sum[j * span + t]);
                }
            }
            if (p == end)
                break;
        }
#pragma GCC unroll 4
        for (int t = 0; t < span; t++)
            if (p >= t && p - t < pixels) {
                const vf d = group_dy(how, dy + (p - t) * dy_step, cols);
#pragma GCC unroll 4
                for (int j = 0; j < deep; j++)
                    sum[j * span + t] = v_fma(group_pixel(how, x, first + p, k + j, from[j], g->channels), d, sum[j * span + t]);
            }
    }
#pragma GCC unroll 12
    for (int i = 0; i < deep * span; i++)
        v_store(sums + i * VL, sum[i]);
}

CK_INLINE void group_sums_run(const int span, const int how, const ck_group *g, const ck_pixels *x, ptrdiff_t first,
                              ptrdiff_t pixels, ptrdiff_t cols, const real *dy, ptrdiff_t dy_step, real *sums)
{
    ptrdiff_t k = 0;
    for (; k + CK_GROUP_DEEP <= g->depth; k += CK_GROUP_DEEP, sums += CK_GROUP_DEEP * span * VL)
        group_sums_of(CK_GROUP_DEEP, span, how, g, x, k, first, pixels, cols, dy, dy_step, sums);
    if (g->depth - k == 3)
        group_sums_of(3, span, how, g, x, k, first, pixels, cols, dy, dy_step, sums);
    else if (g->depth - k == 2)
        group_sums_of(2, span, how, g, x, k, first, pixels, cols, dy, dy_step, sums);
    else if (g->depth - k == 1)
        group_sums_of(1, span, how, g, x, k, first, pixels, cols, dy, dy_step, sums);
}

CK_INLINE void group_sums_lines(const int how, const ck_group *g, ptrdiff_t lines, const ck_pixels *x, ptrdiff_t pixels,
                                ptrdiff_t cols, const real *dy, ptrdiff_t dy_step, real *sums)
{
    for (ptrdiff_t i = 0; i < lines; i++)
        for (const ck_run *run = g->run; run < g->run + g->runs; sums += g->depth * run->span * VL, run++) {
            if (run->span == 3)
                group_sums_run(3, how, g, x + i, run->place, pixels, cols, dy, dy_step, sums);
            else if (run->span == 2)
                group_sums_run(2, how, g, x + i, run->place, pixels, cols, dy, dy_step, sums);
            else
                group_sums_run(1, how, g, x + i, run->place, pixels, cols, dy, dy_step, sums);
        }
}

static void group_sums(ptrdiff_t pixels, ptrdiff_t cols, const ck_group *g, ptrdiff_t lines, const ck_pixels *x,
                       const void *dy, ptrdiff_t dy_step, void *sums)
{
    switch (group_how(g, cols)) {
    case GROUP_ONE:
        group_sums_lines(GROUP_ONE, g, lines, x, pixels, cols, dy, dy_step, sums);
        break;
    case GROUP_WHOLE:
        group_sums_lines(GROUP_WHOLE, g, lines, x, pixels, cols, dy, dy_step, sums);
        break;
    case GROUP_ONE_PART:
        group_sums_lines(GROUP_ONE_PART, g, lines, x, pixels, cols, dy, dy_step, sums);
        break;
    default:
        group_sums_lines(GROUP_PART, g, lines, x, pixels, cols, dy, dy_step, sums);
    }
}
