/* Convolution in groups of a few channels: several groups share a SIMD word.
 *
 *     y[r][o] = finish( sum over i < lines, s < runs, k < depth, t < span[s] of
 *                       x[i][place[s] + t + r][channel k of o's group] * w[i][s][k][t][o] ),   r < rows, o < cols
 *
 * A word of y holds the outputs of one or several whole groups, or a part of one group; a word of x the inputs of the same
 * groups. `v_spread` hands each output channel k of its own group, so no group sees another one's numbers. Spread once, a
 * pixel is multiplied by the filters of all taps of a run that read it.
 *
 * x      the lines of the source that the filter reads: pixel p of line i lies x[i].at[p] bytes from x[i].line
 * w      packed filters (lines, runs, depth, span, VL), zeros after the last channel
 * g      what all words have in common
 *
 * rows <= CK_TILE_ROWS[1]. Each output has one accumulator and one order of sums (lines, runs, depth, taps), whatever the
 * number of rows. All other strides are in elements.
 */
enum { GROUP_ONE, GROUP_ONE_PART, GROUP_WHOLE, GROUP_PART };    /* one or several groups; is all of the word in use */

CK_INLINE vf group_pixel(const int how, const ck_pixels *x, ptrdiff_t p, ptrdiff_t k, vi from, ptrdiff_t channels)
{
    const real *pixel = (const real *)((const char *)x->line + x->at[p]);
    if (how <= GROUP_ONE_PART)
        return v_set1(pixel[k]);
    return v_spread(how == GROUP_WHOLE ? v_load(pixel) : v_load_n(pixel, channels), from);
}

/* One run of taps over `rows` pixels, from pixel `first` on. */
CK_INLINE void group_run(const int rows, const int span, const int how, const ck_group *g, const ck_pixels *x, ptrdiff_t first,
                         const real *w, vf *sums)
{
    for (ptrdiff_t k = 0; k < g->depth; k++, w += span * VL) {
        const vi from = v_indices(g->lanes + k * VL);
        vf filter[CK_GROUP_SPAN];
#pragma GCC unroll 4
        for (int t = 0; t < span; t++)
            filter[t] = v_load(w + t * VL);
#pragma GCC unroll 16
        for (int p = 0; p < rows + span - 1; p++) {
            const vf pixel = group_pixel(how, x, first + p, k, from, g->channels);
#pragma GCC unroll 4
            for (int t = 0; t < span; t++)
                if (p - t >= 0 && p - t < rows)
                    sums[p - t] = v_fma(pixel, filter[t], sums[p - t]);
        }
    }
}

CK_INLINE void group_of(const int rows, const int how, const ck_group *g, ptrdiff_t lines, const ck_pixels *x, const real *w,
                        real *y, ptrdiff_t y_step, ptrdiff_t next, const ck_finish *finish)
{
    vf sums[CK_MAX_ROWS];
    const vf zero = v_zero(), first = finish->bias ? v_load_n(finish->bias, finish->cols) : zero;
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
        sums[r] = first;
        __builtin_prefetch(y + r * y_step + next, 1);
    }
    if (finish->resume == CK_RESIDUAL) {
        const real *residual = (const real *)((const char *)y + finish->residual);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            sums[r] = v_add(first, v_load_n(residual + r * y_step, finish->cols));
    }
    for (ptrdiff_t i = 0; i < lines; i++)
        for (const ck_run *run = g->run; run < g->run + g->runs; w += g->depth * run->span * VL, run++) {
            if (run->span == 3)
                group_run(rows, 3, how, g, x + i, run->place, w, sums);
            else if (run->span == 2)
                group_run(rows, 2, how, g, x + i, run->place, w, sums);
            else
                group_run(rows, 1, how, g, x + i, run->place, w, sums);
        }
    if (finish->relu)
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
            sums[r] = v_max(zero, sums[r]);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        if (how == GROUP_ONE || how == GROUP_WHOLE)
            v_store(y + r * y_step, sums[r]);
        else
            v_store_n(y + r * y_step, sums[r], finish->cols);
}

CK_INLINE void group_rows_of(const int how, int rows, const ck_group *g, ptrdiff_t lines, const ck_pixels *x, const real *w,
                             real *y, ptrdiff_t y_step, ptrdiff_t next, const ck_finish *finish)
{
    static const int tallest[] = CK_TILE_ROWS;
#define CK_HEIGHT(r)                                                                                                        \
    case r:                                                                                                                 \
        if (r <= tallest[1])                                                                                                \
            group_of(r, how, g, lines, x, w, y, y_step, next, finish);                                                      \
        break;
    switch (rows) {
        CK_HEIGHTS(CK_HEIGHT)
    }
#undef CK_HEIGHT
}

/* Where masks are free, whole words of doubles are parts too: half of the code, for some of the speed. */
CK_INLINE int group_how(const ck_group *g, ptrdiff_t cols)
{
    if (FREE_MASKS && CK_DOUBLE)
        return g->alone ? GROUP_ONE_PART : GROUP_PART;
    return g->alone ? cols == VL ? GROUP_ONE : GROUP_ONE_PART : cols == VL && g->channels == VL ? GROUP_WHOLE : GROUP_PART;
}

/* The pixels `ahead` bytes from those of a line, and `next` elements from y, are fetched on the way. */
static void group_rows(int rows, const ck_group *g, ptrdiff_t lines, const ck_pixels *x, ptrdiff_t ahead, const void *w, void *y,
                       ptrdiff_t y_step, ptrdiff_t next, const ck_finish *finish)
{
    const ck_pixels *last = x + lines - 1;
    for (ptrdiff_t p = 0; p < g->width; p++) {
        const char *pixel = (const char *)last->line + last->at[p] + ahead;
        __builtin_prefetch(pixel);
        __builtin_prefetch(pixel + sizeof(vf) - 1);
    }
    switch (group_how(g, finish->cols)) {
    case GROUP_ONE:
        group_rows_of(GROUP_ONE, rows, g, lines, x, w, y, y_step, next, finish);
        break;
    case GROUP_WHOLE:
        group_rows_of(GROUP_WHOLE, rows, g, lines, x, w, y, y_step, next, finish);
        break;
    case GROUP_ONE_PART:
        group_rows_of(GROUP_ONE_PART, rows, g, lines, x, w, y, y_step, next, finish);
        break;
    default:
        group_rows_of(GROUP_PART, rows, g, lines, x, w, y, y_step, next, finish);
    }
}
