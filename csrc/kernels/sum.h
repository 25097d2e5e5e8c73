/* Sums over rows, for the gradient of the bias:  sums[c] += sum over r < rows of x[r*row_step + c],   c < cols. */
CK_INLINE void sum_panel(const int vecs, ptrdiff_t rows, const real *x, ptrdiff_t row_step, real *sums)
{
    vf sum[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        sum[v] = v_load(sums + v * VL);
    for (ptrdiff_t r = 0; r < rows; r++, x += row_step)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sum[v] = v_add(sum[v], v_load(x + v * VL));
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        v_store(sums + v * VL, sum[v]);
}

static void sum_rows(ptrdiff_t rows, ptrdiff_t cols, const void *rows_of_x, ptrdiff_t row_step, void *totals)
{
    const real *x = rows_of_x;
    real *sums = totals;
    ptrdiff_t c = 0;
    for (; c + 4 * VL <= cols; c += 4 * VL)
        sum_panel(4, rows, x + c, row_step, sums + c);
    for (; c + VL <= cols; c += VL)
        sum_panel(1, rows, x + c, row_step, sums + c);
    if (c < cols) {
        const ptrdiff_t n = cols - c;
        vf sum = v_load_n(sums + c, n);
        for (ptrdiff_t r = 0; r < rows; r++)
            sum = v_add(sum, v_load_n(x + r * row_step + c, n));
        v_store_n(sums + c, sum, n);
    }
}
