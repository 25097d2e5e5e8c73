/* The transforms of Winograd's convolution, for one tile and its channels. The products between them are tile.h's and
 * lines.h's. Values of a point lie together: point (i, j) of the full set stands at (i * places along w + j) * step.
 */
#include "points.h"

typedef real half_real __attribute__((vector_size(sizeof(vf) / 2), aligned(sizeof(real)), may_alias));
typedef double half_double __attribute__((vector_size(sizeof(half_real) / sizeof(real) * sizeof(double))));

CK_POINTS_OF_TAPS(points_of_pixels, vf, real)
CK_POINTS_OF_TAPS(points_of_filter, half_double, double)

CK_INLINE int has_place(const int form, const int place)
{
    static const unsigned char places[] = { 0, 1, 15, 0, 39, 47, 63 };
    return places[form] >> place & 1;
}

/* One word of channels: pixels -> points. `whole`: every pixel lies inside the image. */
CK_INLINE void input_word(const int form_h, const int form_w, const int whole, const ck_patch *patch, const real *x,
                          ptrdiff_t width, real *points, ptrdiff_t step)
{
    vf lines[6][6], d[6], v[6];
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) {
        const int inside = whole || (i >= patch->lo[0] && i < patch->hi[0]);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const real *pixel = x + i * patch->row + j * patch->col;
            if (whole || (inside && j >= patch->lo[1] && j < patch->hi[1]))
                d[j] = width == VL ? v_load(pixel) : v_load_n(pixel, width);
            else
                d[j] = v_zero();
        }
        points_of_input(form_w, d, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_pixels[form_w]; j++) {
        const int at = form_place[form_w][j];
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++)
            d[i] = lines[i][at];
        points_of_input(form_h, d, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_pixels[form_h]; i++) {
            const int place = form_place[form_h][i];
            v_store(points + (place * form_places[form_w] + at) * step, v[place]);
        }
    }
}

/* A tile of the input (d) of all channels. Rows of points are whole words: what stands after the last channel is zero. */
static void wino_input(const ck_patch *patch, ptrdiff_t channels, void *points, ptrdiff_t step)
{
    const real *x = patch->origin;
    real *to = points;
    const int whole = !patch->lo[0] && !patch->lo[1] && patch->hi[0] == form_pixels[patch->form[0]]
                      && patch->hi[1] == form_pixels[patch->form[1]];
    const int full = patch->form[0] == CK_SIX && patch->form[1] == CK_SIX;
    ptrdiff_t c = 0;
    if (full && whole)                             /* the common tile is compiled on its own */
        for (; c + VL <= channels; c += VL)
            input_word(CK_SIX, CK_SIX, 1, patch, x + c, VL, to + c, step);
    else if (full)
        for (; c + VL <= channels; c += VL)
            input_word(CK_SIX, CK_SIX, 0, patch, x + c, VL, to + c, step);
    for (; c < channels; c += VL)
        input_word(patch->form[0], patch->form[1], 0, patch, x + c, channels - c < VL ? channels - c : VL, to + c, step);
}

CK_INLINE void taps_word(const int form_h, const int form_w, const int taps_h, const int taps_w, const int rows, const int cols,
                         const ck_patch *patch, const real *x, ptrdiff_t width, real *points, ptrdiff_t step)
{
    vf lines[5][6], d[5], v[6];
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < 5; j++) {
            const real *pixel = x + i * patch->row + j * patch->col;
            if (i < rows && j < cols)
                d[j] = width == VL ? v_load(pixel) : v_load_n(pixel, width);
            else
                d[j] = v_zero();
        }
        points_of_pixels(form_w, taps_w, d, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_pixels[form_w]; j++) {
        const int at = form_place[form_w][j];
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++)
            d[i] = lines[i][at];
        points_of_pixels(form_h, taps_h, d, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_pixels[form_h]; i++) {
            const int place = form_place[form_h][i];
            v_store(points + (place * form_places[form_w] + at) * step, v[place]);
        }
    }
}

/* A tile of the gradient of the output (g): up to 4 x 4 pixels, the taps of the gradient of the filters. */
static void wino_taps(const ck_patch *patch, ptrdiff_t channels, void *points, ptrdiff_t step)
{
    const real *x = patch->origin;
    real *to = points;
    ptrdiff_t c = 0;
    if (patch->form[0] == CK_SIX && patch->form[1] == CK_SIX && patch->hi[0] == 4 && patch->hi[1] == 4)
        for (; c + VL <= channels; c += VL)
            taps_word(CK_SIX, CK_SIX, 4, 4, 4, 4, patch, x + c, VL, to + c, step);
    for (; c < channels; c += VL)
        taps_word(patch->form[0], patch->form[1], patch->taps[0], patch->taps[1], patch->hi[0], patch->hi[1], patch,
                  x + c, channels - c < VL ? channels - c : VL, to + c, step);
}

/* One word of channels: points -> outputs. Returns zero times the outputs: not zero where one is not finite. */
CK_INLINE vf output_word(const int form_h, const int form_w, const int count_h, const int count_w, const int keep_h,
                         const int keep_w, const ck_fold *fold, const real *points, ptrdiff_t step, vf bias, real *y,
                         ptrdiff_t width)
{
    vf lines[6][5], d[5], v[6], odd = v_zero();
#pragma GCC unroll 6
    for (int i = 0; i < form_places[form_h]; i++) {
        const int used_i = has_place(form_h, i);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++)
            v[j] = used_i && has_place(form_w, j) ? v_load(points + (i * form_places[form_w] + j) * step) : v_zero();
        outputs_of_points(form_w, count_w, v, lines[i]);
    }
#pragma GCC unroll 5
    for (int j = 0; j < keep_w; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++)
            v[i] = i < form_places[form_h] ? lines[i][j] : v_zero();
        outputs_of_points(form_h, count_h, v, d);
#pragma GCC unroll 5
        for (int i = 0; i < keep_h; i++) {
            vf sum = d[i] + bias;
            odd = v_fma(sum, v_zero(), odd);
            if (fold->relu)
                sum = v_max(v_zero(), sum);
            real *pixel = y + i * fold->row + j * fold->col;
            if (width == VL)
                v_store(pixel, sum);
            else
                v_store_n(pixel, sum, width);
        }
    }
    return odd;
}

/* A tile of products -> outputs, for `channels` channels whose points fill whole words. */
static void wino_output(const ck_fold *fold, const void *points, ptrdiff_t step, ptrdiff_t channels, void *outputs, int *odd)
{
    const real *from = points, *bias = fold->bias;
    real *y = outputs, lanes[VL];
    vf not_finite = v_zero();
    ptrdiff_t c = 0;
    if (fold->form[0] == CK_SIX && fold->form[1] == CK_SIX && fold->keep[0] == 4 && fold->keep[1] == 4)
        for (; c + VL <= channels; c += VL)
            not_finite += output_word(CK_SIX, CK_SIX, 4, 4, 4, 4, fold, from + c, step, bias ? v_load(bias + c) : v_zero(),
                                      y + c, VL);
    for (; c < channels; c += VL) {
        const ptrdiff_t width = channels - c < VL ? channels - c : VL;
        not_finite += output_word(fold->form[0], fold->form[1], fold->count[0], fold->count[1], fold->keep[0], fold->keep[1], fold,
                                  from + c, step, bias ? v_load_n(bias + c, width) : v_zero(), y + c, width);
    }
    v_store(lanes, not_finite);
    for (int i = 0; i < VL; i++)
        if (lanes[i] != 0)
            *odd = 1;
}

/* Half a word of filters, taps -> points, in double. */
CK_INLINE void filter_word(const int form_h, const int form_w, const int taps_h, const int taps_w, const real *w,
                           ptrdiff_t tap_step, real *u, ptrdiff_t step)
{
    half_double lines[5][6], g[5] = { { 0 } }, v[6] = { { 0 } };
#pragma GCC unroll 5
    for (int i = 0; i < taps_h; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < taps_w; j++, w += tap_step)
            g[j] = __builtin_convertvector(*(const half_real *)w, half_double);
        points_of_filter(form_w, taps_w, g, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < form_places[form_w]; j++) {
#pragma GCC unroll 5
        for (int i = 0; i < taps_h; i++)
            g[i] = lines[i][j];
        points_of_filter(form_h, taps_h, g, v);
#pragma GCC unroll 6
        for (int i = 0; i < form_places[form_h]; i++)
            *(half_real *)(u + (i * form_places[form_w] + j) * step) = __builtin_convertvector(v[i], half_real);
    }
}

/* Filters -> their values at the points, element by element, in double and rounded once: tap t of element e at
 * w[t*tap_step + e], point p at u[p*step + e], for `elements` of them, a multiple of VL. */
static void wino_filter(const int *form, const int *taps, const void *w, ptrdiff_t tap_step, ptrdiff_t elements, void *u,
                        ptrdiff_t step)
{
    enum { HALF = VL / 2 };
    const real *from = w;
    real *to = u;
    if (form[0] == CK_SIX && form[1] == CK_SIX && taps[0] == 3 && taps[1] == 3)
        for (ptrdiff_t e = 0; e < elements; e += HALF)
            filter_word(CK_SIX, CK_SIX, 3, 3, from + e, tap_step, to + e, step);
    else
        for (ptrdiff_t e = 0; e < elements; e += HALF)
            filter_word(form[0], form[1], taps[0], taps[1], from + e, tap_step, to + e, step);
}
