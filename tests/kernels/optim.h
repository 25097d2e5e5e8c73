/* The check of kernels/optim.h. */
#ifndef OPTIM_H
#define OPTIM_H

#include "check.h"

typedef struct {
    double w, m, v, average, direction;
} stepped;

static stepped step_by_definition(const ck_optim *o, double grad, stepped is, int has_grad, int has_m, int has_v)
{
    const double g = fmin(fmax(o->scale * grad, -o->limit), o->limit) + o->l2 * is.w, was = is.m;
    if (has_v && has_grad)
        is.v = o->v_keep * is.v + o->v_add * g * g;
    if (has_m && has_grad && o->rule != CK_ROLL)
        is.m = o->m_keep * is.m + o->m_add * g;
    const double up = o->q * g + (has_m && o->rule != CK_ROLL ? o->p * (o->rule == CK_SIGN ? was : is.m) : 0);
    double d = o->rule == CK_SIGN ? (up > 0) - (up < 0) : has_v ? up / (sqrt(o->v_scale * is.v) + o->eps) : up;
    if (o->rule == CK_ROLL)
        d = is.m = o->m_keep * was + d;
    is.direction = d + o->decay * is.w;
    if (o->rule != CK_MEASURE) {
        is.w -= o->rate * is.direction;
        is.average += o->share * (is.w - is.average);
    }
    return is;
}

static void near_number(const char *what, ptrdiff_t at, real got, double want)
{
    now.compared++;
    if (!(fabs((double)got - want) <= 100 * REAL_EPSILON * (1 + fabs(want))))
        fail("%s[%ld] is %.17g, wanted %.17g", what, (long)at, (double)got, want);
}

static void optim_once(ck_rule rule, ptrdiff_t n, int has_grad, int has_m, int has_v, int has_average)
{
    const ck_optim o = { rule, 0.75, draw() % 2 ? INFINITY : 0.5, 0.125, 0.5, 0.25, 0.75, 0.5, 1.25, 0.375, 1.5, 0.25, 0.0625, 0.5, 0.125 };
    const real *grad = has_grad ? input(n) : NULL;
    real *w = numbers(n), *m = has_m ? numbers(n) : NULL, *v = has_v ? numbers(n) : NULL;
    real *average = has_average ? numbers(n) : NULL;
    stepped *want = malloc((size_t)(n + 1) * sizeof *want);
    double sums[2] = { 0, 0 }, of_w = 0, of_d = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (v)
            v[i] = v[i] < 0 ? -v[i] : v[i];
        if (rule == CK_SIGN)                       /* where the sign is not decided by rounding */
            w[i] = (real)floor((double)w[i] * 8), m[i] = (real)(floor((double)m[i] * 8) + 0.0625);
        const stepped is = { (double)w[i], m ? (double)m[i] : 0, v ? (double)v[i] : 0, average ? (double)average[i] : 0, 0 };
        of_w += is.w * is.w;
        want[i] = step_by_definition(&o, grad ? (double)grad[i] : 0, is, has_grad, has_m, has_v);
        of_d += want[i].direction * want[i].direction;
    }
    now.k->optim_line(n, &o, grad, w, m, v, average, sums);
    for (ptrdiff_t i = 0; i < n; i++) {
        near_number("w", i, w[i], want[i].w);
        if (m)
            near_number("m", i, m[i], want[i].m);
        if (v)
            near_number("v", i, v[i], want[i].v);
        if (average)
            near_number("average", i, average[i], want[i].average);
    }
    const double bound = 200 * REAL_EPSILON * (1 + of_w + of_d);
    if (!(fabs(sums[0] - (rule == CK_MEASURE ? of_w : 0)) <= bound && fabs(sums[1] - (rule == CK_MEASURE ? of_d : 0)) <= bound))
        fail("sums are %.17g and %.17g, wanted %.17g and %.17g", sums[0], sums[1], of_w, of_d);
    free(want);
    release();
}

static void check_optim_line(void)
{
    const ptrdiff_t lengths[] = { 0, 1, 2, 3, 7, 15, 16, 17, 40, 1100 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int kept = 0; kept < 16; kept++)
            for (int rule = CK_STEP; rule <= CK_MEASURE; rule++) {
                const int has_m = (kept & 1) || rule == CK_SIGN || rule == CK_ROLL, has_grad = !(kept & 8) || rule == CK_ROLL;
                optim_once((ck_rule)rule, lengths[i], has_grad, has_m, (kept & 2) && rule != CK_SIGN, kept & 4);
            }
}

#endif
