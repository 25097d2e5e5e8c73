/* A matrix in rows from one that lies anyhow, for arrays whose channels are not neighbours in memory:
 *
 *     to[r*cols + c] = from[r*row_step + c*col_step],   r < rows, c < cols
 *
 * in squares, so that both sides move by whole cache lines.
 */
#define CK_LANES (CK_BYTES / (CK_DOUBLE ? 8 : 4))             /* VL for the preprocessor */
#if CK_LANES == 16
#define CK_EACH(X, s)                                                                                                       \
    X(0, s), X(1, s), X(2, s), X(3, s), X(4, s), X(5, s), X(6, s), X(7, s), X(8, s), X(9, s), X(10, s), X(11, s), X(12, s), \
    X(13, s), X(14, s), X(15, s)
#elif CK_LANES == 8
#define CK_EACH(X, s) X(0, s), X(1, s), X(2, s), X(3, s), X(4, s), X(5, s), X(6, s), X(7, s)
#elif CK_LANES == 4
#define CK_EACH(X, s) X(0, s), X(1, s), X(2, s), X(3, s)
#else
#define CK_EACH(X, s) X(0, s), X(1, s)
#endif
/* Rows whose numbers differ in bit s alone swap the elements whose places have the other value of that bit. */
#define CK_LOW(l, s) ((l) & (s) ? CK_LANES + (l) - (s) : (l))
#define CK_HIGH(l, s) ((l) & (s) ? CK_LANES + (l) : (l) + (s))
#define CK_SWAP(s)                                                                                                          \
    _Pragma("GCC unroll 16")                                                                                                \
    for (int i = 0; i < VL; i++)                                                                                            \
        if (!(i & (s))) {                                                                                                   \
            const vf a = row[i], b = row[i + (s)];                                                                          \
            row[i] = __builtin_shufflevector(a, b, CK_EACH(CK_LOW, s));                                                     \
            row[i + (s)] = __builtin_shufflevector(a, b, CK_EACH(CK_HIGH, s));                                              \
        }

/* VL lines of VL neighbours -> VL rows. */
static __attribute__((noinline)) void turn(const real *from, ptrdiff_t from_step, real *to, ptrdiff_t to_step)
{
    vf row[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++, from += from_step)
        row[i] = v_load(from);
    CK_SWAP(1)
#if CK_LANES > 2
    CK_SWAP(2)
#endif
#if CK_LANES > 4
    CK_SWAP(4)
#endif
#if CK_LANES > 8
    CK_SWAP(8)
#endif
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++, to += to_step)
        v_store(to, row[i]);
}

static void transpose(ptrdiff_t rows, ptrdiff_t cols, const void *matrix, ptrdiff_t row_step, ptrdiff_t col_step, void *result)
{
    const real *from = matrix;
    real *to = result;
    for (ptrdiff_t row = 0; row < rows; row += VL)
        for (ptrdiff_t col = 0; col < cols; col += VL) {
            const ptrdiff_t last_row = row + VL < rows ? row + VL : rows, last_col = col + VL < cols ? col + VL : cols;
            if (row_step == 1 && row + VL == last_row && col + VL == last_col)
                turn(from + row + col * col_step, col_step, to + row * cols + col, cols);
            else
                for (ptrdiff_t r = row; r < last_row; r++)
                    for (ptrdiff_t c = col; c < last_col; c++)
                        to[r * cols + c] = from[r * row_step + c * col_step];
        }
}
