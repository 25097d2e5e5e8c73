/* One step of an optimiser along a line of numbers, in one pass: from a gradient to the new w, and what is kept between steps.
 *
 *     g = scale * grad, held to -limit..limit, + l2 * w
 *     m = m_keep * m + m_add * g;   v = v_keep * v + v_add * g^2
 *     d = (p * m + q * g) / (sqrt(v_scale * v) + eps) + decay * w
 *     w = w - rate * d;   average = average + share * (w - average)
 *
 * rule    CK_STEP      as above
 *         CK_SIGN      d = sign(p * m + q * g) + decay * w, with m as it was before
 *         CK_ROLL      m = m_keep * m + q * g / (sqrt(v_scale * v) + eps);   d = m + decay * w
 *         CK_MEASURE   w and average stay; sums[0] = sum of w^2, sums[1] = sum of d^2
 *
 * grad, m, v, average   NULL for one that is not there: a gradient of zeros, p * m left out, a divisor of 1. A NaN stays one.
 */
CK_INLINE vf direction(const ck_optim *o, vf g, const vf *m, const vf *v)
{
    vf up = of(o->q) * g;
    if (m)
        up = v_fma(of(o->p), *m, up);
    if (o->rule == CK_SIGN)
        return v_if_less(v_zero(), up, of(1), v_if_less(up, v_zero(), of(-1), up));
    if (v)
        up = up / v_add(v_sqrt(of(o->v_scale) * *v), of(o->eps));
    return up;
}

static void optim_line(ptrdiff_t n, const ck_optim *how, const void *grads, void *values, void *firsts, void *seconds,
                       void *averages, double *sums)
{
    const ck_optim o = *how;                       /* which no store can change */
    const real *grad = grads;
    real *w = values, *m = firsts, *v = seconds, *average = averages;
    vf of_w = v_zero(), of_d = v_zero();
    sums[0] = sums[1] = 0;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const vf old = word(w + i, n - i), was = m ? word(m + i, n - i) : v_zero();
        vf g = grad ? word(grad + i, n - i) : v_zero(), first = was, second = v ? word(v + i, n - i) : v_zero();
        g = v_fma(of(o.l2), old, v_max(of(-o.limit), v_min(of(o.limit), of(o.scale) * g)));
        if (v && grad)
            put_word(v + i, second = v_fma(of(o.v_keep), second, of(o.v_add) * g * g), n - i);
        if (m && grad && o.rule != CK_ROLL)
            first = v_fma(of(o.m_keep), was, of(o.m_add) * g);
        vf d = direction(&o, g, !m || o.rule == CK_ROLL ? NULL : o.rule == CK_SIGN ? &was : &first, v ? &second : NULL);
        if (o.rule == CK_ROLL)
            d = first = v_fma(of(o.m_keep), was, d);
        if (m && grad)
            put_word(m + i, first, n - i);
        d = v_fma(of(o.decay), old, d);
        if (o.rule == CK_MEASURE) {
            of_w = v_fma(old, old, of_w);
            of_d = v_fma(d, d, of_d);
            if (i + VL >= n || (i / VL + 1) % SHORT == 0) {
                sums[0] += (double)v_sum(of_w);
                sums[1] += (double)v_sum(of_d);
                of_w = of_d = v_zero();
            }
            continue;
        }
        const vf moved = v_fma(of(-o.rate), d, old);
        put_word(w + i, moved, n - i);
        if (average) {
            const vf mean = word(average + i, n - i);
            put_word(average + i, v_fma(of(o.share), moved - mean, mean), n - i);
        }
    }
}
