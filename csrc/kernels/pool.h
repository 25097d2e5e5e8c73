/* Pooling: maxima (max.h) and sums over the taps of windows, for a run of pixels that read alike.
 *
 *     max_taps   y[p][c] = max over t < taps of x[p*x_step + offset[t]][c]
 *     sum_taps   y[p*phases + q][c] = ( sum over t < taps[q] of x[p*x_step + offset[q][t]][c] ) / count,   q < phases
 *                with `index`, only the terms for which index[p*x_step + offset[q][t]][c] == label[q][t] are added
 *     max_spread   dx[p*x_step + offset[t]][c] = dy[p*y_step][c] for the first t < taps that holds max_taps of x, 0 for the others;
 *                  with `index`, for that whose label[t] == index[p*y_step][c], and sums[c] += what went somewhere
 *
 * x        first source pixel; the pixels of the run lie x_step apart, the channels of a pixel next to each other
 * y        first target pixel; pixels y_step apart. index lies like y or dy in max_taps and max_spread, like x in sum_taps
 * sums     may be NULL
 * taps     what each pixel reads; with `resume`, y already holds the result of earlier taps. The gradient at stride s has a
 *          list for each of s phases, which neighbouring pixels take in turn. With `stream`, an aligned y is written past the
 *          caches
 *
 * pixels >= 1, channels >= 1, 0 <= taps->count <= CK_POOL_TAPS. Average pooling is sum_taps from x to y; its gradient, and
 * that of max pooling, are sum_taps from dy to dx, where the taps of a pixel are the windows that cover it: each pixel of dx
 * is written once, so work can be split anyhow. Each sum has one accumulator and the order of the taps.
 */
#include <math.h>
#include <string.h>

#define E real
#define E_FLOAT 1
#if CK_DOUBLE
#define E_LANE int64_t
#else
#define E_LANE int32_t
#endif
#define E_LOWEST (real)(-INFINITY)
#define E_VECTOR sizeof(vf)
#define E_NAME(name) name##_real
#include "max.h"

#if CK_DOUBLE
#define E int64_t
#define E_LANE int64_t
#define E_LOWEST INT64_MIN
#else
#define E int32_t
#define E_LANE int32_t
#define E_LOWEST INT32_MIN
#endif
#define E_FLOAT 0
#define E_VECTOR sizeof(vf)
#define E_NAME(name) name##_int
#include "max.h"

#if !CK_DOUBLE                                         /* smaller elements are those of the table for 4 bytes */
#define E int16_t
#define E_FLOAT 0
#define E_LANE int16_t
#define E_LOWEST INT16_MIN
#define E_VECTOR sizeof(vf)
#define E_NAME(name) name##_int16
#include "max.h"

#define E int8_t
#define E_FLOAT 0
#define E_LANE int8_t
#define E_LOWEST INT8_MIN
#define E_VECTOR sizeof(vf)
#define E_NAME(name) name##_int8
#include "max.h"
#endif

static void max_taps(ck_element element, int flipped, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x,
                     ptrdiff_t x_step, void *y, uint8_t *index, ptrdiff_t y_step)
{
    switch (element) {
    case CK_REAL:
        max_of_real(0, pixels, channels, taps, x, x_step, y, index, y_step);
        break;
    case CK_INT:
        max_of_int(flipped, pixels, channels, taps, x, x_step, y, index, y_step);
        break;
#if !CK_DOUBLE
    case CK_INT16:
        max_of_int16(flipped, pixels, channels, taps, x, x_step, y, index, y_step);
        break;
    case CK_INT8:
        max_of_int8(flipped, pixels, channels, taps, x, x_step, y, index, y_step);
        break;
#else
    default:
        break;
#endif
    }
}

/* `vecs` vectors of one window whose maximum has a label. */
CK_INLINE void place_pixel(const int vecs, const int stream, const ptrdiff_t n, const ck_taps *taps, const uint8_t *index,
                           const real *dy, real *dx, real *sums)
{
    uint8_t labels[VL] = { 0 };
    vf a[4], all[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        a[v] = n == VL ? v_load(dy + v * VL) : v_load_n(dy, n);
        all[v] = v_zero();
    }
    if (n < VL)
        memcpy(labels, index, (size_t)n);
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        real *to = dx + taps->offset[t];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const vf part = v_add_where(v_zero(), a[v], n == VL ? index + v * VL : labels, taps->label[t]);
            all[v] = v_add(all[v], part);
            if (n < VL)
                v_store_n(to, part, n);
            else if (stream)
                v_stream(to + v * VL, part);
            else
                v_store(to + v * VL, part);
        }
    }
    if (!sums)
        return;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        if (n == VL)
            v_store(sums + v * VL, v_add(v_load(sums + v * VL), all[v]));
        else
            v_store_n(sums, v_add(v_load_n(sums, n), all[v]), n);
    }
}

CK_INLINE void place_line(const int stream, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, ptrdiff_t x_step,
                          const uint8_t *index, const real *dy, ptrdiff_t dy_step, real *dx, real *sums)
{
    for (ptrdiff_t p = 0; p < pixels; p++, dx += x_step, dy += dy_step, index += dy_step) {
        ptrdiff_t c = 0;
        for (; c + 2 * VL <= channels; c += 2 * VL)
            place_pixel(2, stream, VL, taps, index + c, dy + c, dx + c, sums ? sums + c : NULL);
        for (; c < channels; c += VL)
            place_pixel(1, stream, channels - c < VL ? channels - c : VL, taps, index + c, dy + c, dx + c, sums ? sums + c : NULL);
    }
}

static void max_spread(ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x, ptrdiff_t x_step,
                       const uint8_t *index, const void *dy, ptrdiff_t y_step, void *dx, void *sums)
{
    ptrdiff_t steps = x_step;
    for (ptrdiff_t t = 0; t < taps->count; t++)
        steps |= taps->offset[t];
    const int stream = taps->stream && steps % VL == 0 && channels % VL == 0 && (uintptr_t)dx % sizeof(vf) == 0;
    if (index && stream)
        place_line(1, pixels, channels, taps, x_step, index, dy, y_step, dx, sums);
    else if (index)
        place_line(0, pixels, channels, taps, x_step, index, dy, y_step, dx, sums);
    else if (stream)
        spread_line_real(1, pixels, channels, taps, x, x_step, dy, y_step, dx);
    else
        spread_line_real(0, pixels, channels, taps, x, x_step, dy, y_step, dx);
    if (stream)
        v_fence();
}

/* sum / count, rounded once. A division takes as long as ten loads, so where products and sums are fused it is the product with
 * the rounded reciprocal, corrected by what that leaves (Markstein 1990). What is not finite leaves NaN, and a quotient near
 * the smallest numbers may keep the error of the product. */
CK_INLINE vf quotient(vf sum, real count, real reciprocal)
{
    if (!FUSES)
        return sum / v_set1(count);
    const vf q = sum * v_set1(reciprocal), rest = v_fma(v_set1(-count), q, sum);
    return v_if_less(rest, v_set1(INFINITY), v_fma(rest, v_set1(reciprocal), q), q);
}

/* `vecs` vectors of one pixel; the last one has n channels. */
CK_INLINE void sum_pixel(const int vecs, const int picked, const int stream, const ptrdiff_t n, const ck_taps *taps,
                         const int exact, real count, real factor, const real *x, const uint8_t *index, real *y)
{
    vf sums[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        sums[v] = !taps->resume ? v_zero() : n == VL ? v_load(y + v * VL) : v_load_n(y + v * VL, n);
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        const ptrdiff_t from = taps->offset[t];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const vf a = n == VL ? v_load(x + from + v * VL) : v_load_n(x + from + v * VL, n);
            if (picked && n < VL) {
                uint8_t labels[VL] = { 0 };
                memcpy(labels, index + from + v * VL, (size_t)n);
                sums[v] = v_add_where(sums[v], a, labels, taps->label[t]);
            } else if (picked) {
                sums[v] = v_add_where(sums[v], a, index + from + v * VL, taps->label[t]);
            } else {
                sums[v] = v_add(sums[v], a);
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        if (count != 1)
            sums[v] = exact ? (vf)(sums[v] * v_set1(factor)) : quotient(sums[v], count, factor);
        if (n == VL && stream)
            v_stream(y + v * VL, sums[v]);
        else if (n == VL)
            v_store(y + v * VL, sums[v]);
        else
            v_store_n(y + v * VL, sums[v], n);
    }
}

enum { LONG = 16 * VL };                               /* channels of a pixel whose reads are worth aligning */

/* Channels of a long pixel before the first one from which all reads are aligned: half of those that are not touch two lines. */
static ptrdiff_t before_aligned(ptrdiff_t phases, ptrdiff_t channels, const ck_taps *taps, const real *x, ptrdiff_t x_step)
{
    ptrdiff_t steps = x_step;
    if (phases > 1 || channels < LONG || taps->count < 2)
        return 0;
    for (ptrdiff_t t = 0; t < taps->count; t++)
        steps |= taps->offset[t];
    return steps % VL == 0 ? (ptrdiff_t)(-(uintptr_t)x % sizeof(vf) / sizeof(real)) : 0;
}

CK_INLINE void sum_line(const int picked, const int stream, ptrdiff_t pixels, ptrdiff_t phases, ptrdiff_t channels,
                        const ck_taps *taps, double count, const real *x, const uint8_t *index, ptrdiff_t x_step,
                        real *y, ptrdiff_t y_step)
{
    const real divisor = (real)count;
    int exponent;
    const int exact = frexp(count, &exponent) == 0.5;         /* the reciprocal of a power of two */
    const real factor = 1 / divisor;
    const ptrdiff_t head = picked || stream ? 0 : before_aligned(phases, channels, taps, x, x_step);
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_step, index += picked ? x_step : 0)
        for (ptrdiff_t q = 0; q < phases; q++, y += y_step) {
            ptrdiff_t c = head;
            if (!picked && !stream && channels >= LONG && taps[q].count == 1 && !taps[q].resume && divisor == 1) {
                memcpy(y, x + taps[q].offset[0], (size_t)channels * sizeof(real));
                continue;
            }
            if (head)
                sum_pixel(1, picked, 0, head, taps + q, exact, divisor, factor, x, NULL, y);
            for (; c + 4 * VL <= channels; c += 4 * VL)
                sum_pixel(4, picked, stream, VL, taps + q, exact, divisor, factor, x + c, picked ? index + c : NULL, y + c);
            for (; c + VL <= channels; c += VL)
                sum_pixel(1, picked, stream, VL, taps + q, exact, divisor, factor, x + c, picked ? index + c : NULL, y + c);
            if (c < channels)
                sum_pixel(1, picked, stream, channels - c, taps + q, exact, divisor, factor, x + c,
                          picked ? index + c : NULL, y + c);
        }
}

static void sum_taps(ptrdiff_t pixels, ptrdiff_t phases, ptrdiff_t channels, const ck_taps *taps, double count, const void *x,
                     const uint8_t *index, ptrdiff_t x_step, void *y, ptrdiff_t y_step)
{
    const int stream = taps->stream && (uintptr_t)y % sizeof(vf) == 0 && y_step % VL == 0;
    if (index && stream)
        sum_line(1, 1, pixels, phases, channels, taps, count, x, index, x_step, y, y_step);
    else if (index)
        sum_line(1, 0, pixels, phases, channels, taps, count, x, index, x_step, y, y_step);
    else if (stream)
        sum_line(0, 1, pixels, phases, channels, taps, count, x, NULL, x_step, y, y_step);
    else
        sum_line(0, 0, pixels, phases, channels, taps, count, x, NULL, x_step, y, y_step);
    if (stream)
        v_fence();
}
