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
    enum { RUN = 16 };                             /* filters are read along their depth, a cache line at a time */
    for (ptrdiff_t start = 0; start < depth; start += RUN) {
        const ptrdiff_t run = depth - start < RUN ? depth - start : RUN;
        for (ptrdiff_t v = 0; v < width; v++)
            for (ptrdiff_t k = start; k < start + run; k++)
                to[k * width + v] = v < cols ? from[k * depth_step + v * col_step] : 0;
    }
}
