/* tile_rows, tile_lines, pack_panel, transpose, sum_rows and multiply_add against their formulas. */
#include "check.h"

static void tile_rows_once(int rows, int vecs, ptrdiff_t cols, ptrdiff_t taps, ptrdiff_t depth, int options)
{
    const int has_bias = options & 1, relu = options & 4;
    const ptrdiff_t a_step = rows + (options & 1), width = (ptrdiff_t)vecs * now.k->vector, pitch = cols + 3;
    const ptrdiff_t outputs = (rows - 1) * pitch + cols;
    const real *pixels = input(taps * rows * depth), *panel = input(taps * depth * width);
    const void **a = place((size_t)((taps - 1) * a_step + rows) * sizeof *a);
    for (ptrdiff_t i = 0; i < (taps - 1) * a_step + rows; i++)
        a[i] = pixels + draw() % (unsigned)(taps * rows) * depth;
    seal();
    const real *bias = has_bias ? input(cols) : NULL;
    real *y = numbers(outputs);
    void **c = place((size_t)rows * sizeof *c);
    for (int r = 0; r < rows; r++)
        c[r] = y + r * pitch;
    seal();
    const real *added;
    ptrdiff_t residual;
    const int start = a_start(y, outputs, &added, &residual);
    ck_finish *finish = place(sizeof *finish);
    *finish = (ck_finish){ .bias = bias, .cols = cols, .resume = start, .residual = residual, .relu = relu };
    seal();
    double *before = copy_of(y, outputs);
    now.k->tile_rows(rows, vecs, taps, depth, a, a_step, panel, c, finish);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t r = i / pitch, o = i % pitch;
        if (o >= cols) {
            if ((double)y[i] != before[i])
                fail("column %ld of %ld was written", (long)o, (long)cols);
            continue;
        }
        double size, sum = begun(start, before[i], bias, o, added, i, &size);
        for (ptrdiff_t t = 0; t < taps; t++)
            for (ptrdiff_t k = 0; k < depth; k++) {
                const double product = (double)((const real *)a[t * a_step + r])[k] * (double)panel[(t * depth + k) * width + o];
                sum += product;
                size += fabs(product);
            }
        expect("c", i, y[i], relu && sum < 0 ? 0 : sum, size, taps * depth + 2);
    }
    free(before);
    release();
}

static void check_tile_rows(void)
{
    for (int vecs = 1; vecs <= now.k->vecs; vecs++)
        for (int rows = 1; rows <= now.k->rows[vecs]; rows++)
            for (ptrdiff_t cols = (vecs - 1) * now.k->vector + 1; cols <= vecs * now.k->vector; cols++)
                tile_rows_once(rows, vecs, cols, ONE_OF(1, 2, 3), ONE_OF(1, 2, 3, 17), (int)draw() % 8);
}

static void tile_lines_once(int rows, ptrdiff_t cols, ptrdiff_t lines, ptrdiff_t pixels)
{
    const ptrdiff_t first_a = ONE_OF(0, 2), first_b = ONE_OF(0, 3), a_step = first_a + rows + ONE_OF(0, 1),
                    b_step = first_b + cols + ONE_OF(0, 5), c_step = cols + ONE_OF(0, 2);
    const ptrdiff_t each_a = (pixels - 1) * a_step + first_a + rows, each_b = (pixels - 1) * b_step + first_b + cols;
    const ptrdiff_t outputs = (rows - 1) * c_step + cols;
    const void **left = place((size_t)lines * sizeof *left), **right = place((size_t)lines * sizeof *right);
    for (ptrdiff_t i = 0; i < lines; i++) {
        left[i] = input(each_a);
        right[i] = input(each_b);
    }
    ck_lines *a = place(sizeof *a);
    *a = (ck_lines){ left, first_a, a_step };
    seal();
    ck_lines *b = place(sizeof *b);
    *b = (ck_lines){ right, first_b, b_step };
    seal();
    real *c = numbers(outputs);
    double *before = copy_of(c, outputs);
    const int resume = (int)draw() % 2;
    now.k->tile_lines(rows, cols, lines, pixels, a, b, c_step % 2 ? left : NULL, 8 * c_step, c, c_step, resume);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const ptrdiff_t r = i / c_step, v = i % c_step;
        double sum = resume ? before[i] : 0, size = fabs(sum);
        for (ptrdiff_t l = 0; l < lines && v < cols; l++)
            for (ptrdiff_t p = 0; p < pixels; p++) {
                const double product = (double)((const real *)left[l])[first_a + p * a_step + r] *
                                       (double)((const real *)right[l])[first_b + p * b_step + v];
                sum += product;
                size += fabs(product);
            }
        if (v < cols)
            expect("c", i, c[i], sum, size, lines * pixels + 1);
        else if ((double)c[i] != before[i])
            fail("column %ld of %ld was written", (long)v, (long)cols);
    }
    free(before);
    release();
}

static void check_tile_lines(void)
{
    for (ptrdiff_t cols = 1; cols <= (ptrdiff_t)now.k->vecs * now.k->vector; cols++)
        for (int rows = 1; rows <= now.k->lines_rows[(cols - 1) / now.k->vector + 1]; rows++)
            tile_lines_once(rows, cols, ONE_OF(0, 1, 2, 3), ONE_OF(1, 2, 7));
}

static void pack_panel_once(ptrdiff_t depth, ptrdiff_t cols, ptrdiff_t vecs, ptrdiff_t depth_step, ptrdiff_t col_step)
{
    const ptrdiff_t width = vecs * now.k->vector;
    const real *w = input((depth - 1) * depth_step + (cols - 1) * col_step + 1);
    real *panel = numbers(depth * width);
    now.k->pack_panel(depth, cols, vecs, w, depth_step, col_step, panel);
    for (ptrdiff_t i = 0; i < depth * width; i++) {
        const ptrdiff_t k = i / width, v = i % width;
        expect("panel", i, panel[i], v < cols ? (double)w[k * depth_step + v * col_step] : 0, 0, 0);
    }
    release();
}

static void check_pack_panel(void)
{
    for (ptrdiff_t vecs = 1; vecs <= now.k->vecs; vecs++)
        for (ptrdiff_t cols = (vecs - 1) * now.k->vector + 1; cols <= vecs * now.k->vector; cols++) {
            const ptrdiff_t depth = ONE_OF(1, 2, 15, 16, 17, 40);
            pack_panel_once(depth, cols, vecs, cols, 1);
            pack_panel_once(depth, cols, vecs, 1, depth);
            pack_panel_once(depth, cols, vecs, cols * 2 + 1, 2);
        }
}

static void check_transpose(void)
{
    for (ptrdiff_t rows = 1; rows <= 35; rows += 1 + draw() % 3)
        for (ptrdiff_t cols = 1; cols <= 35; cols += 1 + draw() % 3) {
            const int wide = draw() % 2;
            const ptrdiff_t row_step = wide ? cols + 1 : 1, col_step = wide ? 1 : rows + 2;
            const real *from = input((rows - 1) * row_step + (cols - 1) * col_step + 1);
            real *to = numbers(rows * cols);
            now.k->transpose(rows, cols, from, row_step, col_step, to);
            for (ptrdiff_t i = 0; i < rows * cols; i++)
                expect("to", i, to[i], (double)from[i / cols * row_step + i % cols * col_step], 0, 0);
            release();
        }
}

static void check_sum_rows(void)
{
    for (ptrdiff_t cols = 1; cols <= 4 * now.k->vector + 3; cols++) {
        const ptrdiff_t rows = ONE_OF(1, 2, 5, 33), step = cols + ONE_OF(0, 4);
        const real *x = input((rows - 1) * step + cols);
        real *sums = numbers(cols);
        double *before = copy_of(sums, cols);
        now.k->sum_rows(rows, cols, x, step, sums);
        for (ptrdiff_t c = 0; c < cols; c++) {
            double sum = before[c], size = fabs(sum);
            for (ptrdiff_t r = 0; r < rows; r++) {
                sum += (double)x[r * step + c];
                size += fabs((double)x[r * step + c]);
            }
            expect("sums", c, sums[c], sum, size, rows + 1);
        }
        free(before);
        release();
    }
}

static void check_multiply_add(void)
{
    const int integers = now.integers;
    now.integers = 0;                              /* its constants are no integers */
    for (ptrdiff_t repeats = 0; repeats < 4; repeats++) {
        real *sink = numbers(CK_PROBE_FMAS * now.k->vector);
        now.k->multiply_add(repeats, sink);
        for (ptrdiff_t i = 0; i < CK_PROBE_FMAS * now.k->vector; i++) {
            double sum = (double)(i / now.k->vector);
            for (ptrdiff_t k = 0; k < repeats; k++)
                sum = sum * (double)(real)0.999 + (double)(real)1e-3;
            expect("sink", i, sink[i], sum, sum, 2 * repeats);
        }
        release();
    }
    now.integers = integers;
}
