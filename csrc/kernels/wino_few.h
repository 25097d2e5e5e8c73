/* Winograd's F(4x4,3x3) for few tiles: filters stay taps in memory, a quarter of what they are at the points of points.h.
 *
 *     taps    a block of filters: (3, 3, CK_FEW rows of the depth, VL columns), of which `depth` rows are there
 *     u       their values at the 6 x 6 points, in this type and without `filter_scale`: wino_scale does that to the products
 *
 * A block becomes 6 lines of 3 taps first, in L1; each line has two halves, of the points {0, p, -p} and {q, -q, inf}.
 */
enum { FEW_TAP = CK_FEW * VL, FEW_LINE = 3 * FEW_TAP };

/* The values of taps at x and -x. */
CK_INLINE void few_pair(const int far, vf a, vf b, vf c, vf *plus, vf *minus)
{
    const real x = far ? (real)1.5 : (real)0.625;
    const vf even = v_fma(v_set1(x * x), c, a);
    *plus = v_fma(v_set1(x), b, even);
    *minus = v_fma(v_set1(-x), b, even);
}

/* The lines at p, -p, q and -q; those at 0 and infinity are taps themselves. */
static void few_lines(ptrdiff_t depth, const real *taps, real *lines)
{
    for (ptrdiff_t j = 0; j < FEW_LINE; j += FEW_TAP)
        for (ptrdiff_t k = j; k < j + depth * VL; k += VL) {
            const vf a = v_load(taps + k), b = v_load(taps + FEW_LINE + k), c = v_load(taps + 2 * FEW_LINE + k);
            vf u[4];
            few_pair(0, a, b, c, u, u + 1);
            few_pair(1, a, b, c, u + 2, u + 3);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                v_store(lines + i * FEW_LINE + k, u[i]);
        }
}

/* As wino_filter, for 3x3 taps, with the values that wino_few multiplies by. */
static void wino_few_filter(const ck_patch *patch, ptrdiff_t depth, ptrdiff_t depth_step, ptrdiff_t cols, int vecs,
                            void *points, ptrdiff_t step)
{
    enum { AHEAD = 3 };                            /* as there */
    real *to = points;
    for (ptrdiff_t k = 0; k < depth; k++)
        for (ptrdiff_t c = 0; c < vecs * VL; c += VL, to += VL) {
            const real *w = (const real *)patch->origin + k * depth_step + c;
            const ptrdiff_t left = cols - c, width = left < VL ? (left < 0 ? 0 : left) : VL;
            vf lines[6][3];
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++) {
                vf g[3];
#pragma GCC unroll 3
                for (int i = 0; i < 3; i++) {
                    const real *tap = w + i * patch->row + j * patch->col;
                    __builtin_prefetch(tap + AHEAD * depth_step);
                    g[i] = load_word(tap, width);
                }
                lines[0][j] = g[0], lines[5][j] = g[2];
                few_pair(0, g[0], g[1], g[2], &lines[1][j], &lines[2][j]);
                few_pair(1, g[0], g[1], g[2], &lines[3][j], &lines[4][j]);
            }
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++) {
                const vf *g = lines[i];
                vf u[6] = { g[0], g[0], g[0], g[0], g[0], g[2] };
                few_pair(0, g[0], g[1], g[2], u + 1, u + 2);
                few_pair(1, g[0], g[1], g[2], u + 3, u + 4);
#pragma GCC unroll 6
                for (int j = 0; j < 6; j++)
                    v_store(to + (6 * i + j) * step, u[j]);
            }
        }
}

/* Three points of a line: the two of a pair, and 0 or, `far`, infinity. */
CK_INLINE void few_sums(const int count, const int far, ptrdiff_t depth, const real *line, ptrdiff_t tiles, const real *v,
                        real *sums, ptrdiff_t step, int resume, const char *next)
{
    enum { ALONE, PLUS, MINUS };
    const ptrdiff_t first = far ? 3 : 0, point[] = { far ? 5 : 0, first + !far, first + 1 + !far };
    vf sum[3][CK_FEW_TILES];
#pragma GCC unroll 3
    for (int p = 0; p < 3; p++)
#pragma GCC unroll 4
        for (int t = 0; t < count; t++)
            sum[p][t] = resume ? v_load(sums + point[p] * step + t * VL) : v_zero();
    for (ptrdiff_t k = 0; k < depth; k++, line += VL, v += 36 * tiles, next += CK_BYTES) {
        const vf a = v_load(line), b = v_load(line + FEW_TAP), c = v_load(line + 2 * FEW_TAP);
        vf u[3] = { far ? c : a, a, a };
        few_pair(far, a, b, c, u + PLUS, u + MINUS);
        __builtin_prefetch(next);
#pragma GCC unroll 3
        for (int p = 0; p < 3; p++)
#pragma GCC unroll 4
            for (int t = 0; t < count; t++)
                sum[p][t] = v_fma(v_set1(v[point[p] * tiles + t]), u[p], sum[p][t]);
    }
#pragma GCC unroll 3
    for (int p = 0; p < 3; p++)
#pragma GCC unroll 4
        for (int t = 0; t < count; t++)
            v_store(sums + point[p] * step + t * VL, sum[p][t]);
}

/* sums[i][j][t] = sum over k < depth of v[k][i][j][t] * u[i][j][k], added to what was there if `resume`: a word for each of at
 * most CK_FEW_TILES tiles, of which used[i] have points (i, j). It is `step` from one point of `sums` to the next. What lies at
 * `next` is fetched. */
static void wino_few(ptrdiff_t depth, ptrdiff_t tiles, const ptrdiff_t *used, const void *taps, const void *v, void *sums,
                     ptrdiff_t step, int resume, const void *next)
{
    real lines[4 * FEW_LINE] __attribute__((aligned(CK_BYTES)));
    few_lines(depth, taps, lines);
    for (int i = 0; i < 6; i++) {
        const real *line = i == 0 ? taps : i == 5 ? (const real *)taps + 2 * FEW_LINE : lines + (i - 1) * FEW_LINE;
        const real *from = (const real *)v + 6 * i * tiles;
        const char *soon = (const char *)next + 2 * i * depth * CK_BYTES;
        real *to = (real *)sums + 6 * i * step;
#define CK_COUNT(n)                                                                                                         \
    case n:                                                                                                                 \
        few_sums(n, 0, depth, line, tiles, from, to, step, resume, soon);                                                   \
        few_sums(n, 1, depth, line, tiles, from, to, step, resume, soon + depth * CK_BYTES);                                \
        break;
        switch (used[i]) {
            CK_COUNT(1)
            CK_COUNT(2)
            CK_COUNT(3)
            CK_COUNT(4)
        }
#undef CK_COUNT
    }
}

/* Products of a point past filters without `filter_scale` -> those past filters with it, in whole words. */
static void wino_scale(ptrdiff_t point, ptrdiff_t tiles, ptrdiff_t cols, void *products, ptrdiff_t row)
{
    const vf scale = v_set1((real)(filter_scale(CK_SIX, (int)(point / 6)) * filter_scale(CK_SIX, (int)(point % 6))));
    real *at = products;
    for (ptrdiff_t t = 0; t < tiles; t++, at += row)
        for (ptrdiff_t c = 0; c < cols; c += VL)
            v_store(at + c, v_load(at + c) * scale);
}
