/* Activations of a line of numbers and their gradients:  y = f(x), or dx = dy * f'(x) where dy is given.
 *
 * x, y     lines of n numbers; y may be x or dy. For relu, sigmoid and tanh the gradient reads y = f(x) in place of x
 * how      up to three parameters of f, see ck_act
 * stream   y is too large for the caches
 *
 * Functions that pair an infinity with a zero take their limit: x is held to where the result has stopped changing.
 */
CK_INLINE vf act_value(const ck_act act, vf x, vf a, vf b, vf c)
{
    vf t, rest, n;
    switch (act) {
    case CK_RELU:
        return v_max(v_zero(), x);
    case CK_LEAKY:
        return v_if_less(v_zero(), x, x, a * x);
    case CK_RAMP:
        return v_min(c, v_max(v_zero(), v_fma(a, x, b)));
    case CK_HARD_SWISH:
        x = v_max(of(-3), x);
        return x * v_min(of(1), (x + of(3)) * of(1. / 6));
    case CK_ELU:
        return v_if_less(v_zero(), x, a * x, b * expm1_of(v_min(v_zero(), c * x)));
    case CK_GELU:
        t = v_min(of(BY_TYPE(15, 39)), magnitude(x));
        return v_fma(-t, tail_of(t, &rest), v_max(v_zero(), x));
    case CK_GELU_TANH:
        x = v_max(of(BY_TYPE(-12, -24)), x);
        return x * logistic_of(x * v_fma(x * x, of(0.071354816272600248776), of(1.59576912160573071175)), &rest);
    case CK_SILU:
        return silu_of(x);
    case CK_MISH:                                   /* tanh(log(1 + e)) = n / (n + 2), n = e (e + 2), e = e^x */
        x = v_max(of(BY_TYPE(-105, -747)), x);
        t = exp_of(v_min(of(BY_TYPE(20, 40)), x));
        n = t * (t + of(2));
        return x * (n / (n + of(2)));
    case CK_SIGMOID:
        return logistic_of(x, &rest);
    case CK_TANH:
        return tanh_of(x);
    case CK_SOFTPLUS:
        x = a * x;
        return b * (v_max(v_zero(), x) + log1p_of(exp_of(-magnitude(x))));
    case CK_SOFTSIGN:
        t = v_min(of(BY_TYPE(0x1p100, 0x1p1000)), magnitude(x));
        return with_sign(t / (of(1) + t), x);
    default:
        return x;
    }
}

CK_INLINE vf act_slope(const ck_act act, vf x, vf dy, vf a, vf b, vf c)
{
    vf t, u, s, rest;
    switch (act) {
    case CK_RELU:
        return v_if_less(v_zero(), x, dy, v_zero());
    case CK_LEAKY:
        return v_if_less(v_zero(), x, dy, a * dy);
    case CK_RAMP:
        t = v_fma(a, x, b);
        return v_if_less(v_zero(), t, v_if_less(t, c, a * dy, v_zero()), v_zero());
    case CK_HARD_SWISH:
        t = dy * v_fma(x, of(1. / 3), of(0.5));
        return v_if_less(of(-3), x, v_if_less(x, of(3), t, dy), v_zero());
    case CK_ELU:
        return v_if_less(v_zero(), x, a * dy, b * c * dy * exp_of(v_min(v_zero(), c * x)));
    case CK_GELU:
        t = v_min(of(BY_TYPE(15, 39)), magnitude(x));
        s = tail_of(t, &rest);
        s = v_fma(t * of(-0.39894228040143267794), rest, s);
        return dy * v_if_less(v_zero(), x, of(1) - s, s);
    case CK_GELU_TANH:
        x = v_max(of(BY_TYPE(-12, -24)), v_min(of(BY_TYPE(12, 24)), x));
        t = x * x;
        s = logistic_of(x * v_fma(t, of(0.071354816272600248776), of(1.59576912160573071175)), &rest);
        return dy * v_fma(s * rest, x * v_fma(t, of(3 * 0.071354816272600248776), of(1.59576912160573071175)), s);
    case CK_SILU:
        s = logistic_of(x, &rest);
        x = v_max(of(BY_TYPE(-105, -747)), v_min(of(BY_TYPE(105, 747)), x));
        return dy * v_fma(x * s, rest, s);
    case CK_MISH:
        x = v_max(of(BY_TYPE(-105, -747)), v_min(of(BY_TYPE(20, 40)), x));
        t = exp_of(x);
        u = of(1) / v_fma(t, t + of(2), of(2));
        return dy * (t * u) * v_fma(of(4) * x * (of(1) + t), u, t + of(2));
    case CK_SIGMOID:
        return dy * x * (of(1) - x);
    case CK_TANH:
        return dy * (of(1) - x) * (of(1) + x);
    case CK_SOFTPLUS:
        return dy * logistic_of(a * x, &rest);
    case CK_SOFTSIGN:
        t = of(1) / (of(1) + v_min(of(BY_TYPE(0x1p100, 0x1p1000)), magnitude(x)));
        return dy * t * t;
    default:
        return dy;
    }
}

CK_INLINE void act_each(const ck_act act, const int backward, ptrdiff_t n, const real *x, const real *dy, const vf *how, real *y)
{
    const vf a = how[0], b = how[1], c = how[2];
    for (ptrdiff_t i = 0; i < n; i += VL)
        v_store(y + i, backward ? act_slope(act, v_load(x + i), v_load(dy + i), a, b, c) : act_value(act, v_load(x + i), a, b, c));
}

/* n is a number of whole words. */
static void act_words(ck_act act, ptrdiff_t n, const real *x, const real *dy, const vf *how, real *y)
{
#define CK_RUN(act)                                                                                                         \
    case act:                                                                                                               \
        if (dy)                                                                                                             \
            act_each(act, 1, n, x, dy, how, y);                                                                             \
        else                                                                                                                \
            act_each(act, 0, n, x, NULL, how, y);                                                                           \
        break;
    switch (act) {
        CK_ACTS(CK_RUN)
    case CK_NO_ACT:
        break;
    }
#undef CK_RUN
}

static void act_line(ck_act act, ptrdiff_t n, const void *from, const void *slope, const double *parameters, void *to, int stream)
{
    enum { BLOCK = 8 * VL };                        /* no more lines than can wait to be written */
    const real *x = from, *dy = slope;
    real *y = to;
    const vf how[3] = { of(parameters[0]), of(parameters[1]), of(parameters[2]) };
    const ptrdiff_t words = n / VL * VL, rest = n - words;
    if (stream && (uintptr_t)y % sizeof(vf) == 0) {
        real block[BLOCK];
        for (ptrdiff_t i = 0; i < words; i += BLOCK) {
            const ptrdiff_t count = words - i < BLOCK ? words - i : BLOCK;
            act_words(act, count, x + i, dy ? dy + i : NULL, how, block);
            for (ptrdiff_t j = 0; j < count; j += VL)
                v_stream(y + i + j, v_load(block + j));
        }
        v_fence();
    } else {
        act_words(act, words, x, dy, how, y);
    }
    if (rest) {
        real x_word[VL] = { 0 }, dy_word[VL] = { 0 }, y_word[VL];
        memcpy(x_word, x + words, (size_t)rest * sizeof(real));
        if (dy)
            memcpy(dy_word, dy + words, (size_t)rest * sizeof(real));
        act_words(act, VL, x_word, dy ? dy_word : NULL, how, y_word);
        memcpy(y + words, y_word, (size_t)rest * sizeof(real));
    }
}
