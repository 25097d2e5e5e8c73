/* Maxima over windows for one element type; pool.h includes this file once for each.
 *
 *     y[p][c]     = the largest of x[p][offset[t]][c] over t < taps,   p < pixels, c < channels
 *     index[p][c] = label[t] of the first tap that holds it, or `start` where no tap is larger than what y started from
 *
 * E           element type; E_FLOAT tells whether it has NaN, the largest of all values (the first one stays)
 * E_LANE      signed integer as wide as E
 * E_LOWEST    what y starts from, unless it resumes from the stored maxima of an earlier call
 * E_VECTOR    bytes of a vector
 * E_NAME      adds the type's suffix to a name
 *
 * y or index may be NULL. Unsigned integers are compared as signed ones with the top bit flipped. Comparisons are written in
 * the compiler's own vectors, which it turns into the compare and blend of any ISA; equal values (also -0 and 0) never
 * replace the first.
 */
typedef E E_NAME(vector) __attribute__((vector_size(E_VECTOR)));
typedef E E_NAME(vector_any) __attribute__((vector_size(E_VECTOR), aligned(sizeof(E)), may_alias));
typedef E_LANE E_NAME(lanes) __attribute__((vector_size(E_VECTOR)));
typedef uint8_t E_NAME(labels) __attribute__((vector_size(E_VECTOR / sizeof(E))));

static inline E_NAME(vector) E_NAME(load)(const E *p, ptrdiff_t n)
{
    if (n == E_VECTOR / sizeof(E))
        return *(const E_NAME(vector_any) *)p;
#if E_FLOAT
    return (E_NAME(vector))v_load_n(p, n);
#else
    if (n == 1)                                        /* gray images; through the stack it would wait for the store */
        return (E_NAME(vector)){ *p };
    E_NAME(vector) whole = { 0 };
    memcpy(&whole, p, (size_t)n * sizeof(E));
    return whole;
#endif
}

static inline void E_NAME(store)(E *p, E_NAME(vector) a, ptrdiff_t n)
{
    if (n == E_VECTOR / sizeof(E))
        *(E_NAME(vector_any) *)p = a;
    else
        memcpy(p, &a, (size_t)n * sizeof(E));
}

/* Unsigned integers to signed ones of the same order, and back. */
static inline E_NAME(vector) E_NAME(flip)(E_NAME(vector) a, E_LANE top)
{
#if E_FLOAT
    (void)top;
    return a;
#else
    return a ^ top;
#endif
}

/* Lanes where `a` takes the place of `best`: it is larger, or the first NaN. */
static inline E_NAME(lanes) E_NAME(larger)(E_NAME(vector) a, E_NAME(vector) best)
{
#if E_FLOAT
    return ~(best >= a) & (best == best);
#else
    return a > best;
#endif
}

/* `vecs` vectors of one pixel; the last one has n channels. */
CK_INLINE void E_NAME(max_pixel)(const int vecs, const int indexed, const ptrdiff_t n, const ck_taps *taps, E_LANE top,
                                 const E *x, E *y, uint8_t *index)
{
    enum { LENGTH = E_VECTOR / sizeof(E) };
    E_NAME(vector) best[4];
    E_NAME(lanes) label[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        best[v] = taps->resume ? E_NAME(flip)(E_NAME(load)(y + v * LENGTH, n), top)
                               : (E_NAME(vector)){ 0 } + (E)(E_FLOAT && taps->rectified ? 0 : E_LOWEST);
        label[v] = (E_NAME(lanes)){ 0 } + (E_LANE)taps->start;
    }
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        const E *from = x + taps->offset[t];
        const E_NAME(lanes) tap = (E_NAME(lanes)){ 0 } + (E_LANE)taps->label[t];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const E_NAME(vector) a = E_NAME(flip)(E_NAME(load)(from + v * LENGTH, n), top);
            const E_NAME(lanes) larger = E_NAME(larger)(a, best[v]);
            best[v] = (E_NAME(vector))(((E_NAME(lanes))a & larger) | ((E_NAME(lanes))best[v] & ~larger));
            if (indexed)
                label[v] = (tap & larger) | (label[v] & ~larger);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        if (y)
            E_NAME(store)(y + v * LENGTH, E_NAME(flip)(best[v], top), n);
        if (indexed) {
            E_NAME(labels) narrow;
#if E_FLOAT
            v_put_labels((uint8_t *)&narrow, (vf)label[v]);
#else
            narrow = __builtin_convertvector(label[v], E_NAME(labels));
#endif
            memcpy(index + v * LENGTH, &narrow, (size_t)n);
        }
    }
}

#if E_FLOAT
/* The same by v_max, half of the work, of what y does not hold yet. It passes over NaN, so `all`, the sum of what is read,
 * tells whether there was one (or infinities of both signs, which is as rare). */
CK_INLINE void E_NAME(max_plain)(const int vecs, const ptrdiff_t n, const ck_taps *taps, const E *x, E *y, vf *all)
{
    vf best[4], sum[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        best[v] = v_set1(E_LOWEST);
        sum[v] = v_zero();
    }
    for (ptrdiff_t t = 0; t < taps->count; t++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const E *from = x + taps->offset[t] + v * VL;
            const vf a = n == VL ? v_load(from) : v_load_n(from, n);
            best[v] = v_max(a, best[v]);
            sum[v] = v_add(sum[v], a);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        *all = v_add(*all, sum[v]);
        if (n == VL)
            v_store(y + v * VL, best[v]);
        else
            v_store_n(y + v * VL, best[v], n);
    }
}

/* Whether there was no NaN. */
static int E_NAME(max_plain_line)(ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const E *x, ptrdiff_t x_step, E *y,
                                  ptrdiff_t y_step)
{
    vf all = v_zero();
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_step, y += y_step) {
        ptrdiff_t c = 0;
        for (; c + 4 * VL <= channels; c += 4 * VL)
            E_NAME(max_plain)(4, VL, taps, x + c, y + c, &all);
        for (; c + VL <= channels; c += VL)
            E_NAME(max_plain)(1, VL, taps, x + c, y + c, &all);
        if (c < channels)
            E_NAME(max_plain)(1, channels - c, taps, x + c, y + c, &all);
    }
    const E total = v_sum(all);
    return total == total;
}
#endif

CK_INLINE void E_NAME(max_line)(const int indexed, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, E_LANE top,
                                const E *x, ptrdiff_t x_step, E *y, uint8_t *index, ptrdiff_t y_step)
{
    enum { LENGTH = E_VECTOR / sizeof(E) };
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_step) {
        E *to = y ? y + p * y_step : NULL;
        uint8_t *mark = indexed ? index + p * y_step : NULL;
        ptrdiff_t c = 0;
        for (; (indexed || !E_FLOAT) && c + 4 * LENGTH <= channels; c += 4 * LENGTH)
            E_NAME(max_pixel)(4, indexed, LENGTH, taps, top, x + c, to ? to + c : NULL, indexed ? mark + c : NULL);
        for (; c + LENGTH <= channels; c += LENGTH)
            E_NAME(max_pixel)(1, indexed, LENGTH, taps, top, x + c, to ? to + c : NULL, indexed ? mark + c : NULL);
        if (c < channels)
            E_NAME(max_pixel)(1, indexed, channels - c, taps, top, x + c, to ? to + c : NULL, indexed ? mark + c : NULL);
    }
}

static void E_NAME(max_of)(int flipped, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const void *x,
                           ptrdiff_t x_step, void *y, uint8_t *index, ptrdiff_t y_step)
{
    const E_LANE top = flipped ? (E_LANE)((uint64_t)1 << (8 * sizeof(E) - 1)) : 0;
#if E_FLOAT
    if (!index && !taps->resume && E_NAME(max_plain_line)(pixels, channels, taps, x, x_step, y, y_step))
        return;
#endif
    if (index)
        E_NAME(max_line)(1, pixels, channels, taps, top, x, x_step, y, index, y_step);
    else
        E_NAME(max_line)(0, pixels, channels, taps, top, x, x_step, y, NULL, y_step);
}

#if E_FLOAT
/* `vecs` vectors of one window that shares no element with another: dx is dy where the maximum is, and zero elsewhere. */
CK_INLINE void E_NAME(spread_pixel)(const int vecs, const int stream, const ptrdiff_t n, const ck_taps *taps, const E *x,
                                    const E *dy, E *dx)
{
    E_NAME(vector) best[4], part[4];
    E_NAME(lanes) label[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        best[v] = (E_NAME(vector)){ 0 } + E_LOWEST;
        label[v] = (E_NAME(lanes)){ 0 };
        part[v] = E_NAME(load)(dy + v * VL, n);
    }
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        const E_NAME(lanes) tap = (E_NAME(lanes)){ 0 } + (E_LANE)t;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const E_NAME(vector) a = E_NAME(load)(x + taps->offset[t] + v * VL, n);
            const E_NAME(lanes) larger = E_NAME(larger)(a, best[v]);
            best[v] = (E_NAME(vector))(((E_NAME(lanes))a & larger) | ((E_NAME(lanes))best[v] & ~larger));
            label[v] = (tap & larger) | (label[v] & ~larger);
        }
    }
    for (ptrdiff_t t = 0; t < taps->count; t++) {
        const E_NAME(lanes) tap = (E_NAME(lanes)){ 0 } + (E_LANE)t;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const vf a = (vf)((E_NAME(lanes))part[v] & (label[v] == tap));
            if (stream)
                v_stream(dx + taps->offset[t] + v * VL, a);
            else
                E_NAME(store)(dx + taps->offset[t] + v * VL, (E_NAME(vector))a, n);
        }
    }
}

CK_INLINE void E_NAME(spread_line)(const int stream, ptrdiff_t pixels, ptrdiff_t channels, const ck_taps *taps, const E *x,
                                   ptrdiff_t x_step, const E *dy, ptrdiff_t dy_step, E *dx)
{
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_step, dx += x_step, dy += dy_step) {
        ptrdiff_t c = 0;
        for (; c + 4 * VL <= channels; c += 4 * VL)
            E_NAME(spread_pixel)(4, stream, VL, taps, x + c, dy + c, dx + c);
        for (; c + VL <= channels; c += VL)
            E_NAME(spread_pixel)(1, stream, VL, taps, x + c, dy + c, dx + c);
        if (c < channels)
            E_NAME(spread_pixel)(1, 0, channels - c, taps, x + c, dy + c, dx + c);
    }
}
#endif

#undef E
#undef E_FLOAT
#undef E_LANE
#undef E_LOWEST
#undef E_VECTOR
#undef E_NAME
