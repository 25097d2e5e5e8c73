/* Normalisation by statistics of columns: of each channel over the pixels, which are rows.
 *
 *     column_moments   of each column: m, the mean of some rows; the sum of x - m, and that of (x - m)^2
 *     column_apply     y = relu( (x - center) * scale + shift + residual ), or relu6
 *     column_sums      of each column: the sum of g, and that of g * (x - center)
 *     column_grad      dx = a * g + (b * (x - center) + d),  dresidual = g
 *
 * where g is dy, but 0 where the relu gave 0, or relu6 6: read off `y` where there is one, else worked out again from x.
 *
 * x, y, dy, ...   rows `step` apart; residual, y of the gradients, and dresidual may be NULL
 * sums            one line for each figure, `sums_step` apart
 *
 * Rows of one call are few enough for a plain sum: what the calls give is put together in double. Subtracting a center near the
 * mean first is exact or nearly so, and keeps all digits where the mean is large beside the deviation; the mean of four of n
 * rows is near enough, as even a row far off makes the deviation at least 1 / sqrt(n) of its distance.
 */
CK_INLINE vf word(const real *a, ptrdiff_t n) { return n < VL ? v_load_n(a, n) : v_load(a); }

CK_INLINE void put_word(real *y, vf a, ptrdiff_t n)
{
    if (n < VL)
        v_store_n(y, a, n);
    else
        v_store(y, a);
}

CK_INLINE void add_word(real *y, vf a, ptrdiff_t n) { put_word(y, v_add(word(y, n), a), n); }

CK_INLINE void write_word(real *y, vf a, ptrdiff_t n, const int stream)
{
    if (stream && n >= VL)
        v_stream(y, a);
    else
        put_word(y, a, n);
}

/* Rows that go together, far apart: along each of them memory is fetched ahead, and one alone does not ask for all that memory
 * can give. `call` takes `count` rows from r on and columns from `left` to `right`: whole words of all, or what remains, row by
 * row. */
enum { TOGETHER = 4 };

CK_INLINE ptrdiff_t rows_apart(ptrdiff_t rows) { return (rows - 1) / TOGETHER + 1; }

CK_INLINE ptrdiff_t width_of(const int count, ptrdiff_t columns) { return count == TOGETHER ? VL : columns; }

#define CK_ROWS_TOGETHER(rows, cols, call)                                                                                  \
    for (ptrdiff_t first_row = 0, each = rows_apart(rows); first_row < each; first_row++) {                                 \
        const ptrdiff_t whole = first_row + (TOGETHER - 1) * each < rows ? cols - cols % VL : 0;                            \
        if (whole) {                                                                                                        \
            enum { count = TOGETHER };                                                                                      \
            const ptrdiff_t r = first_row, left = 0, right = whole;                                                         \
            call;                                                                                                           \
        }                                                                                                                   \
        for (ptrdiff_t r = first_row; r < rows && whole < cols; r += each) {                                                \
            enum { count = 1 };                                                                                             \
            const ptrdiff_t left = whole, right = cols;                                                                     \
            call;                                                                                                           \
        }                                                                                                                   \
    }

static void no_sums(ptrdiff_t cols, ptrdiff_t lines, real *sums, ptrdiff_t sums_step)
{
    for (ptrdiff_t i = 0; i < lines; i++)
        for (ptrdiff_t c = 0; c < cols; c += VL)
            put_word(sums + i * sums_step + c, v_zero(), cols - c);
}

CK_INLINE void spread_rows(const int count, ptrdiff_t left, ptrdiff_t right, const real *x, ptrdiff_t apart, real *sums,
                           ptrdiff_t sums_step)
{
    for (ptrdiff_t c = left; c < right; c += VL) {
        const ptrdiff_t n = width_of(count, right - c);
        const vf pivot = word(sums + c, n);
        vf first = v_zero(), second = v_zero();
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            const vf off = word(x + i * apart + c, n) - pivot;
            first = v_add(first, off);
            second = v_fma(off, off, second);
        }
        add_word(sums + sums_step + c, first, n);
        add_word(sums + 2 * sums_step + c, second, n);
    }
}

static void column_moments(ptrdiff_t rows, ptrdiff_t cols, const void *from, ptrdiff_t step, void *to, ptrdiff_t sums_step)
{
    const real *x = from;
    real *sums = to;
    const ptrdiff_t some = (rows - 1) / rows_apart(rows) + 1;
    no_sums(cols, 3, sums, sums_step);
    for (ptrdiff_t c = 0; c < cols; c += VL) {
        vf pivot = v_zero();
        for (ptrdiff_t r = 0; r < some; r++)
            pivot = v_add(pivot, word(x + r * rows_apart(rows) * step + c, cols - c));
        put_word(sums + c, pivot / v_set1((real)some), cols - c);
    }
    CK_ROWS_TOGETHER(rows, cols, spread_rows(count, left, right, x + r * step, rows_apart(rows) * step, sums, sums_step))
}

CK_INLINE vf normal_word(const ck_columns *g, ptrdiff_t c, ptrdiff_t n, vf off)
{
    return v_fma(off, word((const real *)g->scale + c, n), word((const real *)g->shift + c, n));
}

/* All is read before the first word is written: a CPU may take rows so far apart for the same. */
CK_INLINE void apply_rows(const int count, ptrdiff_t left, ptrdiff_t right, const ck_columns *g, const real *x, ptrdiff_t apart,
                          const real *residual, real *y, const int stream)
{
    const vf least = v_set1(g->relu ? 0 : (real)-INFINITY), most = v_set1(g->relu == 6 ? 6 : (real)INFINITY);
    for (ptrdiff_t c = left; c < right; c += VL) {
        const ptrdiff_t n = width_of(count, right - c);
        const vf center = word((const real *)g->center + c, n);
        vf t[TOGETHER];
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            t[i] = normal_word(g, c, n, word(x + i * apart + c, n) - center);
            if (residual)
                t[i] = v_add(t[i], word(residual + i * apart + c, n));
        }
#pragma GCC unroll 4
        for (int i = 0; i < count; i++)
            write_word(y + i * apart + c, v_min(most, v_max(least, t[i])), n, stream);
    }
}

static void column_apply(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *from, ptrdiff_t step,
                         const void *plus, void *to)
{
    const real *x = from, *residual = plus;
    real *y = to;
    const int stream = g->stream && (uintptr_t)y % sizeof(vf) == 0 && step % VL == 0;
    CK_ROWS_TOGETHER(rows, cols, apply_rows(count, left, right, g, x + r * step, rows_apart(rows) * step,
                                            residual ? residual + r * step : NULL, y + r * step, stream))
    if (stream)
        v_fence();
}

/* dy of n columns from c on, where the relu let it through. */
CK_INLINE vf let_through(const ck_columns *g, ptrdiff_t c, ptrdiff_t n, const real *dy, vf off, const real *y)
{
    const vf slope = word(dy, n);
    if (!g->relu)
        return slope;
    const vf t = y ? word(y, n) : normal_word(g, c, n, off), through = v_if_less(v_zero(), t, slope, v_zero());
    return g->relu == 6 ? v_if_less(t, v_set1(6), through, v_zero()) : through;
}

CK_INLINE void sum_of_rows(const int count, ptrdiff_t left, ptrdiff_t right, const ck_columns *g, const real *dy, const real *x,
                           const real *y, ptrdiff_t apart, real *sums, ptrdiff_t sums_step)
{
    for (ptrdiff_t c = left; c < right; c += VL) {
        const ptrdiff_t n = width_of(count, right - c);
        const vf center = word((const real *)g->center + c, n);
        vf first = v_zero(), second = v_zero();
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            const ptrdiff_t at = i * apart + c;
            const vf off = word(x + at, n) - center, slope = let_through(g, c, n, dy + at, off, y ? y + at : NULL);
            first = v_add(first, slope);
            second = v_fma(slope, off, second);
        }
        add_word(sums + c, first, n);
        add_word(sums + sums_step + c, second, n);
    }
}

static void column_sums(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *slopes, const void *from,
                        const void *result, ptrdiff_t step, void *to, ptrdiff_t sums_step)
{
    const real *dy = slopes, *x = from, *y = result;
    no_sums(cols, 2, to, sums_step);
    CK_ROWS_TOGETHER(rows, cols, sum_of_rows(count, left, right, g, dy + r * step, x + r * step, y ? y + r * step : NULL,
                                             rows_apart(rows) * step, to, sums_step))
}

/* As apply_rows. */
CK_INLINE void grad_of_rows(const int count, ptrdiff_t left, ptrdiff_t right, const ck_columns *g, const real *dy, const real *x,
                            const real *y, ptrdiff_t apart, real *dx, real *dresidual, const int stream)
{
    for (ptrdiff_t c = left; c < right; c += VL) {
        const ptrdiff_t n = width_of(count, right - c);
        const vf center = word((const real *)g->center + c, n), a = word((const real *)g->a + c, n);
        const vf b = word((const real *)g->b + c, n), d = word((const real *)g->d + c, n);
        vf t[TOGETHER], slope[TOGETHER];
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            const ptrdiff_t at = i * apart + c;
            const vf off = word(x + at, n) - center;
            slope[i] = let_through(g, c, n, dy + at, off, y ? y + at : NULL);
            t[i] = v_fma(a, slope[i], v_fma(b, off, d));
        }
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            write_word(dx + i * apart + c, t[i], n, stream);
            if (dresidual)
                put_word(dresidual + i * apart + c, slope[i], n);
        }
    }
}

static void column_grad(ptrdiff_t rows, ptrdiff_t cols, const ck_columns *g, const void *slopes, const void *from,
                        const void *result, ptrdiff_t step, void *to, void *also)
{
    const real *dy = slopes, *x = from, *y = result;
    real *dx = to, *dresidual = also;
    const int stream = g->stream && (uintptr_t)dx % sizeof(vf) == 0 && step % VL == 0;
    CK_ROWS_TOGETHER(rows, cols, grad_of_rows(count, left, right, g, dy + r * step, x + r * step, y ? y + r * step : NULL,
                                              rows_apart(rows) * step, dx + r * step, dresidual ? dresidual + r * step : NULL,
                                              stream))
    if (stream)
        v_fence();
}
