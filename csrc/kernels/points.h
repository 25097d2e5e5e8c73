/* The one-dimensional transforms of Winograd's convolution: r taps give m outputs by n = m + r - 1 products instead of m*r.
 *
 * A row of inputs d and taps g are polynomials. Their values at n points are multiplied; the outputs are read back off the
 * products (Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional
 * Neural Networks", 2016). The points {0, p, -p, q, -q, inf} with p = 5/8, q = 3/2 round less than the textbook's integers
 * (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
 *
 * Shorter forms use some of the six points with the same values of the taps: one set of filters serves every tile of a
 * ragged map. What that scales is in the transform of the input.
 *
 *     CK_PLAIN   one point: the axis has one tap
 *     CK_SMALL   {0, 1, -1, inf}: exact on integers
 *     CK_FOUR    {0, p, -p, inf}        CK_FIVE  {0, p, -p, q, inf}        CK_SIX  all
 *
 * A value stands at the place of its point in the full set.
 */
#define P ((real)0.625)
#define Q ((real)1.5)
#define A ((real)0.390625)                         /* p*p */
#define B ((real)2.25)                             /* q*q */

static const unsigned char form_pixels[] = { 0, 1, 4, 0, 4, 5, 6 };       /* n of each form */
static const unsigned char form_places[] = { 0, 1, 4, 0, 6, 6, 6 };       /* places in the full set */
static const unsigned char form_place[][6] = { { 0 }, { 0 }, { 0, 1, 2, 3 }, { 0 }, { 0, 1, 2, 5 }, { 0, 1, 2, 3, 5 }, { 0, 1, 2, 3, 4, 5 } };

/* Rows of B^T: the polynomials that are one at a point and zero at the others. */
CK_INLINE void points_of_input(const ptrdiff_t form, const vf *d, vf *v)
{
    switch (form) {
    case CK_PLAIN:
        v[0] = d[0];
        break;
    case CK_SMALL:
        v[0] = d[0] - d[2];
        v[1] = d[1] + d[2];
        v[2] = d[2] - d[1];
        v[3] = d[3] - d[1];
        break;
    case CK_FOUR:
        v[0] = B * (A * d[0] - d[2]);
        v[1] = (A - B) * (d[2] + P * d[1]);
        v[2] = (A - B) * (d[2] - P * d[1]);
        v[5] = d[3] - A * d[1];
        break;
    case CK_FIVE: {
        const vf odd = d[3] - A * d[1];
        v[0] = B * (A * d[0] - d[2]) + Q * odd;
        v[1] = (P + Q) * (d[3] + ((P - Q) * d[2] - P * Q * d[1]));
        v[2] = (Q - P) * (d[3] - ((P + Q) * d[2] - P * Q * d[1]));
        v[3] = 2 * Q * odd;
        v[5] = (d[4] - A * d[2]) - Q * odd;
        break;
    }
    case CK_SIX: {
        const vf even_p = d[4] - B * d[2], odd_p = P * (d[3] - B * d[1]);
        const vf even_q = d[4] - A * d[2], odd_q = Q * (d[3] - A * d[1]);
        v[0] = A * B * d[0] + (d[4] - (A + B) * d[2]);
        v[1] = even_p + odd_p;
        v[2] = even_p - odd_p;
        v[3] = even_q + odd_q;
        v[4] = even_q - odd_q;
        v[5] = A * B * d[1] + (d[5] - (A + B) * d[3]);
        break;
    }
    }
}

/* Taps of a filter -> the values of their polynomial at the points; G is these times `filter_scale`. Written for one type of
 * vectors, because filters are brought to the points in double. */
#define CK_VALUES_OF_TAPS(name, vector)                                                                                     \
    CK_INLINE void name(const ptrdiff_t form, const ptrdiff_t taps, const vector *g, vector *u)                             \
    {                                                                                                                       \
        if (form == CK_PLAIN) {                                                                                             \
            u[0] = g[0];                                                                                                    \
            return;                                                                                                         \
        }                                                                                                                   \
        vector even_p = g[0], even_q = g[0], odd_p = g[1], odd_q = g[1];                                                    \
        if (form == CK_SMALL) {                                                                                             \
            if (taps > 2)                                                                                                   \
                even_p += g[2];                                                                                             \
            u[0] = g[0];                                                                                                    \
            u[1] = even_p + odd_p;                                                                                          \
            u[2] = even_p - odd_p;                                                                                          \
            u[3] = g[taps - 1];                                                                                             \
            return;                                                                                                         \
        }                                                                                                                   \
        if (taps > 2)                                                                                                       \
            even_p += A * g[2], even_q += B * g[2];                                                                         \
        if (taps > 3)                                                                                                       \
            odd_p += A * g[3], odd_q += B * g[3];                                                                           \
        if (taps > 4)                                                                                                       \
            even_p += A * A * g[4], even_q += B * B * g[4];                                                                 \
        u[0] = g[0];                                                                                                        \
        u[1] = even_p + P * odd_p;                                                                                          \
        u[2] = even_p - P * odd_p;                                                                                          \
        u[3] = even_q + Q * odd_q;                                                                                          \
        u[4] = even_q - Q * odd_q;                                                                                          \
        u[5] = g[taps - 1];                                                                                                 \
    }

enum { HALF = VL / 2 };
typedef real half_real __attribute__((vector_size(sizeof(vf) / 2), aligned(sizeof(real)), may_alias));
typedef double half_double __attribute__((vector_size(HALF * sizeof(double))));

CK_VALUES_OF_TAPS(values_of_pixels, vf)
CK_VALUES_OF_TAPS(values_of_filter, half_double)

/* What the values at a place are divided by: the polynomial in B^T at its point. G is the values of taps times this. */
CK_INLINE double filter_scale(const ptrdiff_t form, const int place)
{
#define CK_OTHERS(a, b) 1 / (2 * (double)(a) * ((a) - (b)))
    static const double small[] = { 1, 0.5, 0.5, 1 };
    static const double full[] = { 1 / ((double)A * B), CK_OTHERS(A, B), CK_OTHERS(A, B), CK_OTHERS(B, A), CK_OTHERS(B, A), 1 };
#undef CK_OTHERS
    return form == CK_PLAIN ? 1 : form == CK_SMALL ? small[place] : full[place];
}

/* A^T: the outputs, from the products v; the last of `outputs` takes the point at infinity. */
CK_INLINE void outputs_of_points(const ptrdiff_t form, const ptrdiff_t outputs, const vf *v, vf *y)
{
    if (form == CK_PLAIN) {
        y[0] = v[0];
        return;
    }
    if (form == CK_SMALL) {
        const vf even = v[1] + v[2];
        y[0] = v[0] + even;
        y[1] = v[1] - v[2];
        y[2] = even;
        y[outputs - 1] += v[3];
        return;
    }
    const vf even_p = v[1] + v[2], odd_p = P * (v[1] - v[2]);
    vf even_q = v_zero(), odd_q = v_zero();
    if (form == CK_FIVE)
        even_q = v[3], odd_q = Q * v[3];
    else if (form == CK_SIX)
        even_q = v[3] + v[4], odd_q = Q * (v[3] - v[4]);
    y[0] = v[0] + (even_p + even_q);
    y[1] = odd_p + odd_q;
    y[2] = A * even_p + B * even_q;
    y[3] = A * odd_p + B * odd_q;
    y[4] = A * A * even_p + B * B * even_q;
    y[outputs - 1] += v[5];
}

#undef P
#undef Q
#undef A
#undef B

/* A form that is known when a kernel is compiled is written out in it; the others, at the ends of maps, share one copy. */
#define CK_BY_FORM(name, form, ...) (__builtin_constant_p(form) ? name(form, __VA_ARGS__) : any_##name(form, __VA_ARGS__))

static __attribute__((noinline)) void any_points_of_input(ptrdiff_t form, const vf *d, vf *v) { points_of_input(form, d, v); }

static __attribute__((noinline)) void any_values_of_pixels(ptrdiff_t form, ptrdiff_t taps, const vf *g, vf *u)
{
    values_of_pixels(form, taps, g, u);
}

static __attribute__((noinline)) void any_outputs_of_points(ptrdiff_t form, ptrdiff_t outputs, const vf *v, vf *y)
{
    outputs_of_points(form, outputs, v, y);
}
