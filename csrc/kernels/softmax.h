/* Softmax, its logarithm and their gradients, row by row:
 *
 *     CK_SOFTMAX           y = e / sum(e),  e = exp(a - max(a))         CK_SOFTMAX_GRAD       y = b * (a - sum(a * b))
 *     CK_LOG_SOFTMAX       y = a - max(a) - log(sum(e))                 CK_LOG_SOFTMAX_GRAD   y = a - exp(b) * sum(a)
 *
 * a, b, y   (rows, n), n >= 1; of the gradients, a is dy and b the result. y may be a or b.
 *
 * A row that is all -inf or holds +inf or NaN becomes NaN. Lanes are summed over at most SHORT words, then in double.
 */
enum { SHORT = 64 };

static const real PLACES[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* The first `left` elements of a word, the others as `fill`. */
CK_INLINE vf row_word(const real *a, ptrdiff_t left, real fill)
{
    return left < VL ? v_if_less(v_load(PLACES), v_set1((real)left), v_load_n(a, left), v_set1(fill)) : v_load(a);
}

CK_INLINE void row_store(real *y, vf a, ptrdiff_t left)
{
    if (left >= VL)
        v_store(y, a);
    else
        v_store_n(y, a, left);
}

CK_INLINE double row_peak(ptrdiff_t n, const real *a)
{
    vf peak = of(-INFINITY);
    for (ptrdiff_t i = 0; i < n; i += VL)
        peak = v_max(row_word(a + i, n - i, (real)-INFINITY), peak);          /* passes over NaN, which the sum meets */
    return (double)v_top(peak);
}

/* The sum over a row of what its kind adds up; CK_SOFTMAX leaves its terms in y. */
CK_INLINE double row_sum(const ck_softmax kind, ptrdiff_t n, const real *a, const real *b, double peak, real *y)
{
    double sum = 0;
    for (ptrdiff_t first = 0; first < n; first += SHORT * VL) {
        const ptrdiff_t end = first + SHORT * VL < n ? first + SHORT * VL : n;
        vf part = v_zero();
        for (ptrdiff_t i = first; i < end; i += VL) {
            vf t = row_word(a + i, n - i, kind <= CK_LOG_SOFTMAX ? (real)-INFINITY : 0);
            if (kind <= CK_LOG_SOFTMAX)
                t = exp_of(t - of(peak));
            if (kind == CK_SOFTMAX)
                row_store(y + i, t, n - i);
            part = kind == CK_SOFTMAX_GRAD ? v_fma(t, row_word(b + i, n - i, 0), part) : v_add(part, t);
        }
        sum += (double)v_sum(part);
    }
    return sum;
}

CK_INLINE double log_of(double a)
{
    int exponent;
    real lanes[VL];
    v_store(lanes, log1p_of(of(2 * frexp(a, &exponent) - 1)));
    return (double)lanes[0] + (exponent - 1) * 0.69314718055994530942;
}

CK_INLINE void softmax_row(const ck_softmax kind, ptrdiff_t n, const real *a, const real *b, real *y)
{
    const double peak = kind <= CK_LOG_SOFTMAX ? row_peak(n, a) : 0, sum = row_sum(kind, n, a, b, peak, y);
    const vf s = of(kind == CK_SOFTMAX ? 1 / sum : kind == CK_LOG_SOFTMAX ? log_of(sum) : sum);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const vf t = row_word((kind == CK_SOFTMAX ? y : a) + i, n - i, 0);
        vf u = t * s;
        if (kind == CK_LOG_SOFTMAX)
            u = t - of(peak) - s;
        else if (kind == CK_SOFTMAX_GRAD)
            u = row_word(b + i, n - i, 0) * (t - s);
        else if (kind == CK_LOG_SOFTMAX_GRAD)
            u = t - exp_of(v_min(of(BY_TYPE(90, 711)), row_word(b + i, n - i, 0))) * s;
        row_store(y + i, u, n - i);
    }
}

static void softmax_rows(ck_softmax kind, ptrdiff_t rows, ptrdiff_t n, const void *a, const void *b, void *y)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t at = r * n;
        switch (kind) {
        case CK_SOFTMAX:
            softmax_row(CK_SOFTMAX, n, (const real *)a + at, NULL, (real *)y + at);
            break;
        case CK_LOG_SOFTMAX:
            softmax_row(CK_LOG_SOFTMAX, n, (const real *)a + at, NULL, (real *)y + at);
            break;
        case CK_SOFTMAX_GRAD:
            softmax_row(CK_SOFTMAX_GRAD, n, (const real *)a + at, (const real *)b + at, (real *)y + at);
            break;
        case CK_LOG_SOFTMAX_GRAD:
            softmax_row(CK_LOG_SOFTMAX_GRAD, n, (const real *)a + at, (const real *)b + at, (real *)y + at);
            break;
        }
    }
}
