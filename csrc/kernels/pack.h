/* One panel of filters for tile.h, from filters that lie anyhow, or of pixels for lines.h:
 *
 *     panel[k][v] = w[k*depth_step + v*col_step] for v < cols, zero up to vecs*VL,   k < depth
 */
static void pack_panel(ptrdiff_t depth, ptrdiff_t cols, ptrdiff_t vecs, const void *w, ptrdiff_t depth_step,
                       ptrdiff_t col_step, void *panel)
{
    const real *from = w;
    real *to = panel;
    const ptrdiff_t width = vecs * VL;
    if (col_step == 1) {
        enum { AHEAD = 8 };                        /* rows: they may lie a page apart, where the hardware fetches none */
        const ptrdiff_t whole = cols / VL * VL;
        for (ptrdiff_t k = 0; k < depth; k++, from += depth_step, to += width) {
            for (ptrdiff_t v = 0; v < whole; v += VL) {
                __builtin_prefetch(from + AHEAD * depth_step + v);
                v_store(to + v, v_load(from + v));
            }
            for (ptrdiff_t v = whole; v < width; v += VL)
                v_store(to + v, v_load_n(from + v, v < cols ? cols - v : 0));
        }
        return;
    }
    for (ptrdiff_t k = 0; k < depth; k += VL)      /* filters are read along their depth */
        for (ptrdiff_t v = 0; v < width; v += VL) {
            const ptrdiff_t last = k + VL < depth ? k + VL : depth;
            if (depth_step == 1 && k + VL == last && v + VL <= cols)
                turn(from + k + v * col_step, col_step, to + k * width + v, width);
            else
                for (ptrdiff_t c = v; c < v + VL; c++)
                    for (ptrdiff_t i = k; i < last; i++)
                        to[i * width + c] = c < cols ? from[i * depth_step + c * col_step] : 0;
        }
}
