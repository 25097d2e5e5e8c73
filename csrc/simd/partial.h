/* The first n elements of a vector (0 <= n <= VL), through the stack, for ISAs without cheap masks. */
#ifndef CK_HAS_LOAD_N
static inline vf v_load_n(const real *p, ptrdiff_t n)
{
    real whole[VL] = { 0 };
    for (ptrdiff_t i = 0; i < n; i++)
        whole[i] = p[i];
    return v_load(whole);
}
#endif

/* The first elements of a vector, to be loaded often: for ISAs without masks their number. */
#ifndef CK_HAS_SOME
typedef ptrdiff_t vsome;
static inline vsome v_some(ptrdiff_t n) { return n; }
static inline int v_any(vsome some) { return some != 0; }
static inline vf v_load_some(const real *p, vsome some) { return v_load_n(p, some); }
#endif

/* Labels of a vector's elements, one byte each, for ISAs that leave their packing to the compiler. */
#ifndef CK_HAS_LABELS
static inline vf v_add_where(vf sum, vf a, const uint8_t *labels, int label)  /* sum + (labels[i] == label ? a : 0) */
{
    real whole[VL];
    v_store(whole, a);
    for (int i = 0; i < VL; i++)
        whole[i] = labels[i] == label ? whole[i] : 0;
    return v_add(sum, v_load(whole));
}

static inline void v_put_labels(uint8_t *p, vf a)                             /* one byte of each integer */
{
#if CK_DOUBLE
    int64_t whole[VL];
#else
    int32_t whole[VL];
#endif
    memcpy(whole, &a, sizeof whole);
    for (int i = 0; i < VL; i++)
        p[i] = (uint8_t)whole[i];
}
#endif

static inline void v_store_n(real *p, vf a, ptrdiff_t n)
{
    real whole[VL];
    v_store(whole, a);
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = whole[i];
}

/* The elements of a vector in another order, for ISAs that leave it to the compiler. */
#ifndef CK_HAS_SPREAD
typedef struct {
    const int32_t *from;
} vi;

static inline vi v_indices(const int32_t *p) { return (vi){ p }; }

static inline vf v_spread(vf a, vi indices)                                   /* element i is a[from[i]] */
{
    real whole[VL], spread[VL];
    v_store(whole, a);
    for (int i = 0; i < VL; i++)
        spread[i] = whole[indices.from[i]];
    return v_load(spread);
}
#endif

/* a * 2^n for whole numbers n from -2^10 to 2^10, in two steps, so that results may be subnormal or infinite. */
static inline vf v_scale(vf a, vf n)
{
#if CK_DOUBLE
    typedef uint64_t bits __attribute__((vector_size(sizeof(vf))));
    enum { PLACE = 52, BIAS = 1023 };
    const vf whole = v_add(n, v_set1(0x1.8p52 + 2 * BIAS));                   /* its low bits are the number */
    const bits both = (bits)whole & (((uint64_t)1 << 32) - 1);
#else
    typedef uint32_t bits __attribute__((vector_size(sizeof(vf))));
    enum { PLACE = 23, BIAS = 127 };
    const vf whole = v_add(n, v_set1(0x1.8p23f + 2 * BIAS));
    const bits both = (bits)whole & 0xFFFF;
#endif
    const bits half = both >> 1;
    return a * (vf)(half << PLACE) * (vf)((both - half) << PLACE);
}

/* Across the elements of a vector, in pairs of halves. */
static inline real v_sum(vf a)
{
    real whole[VL];
    v_store(whole, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            whole[i] += whole[i + half];
    return whole[0];
}

static inline real v_top(vf a)
{
    real whole[VL];
    v_store(whole, a);
    for (int i = 1; i < VL; i++)
        whole[0] = whole[i] > whole[0] ? whole[i] : whole[0];
    return whole[0];
}
