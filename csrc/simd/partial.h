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

static inline void v_store_n(real *p, vf a, ptrdiff_t n)
{
    real whole[VL];
    v_store(whole, a);
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = whole[i];
}
