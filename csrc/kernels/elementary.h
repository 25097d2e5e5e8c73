/* Elementary functions of SIMD words: exp, expm1, log1p, the logistic function, tanh and the normal distribution.
 *
 * Range reduction and reconstruction are those of fdlibm (Sun Microsystems, freely usable): e^x = 2^n e^r with a two-part ln 2,
 * and log(1+f) from s = f/(2+f). The polynomials and quotients are minimax fits of our own (Remez exchange in 50 digits, linear
 * programs for those of floats that have a short form); the bound beside each is its relative error. Functions made of these are
 * within 4 ULP, and gelu, whose tail multiplies the error of x^2, within 8 + x^2 (tests/test_activations.py, against long double).
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

#if !CK_DOUBLE
/* (e^r - 1) / r there, and (2^f - 1) / f for |f| <= 1/2; of the error of what they are part of: 2^-23.4. */
static const real SHORT_EXP_TERMS[] = { 0.9999997019767761f, 0.4999914765357971f, 0.1666763722896576f, 0.04189799353480339f,
                                        0.008290315046906471f };
static const real EXP2_TERMS[] = { 0.6931470036506653f, 0.24022240936756134f, 0.05550733953714371f, 0.009671538136899471f,
                                   0.001326471334323287f };
#endif

CK_INLINE vf whole_of(vf a, vf b)                                             /* a b, rounded to whole numbers */
{
    const vf shift = of(BY_TYPE(0x1.8p23, 0x1.8p52));                         /* adding it rounds */
    return v_fma(a, b, shift) - shift;
}

/* e^x = 2^n e^r, from the r that it returns. */
CK_INLINE vf exp_rest(vf x, vf *n)
{
    *n = whole_of(x, of(1.44269504088896340736));
    const vf r = v_fma(*n, of(-BY_TYPE(0.693359375, 6.93147180369123816490e-01)), x);
    return v_fma(*n, of(-BY_TYPE(-2.12194440054690583e-4, 1.90821492927058770002e-10)), r);
}

/* For x from where the result is zero to where it is infinite. */
CK_INLINE vf exp_within(vf x)
{
    vf n;
    const vf r = exp_rest(x, &n);
#if CK_DOUBLE
    return v_scale(of(1) + v_fma(r * r, POLYNOMIAL(r, EXP_TERMS), r), n);
#else
    return v_scale(v_fma(r, POLYNOMIAL(r, SHORT_EXP_TERMS), of(1)), n);
#endif
}

/* For x up to where the result is infinite. */
CK_INLINE vf exp_of(vf x) { return exp_within(v_max(of(BY_TYPE(-105, -747)), x)); }

/* e^x - 1 for x <= 0. */
CK_INLINE vf expm1_of(vf x)
{
    vf n;
    const vf r = exp_rest(v_max(of(BY_TYPE(-20, -40)), x), &n), two_n = v_scale(of(1), n);
    return v_fma(two_n, v_fma(r * r, POLYNOMIAL(r, EXP_TERMS), r), two_n - of(1));
}

/* 1 / (1 + e^-x), and 1 minus that. */
CK_INLINE vf logistic_of(vf x, vf *rest)
{
    const vf e = exp_of(-magnitude(x)), near_one = of(1) / (of(1) + e);
    *rest = v_if_less(x, v_zero(), near_one, e * near_one);
    return v_if_less(x, v_zero(), e * near_one, near_one);
}

/* x / (1 + e^-x): one division, no product of zero and infinity. */
CK_INLINE vf silu_of(vf x)
{
    const vf down = v_max(of(BY_TYPE(-105, -747)), -magnitude(x)), e = exp_within(down);
    return v_if_less(x, v_zero(), down * e, x) / (of(1) + e);
}

#if CK_DOUBLE
CK_INLINE vf tanh_of(vf x)
{
    const vf t = expm1_of(of(-2) * magnitude(x));
    return with_sign(magnitude(t / (of(2) + t)), x);
}
#else
/* tanh(a) / a of a^2, a quotient, for 0 <= a <= 8.7: 2^-26.0. */
static const real TANH_OVER[] = { 0.9999999854743242f, 0.13400500434879803f, 0.00351878315879069f, 2.0994441991829088e-05f,
                                  1.389841634173303e-08f };
static const real TANH_UNDER[] = { 1, 0.46733820741738397f, 0.025965045238561153f, 0.00033237104415302914f,
                                   7.996860877697612e-07f };

CK_INLINE vf tanh_of(vf x)
{
    const vf a = v_min(of(8.7), magnitude(x)), square = a * a;
    const vf t = a * POLYNOMIAL(square, TANH_OVER) / POLYNOMIAL(square, TANH_UNDER);
    return with_sign(v_min(of(1), t), x);
}
#endif

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

/* Phi(-a) = e^(-a^2/2) m(a) for the normal distribution Phi, and e^(-a^2/2) in `bell`, for 0 <= a <= 15 and 39. */
#if CK_DOUBLE
/* m(a) (a + 5) of t = (a - 5) / (a + 5): 2^-57.2. */
static const real TAIL_TERMS[] = {
    0.76919304975006295591, -0.66538250289005678118, 0.49530561596997729932, -0.31353315667129619742, 0.16502036617033740835,
    -0.06911863870656994473, 0.020795066800837820632, -0.0029933767667063093618, -0.00079786940801091872391,
    0.00054489903339483081348, -0.0000593756747859791423, -0.000049762654926307322969, 0.000016681041198824759558,
    3.9803847379584727301e-6, -2.7689524209148255799e-6, -3.3553723908931431758e-7, 4.3288401099336990078e-7,
    4.0880517804715329407e-8, -6.6011441186888099664e-8, -8.2948160286187719641e-9, 7.9421375131587169356e-9,
    1.4319744648495468897e-9, -3.0288942967604008525e-10
};

CK_INLINE vf tail_of(vf a, vf *bell)
{
    const vf square = a * a, rest = v_fma(a, a, -square), e = exp_within(of(-0.5) * square), q = of(1) / (a + of(5));
    *bell = v_fma(of(-0.5) * rest, e, e);
    return *bell * POLYNOMIAL((a - of(5)) * q, TAIL_TERMS) * q;
}
#else
/* m(a), a quotient: (1 + a^2/8) 2^-23.0, beside which the exponent of the bell is as exact. */
static const real TAIL_OVER[] = { 0.4999999407488928f, 0.3478893707311433f, 0.11147280699542333f, 0.015147776076438814f };
static const real TAIL_UNDER[] = { 1, 1.4936565447218475f, 0.9147727925048056f, 0.27909084637163745f, 0.037979364290905884f };

CK_INLINE vf tail_of(vf a, vf *bell)
{
    const vf half = a * of(-0.72134752044448170368), n = whole_of(half, a), f = v_fma(half, a, -n);
    *bell = v_scale(v_fma(f, POLYNOMIAL(f, EXP2_TERMS), of(1)), n);
    return *bell * (POLYNOMIAL(a, TAIL_OVER) / POLYNOMIAL(a, TAIL_UNDER));
}
#endif
