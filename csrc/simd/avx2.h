/* AVX2 and FMA: 16 registers of 32 bytes. 6*2 sums + 2 filters + 1 input = 15 of 16. */
#include <immintrin.h>

#define CK_ISA avx2
#define CK_TILE_ROWS { 0, 8, 6 }
enum { VECS = 2 };

#if CK_DOUBLE
typedef __m256d vf;
static const int64_t v_lanes[8] = { -1, -1, -1, -1 };
#define V(name) _mm256_##name##_pd
#else
typedef __m256 vf;
static const int32_t v_lanes[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
#define V(name) _mm256_##name##_ps
#endif
enum { VL = sizeof(vf) / sizeof(real) };

static inline vf v_zero(void) { return V(setzero)(); }
static inline vf v_set1(real a) { return V(set1)(a); }
static inline vf v_load(const real *p) { return V(loadu)(p); }
static inline vf v_load_n(const real *p, ptrdiff_t n)                                           /* zeros after n */
{
    return V(maskload)(p, _mm256_loadu_si256((const __m256i *)(v_lanes + VL - n)));
}
static inline void v_store(real *p, vf a) { V(storeu)(p, a); }
static inline vf v_add(vf a, vf b) { return V(add)(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return V(fmadd)(a, b, c); }                          /* a*b + c */
static inline vf v_max(vf a, vf b) { return V(max)(a, b); }                                     /* a > b ? a : b */
#define CK_HAS_LOAD_N
#include "partial.h"                               /* masked stores cost 15 cycles on Zen, so not here */
