/* AVX-512F: 32 registers of 64 bytes; masks cost nothing. 6*4 sums + 4 filters = 28 of 32, the input a memory operand. */
#include <immintrin.h>

#define CK_ISA avx512
#define CK_TILE_ROWS { 0, 14, 12, 8, 6 }
enum { VECS = 4 };

#if CK_DOUBLE
typedef __m512d vf;
typedef __mmask8 vmask;
#define V(name) _mm512_##name##_pd
#else
typedef __m512 vf;
typedef __mmask16 vmask;
#define V(name) _mm512_##name##_ps
#endif
enum { VL = sizeof(vf) / sizeof(real) };

static inline vmask v_first(ptrdiff_t n) { return (vmask)((1u << n) - 1); }                     /* 0 <= n <= VL */

static inline vf v_zero(void) { return V(setzero)(); }
static inline vf v_set1(real a) { return V(set1)(a); }
static inline vf v_load(const real *p) { return V(loadu)(p); }
static inline vf v_load_n(const real *p, ptrdiff_t n) { return V(maskz_loadu)(v_first(n), p); }  /* zeros after n */
static inline void v_store(real *p, vf a) { V(storeu)(p, a); }
static inline void v_store_n(real *p, vf a, ptrdiff_t n) { V(mask_storeu)(p, v_first(n), a); }
static inline vf v_add(vf a, vf b) { return V(add)(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return V(fmadd)(a, b, c); }                          /* a*b + c */
static inline vf v_max(vf a, vf b) { return V(max)(a, b); }                                     /* a > b ? a : b */
