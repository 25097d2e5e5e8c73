/* The machine's multiply-add peak: CK_PROBE_FMAS independent multiply-adds of VL elements, `repeats` times. */
static void multiply_add(ptrdiff_t repeats, void *sink)
{
    vf sums[CK_PROBE_FMAS];
    const vf a = v_set1((real)0.999), b = v_set1((real)1e-3);
#pragma GCC unroll 12
    for (int i = 0; i < CK_PROBE_FMAS; i++)
        sums[i] = v_set1((real)i);
    for (ptrdiff_t k = 0; k < repeats; k++)
#pragma GCC unroll 12
        for (int i = 0; i < CK_PROBE_FMAS; i++)
            sums[i] = v_fma(sums[i], a, b);
#pragma GCC unroll 12
    for (int i = 0; i < CK_PROBE_FMAS; i++)
        v_store((real *)sink + i * VL, sums[i]);
}
