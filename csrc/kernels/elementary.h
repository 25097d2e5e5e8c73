/* Elementary functions of SIMD words: exp, expm1, log1p, the logistic function, tanh and the normal distribution.
 *
 * Range reduction and reconstruction are those of fdlibm (Sun Microsystems, freely usable): e^x = 2^n e^r with a two-part ln 2,
 * and log(1+f) from s = f/(2+f). The polynomials are minimax fits of our own (Remez exchange in 50 digits); the bound beside
 * each is its relative error. Functions made of these are within 4 ULP, and gelu, whose tail multiplies the error of x^2, within
 * 8 + x^2 (tests/test_activations.py, against long double).
 * NaN gives NaN; subnormal results are right unless the floating-point mode flushes them.
 */
#include <math.h>

#if CK_DOUBLE
typedef int64_t math_lane;
#define BY_TYPE(single, full) full
#else
typedef int32_t math_lane;
#define BY_TYPE(single, full) single
#endif
typedef math_lane math_bits __attribute__((vector_size(sizeof(vf))));

CK_INLINE vf of(double a) { return v_set1((real)a); }
CK_INLINE vf magnitude(vf a) { return (vf)((math_bits)a & BY_TYPE(INT32_MAX, INT64_MAX)); }
CK_INLINE vf with_sign(vf a, vf sign) { return (vf)((math_bits)a | ((math_bits)sign & BY_TYPE(INT32_MIN, INT64_MIN))); }

/* The sum of c[i] x^i over i < n. */
CK_INLINE vf polynomial(vf x, const real *c, const int n)
{
    vf sum = v_set1(c[n - 1]);
#pragma GCC unroll 24
    for (int i = n - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set1(c[i]));
    return sum;
}
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof *(c)))

/* (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; of the error of e^r - 1: 2^-26.1, 2^-61.7. */
static const real EXP_TERMS[] = {
#if CK_DOUBLE
    0.49999999999999999986, 0.16666666666666676599, 0.041666666666666701646, 0.0083333333333216159298,
    0.0013888888888866728901, 0.00019841269886158326918, 0.000024801587360731425694, 2.7557244182060059676e-6,
    2.7557244232695127611e-7, 2.5109044865949755543e-8, 2.0924477702925825786e-9
#else
    0.5000000061f, 0.1666654306f, 0.04166628635f, 0.008366580004f, 0.001394615256f
#endif
};

/* e^x = 2^n (1 + p), from the p that it returns. */
CK_INLINE vf exp_parts(vf x, vf *n)
{
    const vf shift = of(BY_TYPE(0x1.8p23, 0x1.8p52));                         /* adding it rounds to a whole number */
    *n = v_fma(x, of(1.44269504088896340736), shift) - shift;
    vf r = v_fma(*n, of(-BY_TYPE(0.693359375, 6.93147180369123816490e-01)), x);
    r = v_fma(*n, of(-BY_TYPE(-2.12194440054690583e-4, 1.90821492927058770002e-10)), r);
    return v_fma(r * r, POLYNOMIAL(r, EXP_TERMS), r);
}

/* For x up to where the result is infinite. */
CK_INLINE vf exp_of(vf x)
{
    vf n;
    const vf p = exp_parts(v_max(of(BY_TYPE(-105, -747)), x), &n);
    return v_scale(of(1) + p, n);
}

/* e^x - 1 for x <= 0. */
CK_INLINE vf expm1_of(vf x)
{
    vf n;
    const vf p = exp_parts(v_max(of(BY_TYPE(-20, -40)), x), &n), two_n = v_scale(of(1), n);
    return v_fma(two_n, p, two_n - of(1));
}

/* 1 / (1 + e^-x), and 1 minus that. */
CK_INLINE vf logistic_of(vf x, vf *rest)
{
    const vf e = exp_of(-magnitude(x)), near_one = of(1) / (of(1) + e);
    *rest = v_if_less(x, v_zero(), near_one, e * near_one);
    return v_if_less(x, v_zero(), e * near_one, near_one);
}

CK_INLINE vf tanh_of(vf x)
{
    const vf t = expm1_of(of(-2) * magnitude(x));
    return with_sign(magnitude(t / (of(2) + t)), x);
}

/* (log(1+f) / s - 2) / s^2 of s^2 with s = f / (2 + f), |s| <= tan(pi/8)^2; of the error of the logarithm: 2^-30.2, 2^-59.4. */
static const real LOG_TERMS[] = {
#if CK_DOUBLE
    0.66666666666667347628, 0.39999999999411966575, 0.28571428743079498006, 0.22222198492830378163,
    0.18183568989375656749, 0.15313919080659906345, 0.14797381973905430625
#else
    0.6666677671f, 0.3997749619f, 0.2987305963f
#endif
};

/* log(1 + e) for 0 <= e <= 1. */
CK_INLINE vf log1p_of(vf e)
{
    const vf bound = of(0.41421356), f = v_if_less(bound, e, of(0.5) * (e - of(1)), e);       /* 1 + f is 1 + e or half of it */
    const vf s = f / (of(2) + f), z = s * s, half = of(0.5) * f * f;
    const vf sum = f - v_fma(-s, v_fma(z, POLYNOMIAL(z, LOG_TERMS), half), half);
    return v_if_less(bound, e, of(0.69314718055994530942) + sum, sum);
}

/* Phi(-a) e^(a^2/2) (a + k) of t = (a - k) / (a + k), Phi the normal distribution, k = 4 and 5; 0 <= a <= 15 and 39:
 * 2^-26.7, 2^-57.2. */
static const real TAIL_TERMS[] = {
#if CK_DOUBLE
    0.76919304975006295591, -0.66538250289005678118, 0.49530561596997729932, -0.31353315667129619742, 0.16502036617033740835,
    -0.06911863870656994473, 0.020795066800837820632, -0.0029933767667063093618, -0.00079786940801091872391,
    0.00054489903339483081348, -0.0000593756747859791423, -0.000049762654926307322969, 0.000016681041198824759558,
    3.9803847379584727301e-6, -2.7689524209148255799e-6, -3.3553723908931431758e-7, 4.3288401099336990078e-7,
    4.0880517804715329407e-8, -6.6011441186888099664e-8, -8.2948160286187719641e-9, 7.9421375131587169356e-9,
    1.4319744648495468897e-9, -3.0288942967604008525e-10
#else
    0.7552851353f, -0.6078965799f, 0.3871369163f, -0.186523656f, 0.0604034909f, -0.007524004503f, -0.003510213503f,
    0.001568407164f, 0.0001746594916f, -0.0001341964252f
#endif
};

/* Phi(x), the share of the normal distribution below x, and its density e^(-x^2/2) / sqrt(2 pi). */
CK_INLINE vf normal_of(vf x, vf *density)
{
    const vf a = v_min(of(BY_TYPE(15, 39)), magnitude(x)), square = a * a, rest = v_fma(a, a, -square);
    const vf e = exp_of(of(-0.5) * square), bell = v_fma(of(-0.5) * rest, e, e), k = of(BY_TYPE(4, 5)), q = of(1) / (a + k);
    const vf tail = bell * POLYNOMIAL((a - k) * q, TAIL_TERMS) * q;
    *density = bell * of(0.39894228040143267794);
    return v_if_less(v_zero(), x, of(1) - tail, tail);
}
