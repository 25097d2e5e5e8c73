/* The transforms of Winograd's convolution, for one tile and its channels. The products between them are first.h's and
 * lines.h's.
 *
 * Values of a point lie together: point (i, j) of the full set stands at (i * places along w + j) * step. Shorter forms
 * leave points out, and the tiles that use one follow each other without a gap; so a tile has a pointer for each kind of
 * point: KINDS * along h + along w, where place 3 is of kind 1, place 4 of kind 2 and all others of kind 0.
 */
#include "points.h"

enum { KINDS = 3 };

/* The next word of channels of a common tile: a part of one only where masks cost nothing. */
CK_INLINE ptrdiff_t word_width(ptrdiff_t left) { return FREE_MASKS && left < VL ? left : VL; }
enum { NARROWEST = FREE_MASKS ? 1 : VL };

CK_INLINE vf load_word(const real *p, ptrdiff_t width)
{
    return FREE_MASKS || width < VL ? v_load_n(p, width) : v_load(p);
}

CK_INLINE void store_word(real *p, vf a, ptrdiff_t width)
{
    if (FREE_MASKS || width < VL)
        v_store_n(p, a, width);
    else
        v_store(p, a);
}

CK_INLINE int has_place(const ptrdiff_t form, const int place)
{
    static const unsigned char places[] = { 0, 1, 15, 0, 39, 47, 63 };
    return places[form] >> place & 1;
}

CK_INLINE int kind_along(const int place) { return place == 3 ? 1 : place == 4 ? 2 : 0; }

/* Where a word of channels of one point stands. */
CK_INLINE ptrdiff_t point_at(const ptrdiff_t form_w, const int place_h, const int place_w, ptrdiff_t step)
{
    return (place_h * form_places[form_w] + place_w) * step;
}

/* One word of channels: pixels -> points. `whole`: every pixel lies inside the image. Where masks are free they leave pixels out:
 * on small maps nearly every tile has some, and branches would be taken by turns. Lines outside are read as zeros from `none`. */
CK_INLINE void input_word(const ptrdiff_t form_h, const ptrdiff_t form_w, const int whole, const ck_patch *patch, const real *x,
                          ptrdiff_t width, void *const *points, ptrdiff_t c, ptrdiff_t step)
{
    static const real none[VL] = { 0 };
    vf lines[6][6], d[6], v[6];
    vsome some[6];
    const ptrdiff_t row = patch->row, col = patch->col;        /* read once: stores might change them */
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++)
        some[j] = v_some(whole || (j >= patch->lo[1] && j < patch->hi[1]) ? width : 0);
    x += c;
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++, x += row) {
        const int inside = whole || (i >= patch->lo[0] && i < patch->hi[0]);
        const real *pixel = inside ? x : none;
        const ptrdiff_t apart = inside ? col : 0;
        if (FREE_MASKS || inside) {
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
                if (FREE_MASKS && !whole)
                    d[j] = v_load_some(pixel + j * apart, some[j]);
                else if (whole || v_any(some[j]))
                    d[j] = load_word(pixel + j * apart, width);
                else
                    d[j] = v_zero();
            }
            CK_BY_FORM(points_of_input, form_w, d, lines[i]);
        } else {
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++)
                lines[i][j] = v_zero();
        }
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_pixels[form_w]; j++) {
        const int at = form_place[form_w][j];
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++)
            d[i] = lines[i][at];
        CK_BY_FORM(points_of_input, form_h, d, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_pixels[form_h]; i++) {
            const int place = form_place[form_h][i];
            v_store((real *)points[KINDS * kind_along(place) + kind_along(at)] + c + point_at(form_w, place, at, step), v[place]);
        }
    }
}

/* A tile of the input (d) of all channels. Rows of points are whole words: what stands after the last channel is zero. */
static void wino_input(const ck_patch *patch, ptrdiff_t channels, void *const *points, ptrdiff_t step)
{
    const real *x = patch->origin;
    const int whole = !patch->lo[0] && !patch->lo[1] && patch->hi[0] == form_pixels[patch->form[0]]
                      && patch->hi[1] == form_pixels[patch->form[1]];
    const int full = patch->form[0] == CK_SIX && patch->form[1] == CK_SIX;
    ptrdiff_t c = 0;
    if (full && whole && !FREE_MASKS)              /* the common tile is compiled on its own */
        for (; c + NARROWEST <= channels; c += VL)
            input_word(CK_SIX, CK_SIX, 1, patch, x, word_width(channels - c), points, c, step);
    else if (full)
        for (; c + NARROWEST <= channels; c += VL)
            input_word(CK_SIX, CK_SIX, 0, patch, x, word_width(channels - c), points, c, step);
    for (; c < channels; c += VL)
        input_word(patch->form[0], patch->form[1], 0, patch, x, channels - c < VL ? channels - c : VL, points, c, step);
}

/* One word of channels: pixels that are taps -> points. */
CK_INLINE void taps_word(const ptrdiff_t form_h, const ptrdiff_t form_w, const ptrdiff_t taps_h, const ptrdiff_t taps_w, const ptrdiff_t rows, const ptrdiff_t cols,
                         const ck_patch *patch, const real *x, ptrdiff_t width, void *const *points, ptrdiff_t c,
                         ptrdiff_t step)
{
    vf lines[5][6], g[5], v[6];
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < 5; j++) {
            const real *pixel = x + i * patch->row + j * patch->col;
            if (i < rows && j < cols)
                g[j] = load_word(pixel, width);
            else
                g[j] = v_zero();
        }
        CK_BY_FORM(values_of_pixels, form_w, taps_w, g, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_pixels[form_w]; j++) {
        const int at = form_place[form_w][j];
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++)
            g[i] = lines[i][at];
        CK_BY_FORM(values_of_pixels, form_h, taps_h, g, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_pixels[form_h]; i++) {
            const int place = form_place[form_h][i];
            v_store((real *)points[KINDS * kind_along(place) + kind_along(at)] + c + point_at(form_w, place, at, step),
                    v[place] * (real)(filter_scale(form_h, place) * filter_scale(form_w, at)));
        }
    }
}

/* A tile of the gradient of the output (g): up to 4 x 4 pixels, the taps of the gradient of the filters. */
static void wino_taps(const ck_patch *patch, ptrdiff_t channels, void *const *points, ptrdiff_t step)
{
    const real *x = patch->origin;
    ptrdiff_t c = 0;
    if (patch->form[0] == CK_SIX && patch->form[1] == CK_SIX && patch->hi[0] == 4 && patch->hi[1] == 4)
        for (; c + NARROWEST <= channels; c += VL)
            taps_word(CK_SIX, CK_SIX, 4, 4, 4, 4, patch, x + c, word_width(channels - c), points, c, step);
    for (; c < channels; c += VL)
        taps_word(patch->form[0], patch->form[1], patch->taps[0], patch->taps[1], patch->hi[0], patch->hi[1], patch,
                  x + c, channels - c < VL ? channels - c : VL, points, c, step);
}

/* Half a word of filters -> their points, in double and rounded once. */
CK_INLINE void filter_half(const ptrdiff_t form_h, const ptrdiff_t form_w, const ptrdiff_t taps_h, const ptrdiff_t taps_w,
                           const ck_patch *patch, const real *w, ptrdiff_t width, real *points, ptrdiff_t step)
{
    half_double lines[5][6], g[5] = { { 0 } }, v[6] = { { 0 } };
#pragma GCC unroll 5
    for (int i = 0; i < taps_h; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < taps_w; j++) {
            const real *tap = w + i * patch->row + j * patch->col;
            real some[HALF] = { 0 };
            for (ptrdiff_t e = 0; e < width && width < HALF; e++)
                some[e] = tap[e];
            g[j] = __builtin_convertvector(*(const half_real *)(width < HALF ? some : tap), half_double);
        }
        values_of_filter(form_w, taps_w, g, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_places[form_w]; j++) {
#pragma GCC unroll 5
        for (int i = 0; i < taps_h; i++)
            g[i] = lines[i][j];
        values_of_filter(form_h, taps_h, g, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_places[form_h]; i++)
            *(half_real *)(points + point_at(form_w, i, j, step)) =
                __builtin_convertvector(v[i] * (filter_scale(form_h, i) * filter_scale(form_w, j)), half_real);
    }
}

/* Filters of `depth` rows, `cols` of them side by side in `vecs` words -> their points, rows of whole words that follow each
 * other: (points, depth, vecs * VL). The patch holds the taps of the first filter. */
static void wino_filter(const ck_patch *patch, ptrdiff_t depth, ptrdiff_t depth_step, ptrdiff_t cols, int vecs, void *points,
                        ptrdiff_t step)
{
    enum { AHEAD = 3 };                            /* rows: their taps are too far apart to be fetched unasked */
    const int common = patch->form[0] == CK_SIX && patch->form[1] == CK_SIX && patch->taps[0] == 3 && patch->taps[1] == 3;
    real *to = points;
    for (ptrdiff_t k = 0; k < depth; k++)
        for (ptrdiff_t c = 0; c < vecs * VL; c += HALF, to += HALF) {
            const real *w = (const real *)patch->origin + k * depth_step + c;
            for (ptrdiff_t i = 0; i < patch->taps[0] && c % VL == 0; i++)
                for (ptrdiff_t j = 0; j < patch->taps[1]; j++)
                    __builtin_prefetch(w + AHEAD * depth_step + i * patch->row + j * patch->col);
            if (common && c + HALF <= cols)
                filter_half(CK_SIX, CK_SIX, 3, 3, patch, w, HALF, to, step);
            else
                filter_half(patch->form[0], patch->form[1], patch->taps[0], patch->taps[1], patch, w,
                            c + HALF <= cols ? HALF : cols - c, to, step);
        }
}

/* One word of channels: points -> outputs. Returns zero times the outputs: not zero where one is not finite. */
CK_INLINE vf output_word(const ptrdiff_t form_h, const ptrdiff_t form_w, const ptrdiff_t count_h, const ptrdiff_t count_w, const ptrdiff_t keep_h,
                         const ptrdiff_t keep_w, const ck_fold *fold, const void *const *points, ptrdiff_t c, ptrdiff_t step, vf bias,
                         real *y, ptrdiff_t width)
{
    const ptrdiff_t row = fold->row, col = fold->col;          /* read once: stores might change them */
    const ptrdiff_t adds = fold->adds, residual = fold->residual;
    const vf least = v_set1(fold->relu ? 0 : -INFINITY);
    vf lines[6][5], d[5], v[6], odd = v_zero();
#pragma GCC unroll 6
    for (int i = 0; i < form_places[form_h]; i++) {
        const int used_i = has_place(form_h, i);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const real *from = (const real *)points[KINDS * kind_along(i) + kind_along(j)] + c;
            v[j] = used_i && has_place(form_w, j) ? v_load(from + point_at(form_w, i, j, step)) : v_zero();
        }
        CK_BY_FORM(outputs_of_points, form_w, count_w, v, lines[i]);
    }
#pragma GCC unroll 5
    for (int j = 0; j < keep_w; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++)
            v[i] = i < form_places[form_h] ? lines[i][j] : v_zero();
        CK_BY_FORM(outputs_of_points, form_h, count_h, v, d);
#pragma GCC unroll 5
        for (int i = 0; i < keep_h; i++) {
            vf sum = d[i] + bias;
            odd = v_fma(sum, v_zero(), odd);
            real *pixel = y + i * row + j * col;
            if (adds)
                sum += load_word((const real *)((const char *)pixel + residual), width);
            store_word(pixel, v_max(least, sum), width);
        }
    }
    return odd;
}

/* The same for what `fold` says; outputs of a large result are stored near first. */
CK_INLINE vf fold_word(const ptrdiff_t form_h, const ptrdiff_t form_w, const ptrdiff_t count_h, const ptrdiff_t count_w,
                       const ptrdiff_t keep_h, const ptrdiff_t keep_w, const ck_fold *fold, const ck_fold *own,
                       const void *const *points, ptrdiff_t c, ptrdiff_t step, real *near, real *y, ptrdiff_t width)
{
    const int stream = STREAMS && fold->stream;
    const vf bias = fold->bias ? load_word((const real *)fold->bias + c, width) : v_zero();
    const vf odd = output_word(form_h, form_w, count_h, count_w, keep_h, keep_w, own, points, c, step, bias,
                               stream ? near : y + c, width);
    if (stream)
        stream_words(keep_h, keep_w, near, own->row, y + c, fold->row, fold->col);
    return odd;
}

/* A tile of products -> outputs, for `channels` channels whose points fill whole words. */
static void wino_output(const ck_fold *fold, const void *const *points, ptrdiff_t step, ptrdiff_t channels, void *y, int *odd)
{
    ck_fold own = *fold;
    real near[5 * 5 * VL] __attribute__((aligned(64)));
    vf not_finite = v_zero();
    const int full = fold->form[0] == CK_SIX && fold->form[1] == CK_SIX;
    ptrdiff_t c = 0;
    if (STREAMS && fold->stream)
        own.row = 5 * VL, own.col = VL;
    if (full && fold->keep[0] == 4 && fold->keep[1] == 4)      /* the common tiles are compiled on their own */
        for (; c + NARROWEST <= channels; c += VL)
            not_finite += fold_word(CK_SIX, CK_SIX, 4, 4, 4, 4, fold, &own, points, c, step, near, y, word_width(channels - c));
    else if (full && fold->count[0] == 3 && fold->count[1] == 3 && fold->keep[0] == 3 && fold->keep[1] == 3)
        for (; c + NARROWEST <= channels; c += VL)
            not_finite += fold_word(CK_SIX, CK_SIX, 3, 3, 3, 3, fold, &own, points, c, step, near, y, word_width(channels - c));
    for (; c < channels; c += VL)
        not_finite += fold_word(fold->form[0], fold->form[1], fold->count[0], fold->count[1], fold->keep[0], fold->keep[1],
                                fold, &own, points, c, step, near, y, channels - c < VL ? channels - c : VL);
    *odd |= v_sum(not_finite) != 0;
}
