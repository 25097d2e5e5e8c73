/* Normalisation of rows, and its gradient:
 *
 *     row_norm        y = xh * w + b,   xh = (x - mean) / sqrt(var + eps),   mean and var over the n numbers of the row
 *     row_norm_grad   dx = (g - sum(g)/n - xh * sum(g * xh)/n) / sqrt(var + eps),  g = dy * w;   dw += dy * xh,  db += dy
 *
 * Not centered, mean is 0 and left out of dx, and var is the mean of x^2. w and b may be NULL for 1 and 0.
 * stats holds mean and var of each row. Lanes are summed over at most SHORT words, then in double; the second pass over a row
 * subtracts the mean as x can hold it, which keeps all digits where the mean is large beside the deviation.
 */
CK_INLINE vf row_affine(vf a, const real *w, const real *b, ptrdiff_t i, ptrdiff_t n)
{
    if (w)
        a = a * word(w + i, n);
    return b ? v_add(a, word(b + i, n)) : a;
}

/* Sums over a row: of x - center in sums[0], of its square in sums[1]. */
static void row_moments(ptrdiff_t n, const real *x, double about, double *sums)
{
    const real fill = (real)about;
    const vf center = v_set1(fill);
    sums[0] = sums[1] = 0;
    for (ptrdiff_t first = 0; first < n; first += SHORT * VL) {
        const ptrdiff_t end = first + SHORT * VL < n ? first + SHORT * VL : n;
        vf one = v_zero(), two = v_zero();
        for (ptrdiff_t i = first; i < end; i += VL) {
            const vf off = row_word(x + i, n - i, fill) - center;               /* past the end 0 */
            one = v_add(one, off);
            two = v_fma(off, off, two);
        }
        sums[0] += (double)v_sum(one);
        sums[1] += (double)v_sum(two);
    }
}

static void row_norm(ptrdiff_t rows, ptrdiff_t n, const void *from, const void *w, const void *b, double eps, int centered,
                     void *to, double *stats)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *x = (const real *)from + r * n;
        real *y = (real *)to + r * n;
        double sums[2], mean = 0;
        if (centered) {
            row_moments(n, x, 0, sums);
            mean = sums[0] / (double)n;
        }
        const vf center = of(mean);
        row_moments(n, x, mean, sums);
        const double off = centered ? sums[0] / (double)n : 0, var = sums[1] / (double)n - off * off;
        const double inverse = 1 / sqrt(var + eps);
        stats[2 * r] = centered ? (double)(real)mean + off : 0;
        stats[2 * r + 1] = var;
        for (ptrdiff_t i = 0; i < n; i += VL) {
            const vf xh = v_fma(word(x + i, n - i) - center, of(inverse), of(-off * inverse));
            put_word(y + i, row_affine(xh, w, b, i, n - i), n - i);
        }
    }
}

static void row_norm_grad(ptrdiff_t rows, ptrdiff_t n, const void *slopes, const void *from, const void *w, double eps,
                          int centered, const double *stats, void *to, void *dw_line, void *db_line)
{
    real *dw = dw_line, *db = db_line;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *dy = (const real *)slopes + r * n, *x = (const real *)from + r * n;
        real *dx = (real *)to + r * n;
        const double mean = stats[2 * r], center = (double)(real)mean, inverse = 1 / sqrt(stats[2 * r + 1] + eps);
        const vf c = of(center), s = of(inverse), rest = of((center - mean) * inverse);
        double sums[2] = { 0, 0 };
        for (ptrdiff_t first = 0; first < n; first += SHORT * VL) {
            const ptrdiff_t end = first + SHORT * VL < n ? first + SHORT * VL : n;
            vf one = v_zero(), two = v_zero();
            for (ptrdiff_t i = first; i < end; i += VL) {
                const vf slope = word(dy + i, n - i), xh = v_fma(word(x + i, n - i) - c, s, rest);
                const vf g = row_affine(slope, w, NULL, i, n - i);
                one = v_add(one, g);
                two = v_fma(g, xh, two);
                put_word(dw + i, v_fma(slope, xh, word(dw + i, n - i)), n - i);
                put_word(db + i, v_add(slope, word(db + i, n - i)), n - i);
            }
            sums[0] += (double)v_sum(one);
            sums[1] += (double)v_sum(two);
        }
        const vf one = of(centered ? sums[0] / (double)n : 0), two = of(sums[1] / (double)n);
        for (ptrdiff_t i = 0; i < n; i += VL) {
            const vf xh = v_fma(word(x + i, n - i) - c, s, rest), g = row_affine(word(dy + i, n - i), w, NULL, i, n - i);
            put_word(dx + i, s * (g - v_fma(xh, two, one)), n - i);
        }
    }
}
