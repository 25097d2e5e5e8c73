/* A matrix in rows from one that lies anyhow, for arrays whose channels are not neighbours in memory:
 *
 *     to[r*cols + c] = from[r*row_step + c*col_step],   r < rows, c < cols
 *
 * in squares that stay in L1, so that both sides move by whole cache lines.
 */
static void transpose(ptrdiff_t rows, ptrdiff_t cols, const void *matrix, ptrdiff_t row_step, ptrdiff_t col_step, void *result)
{
    enum { SIDE = 16 };
    const real *from = matrix;
    real *to = result;
    for (ptrdiff_t row = 0; row < rows; row += SIDE)
        for (ptrdiff_t col = 0; col < cols; col += SIDE) {
            const ptrdiff_t last_row = row + SIDE < rows ? row + SIDE : rows, last_col = col + SIDE < cols ? col + SIDE : cols;
            for (ptrdiff_t r = row; r < last_row; r++)
                for (ptrdiff_t c = col; c < last_col; c++)
                    to[r * cols + c] = from[r * row_step + c * col_step];
        }
}
