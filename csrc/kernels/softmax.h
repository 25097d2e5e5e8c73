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

/* Cross-entropy of the softmax of each row against a label, of class weights w and of what smoothing spreads over all classes:
 *
 *     loss = -pull * l[label] - sum(each * l),   y = factor * (softmax * (pull + sum(each)) - each - pull at the label)
 *
 * where l is the log-softmax and pull = share * w[label]; how holds share, the sum of each, and factor. w and each may be NULL for
 * 1 and 0. A label below 0 stands for none. What weighs nothing counts nothing, though its logit be -inf.
 */
CK_INLINE double row_likely(ptrdiff_t n, const real *x, const real *each, double peak)
{
    double sum = 0;
    for (ptrdiff_t first = 0; first < n; first += SHORT * VL) {
        const ptrdiff_t end = first + SHORT * VL < n ? first + SHORT * VL : n;
        vf part = v_zero();
        for (ptrdiff_t i = first; i < end; i += VL) {
            const vf share = row_word(each + i, n - i, 0), off = row_word(x + i, n - i, 0) - of(peak);
            part = v_add(part, v_if_less(v_zero(), share, share * off, v_zero()));
        }
        sum += (double)v_sum(part);
    }
    return sum;
}

static void cross_entropy_rows(ptrdiff_t rows, ptrdiff_t n, const void *logits, const int64_t *labels, const void *weights,
                               const void *spread, const double *how, void *to, double *losses)
{
    const real *x = logits, *w = weights, *each = spread;
    real *y = to;
    const vf factor = of(-how[2]);
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n) {
        const ptrdiff_t label = (ptrdiff_t)labels[r];
        if (label < 0) {
            memset(y, 0, (size_t)n * sizeof(real));
            losses[r] = 0;
            continue;
        }
        const double pull = how[0] * (w ? (double)w[label] : 1), pulls = pull + how[1], peak = row_peak(n, x);
        const double sum = row_sum(CK_SOFTMAX, n, x, NULL, peak, y), likely = each ? row_likely(n, x, each, peak) : 0;
        const vf scale = of(pulls / sum * how[2]);
        for (ptrdiff_t i = 0; i < n; i += VL) {
            const vf t = scale * row_word(y + i, n - i, 0);
            row_store(y + i, each ? v_fma(factor, row_word(each + i, n - i, 0), t) : t, n - i);
        }
        y[label] -= (real)(pull * how[2]);
        losses[r] = log_of(sum) * pulls - likely - (pull > 0 ? pull * ((double)x[label] - peak) : 0);
    }
}
