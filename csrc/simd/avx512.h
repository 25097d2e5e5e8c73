/* AVX-512 F, BW and VL (every one but Xeon Phi): 32 registers of 64 bytes; masks cost nothing. 6*4 sums + 4 filters = 28 of 32, the input a memory operand. */
#include <immintrin.h>

#define CK_ISA avx512
#define CK_BYTES 64
#define CK_TILE_ROWS { 0, 14, 12, 8, 6 }
#define CK_LINES_ROWS { 0, 16, 12, 8, 6 }
enum { VECS = 4, SUMS = 25, FREE_MASKS = 1, FUSES = 1 };

#if CK_DOUBLE
typedef __m512d vf;
typedef __mmask8 vmask;
#define V(name) _mm512_##name##_pd
#define V_LESS _mm512_cmp_pd_mask
#else
typedef __m512 vf;
typedef __mmask16 vmask;
#define V(name) _mm512_##name##_ps
#define V_LESS _mm512_cmp_ps_mask
#endif
enum { VL = sizeof(vf) / sizeof(real) };

static inline vmask v_first(ptrdiff_t n) { return (vmask)((1u << n) - 1); }                     /* 0 <= n <= VL */

static inline vf v_zero(void) { return V(setzero)(); }
static inline vf v_set1(real a) { return V(set1)(a); }
static inline vf v_load(const real *p) { return V(loadu)(p); }
static inline vf v_load_n(const real *p, ptrdiff_t n) { return V(maskz_loadu)(v_first(n), p); }  /* zeros after n */
static inline vf v_hold(vf a)                                                                   /* a, loaded once and kept */
{
    __asm__("" : "+v"(a));
    return a;
}
typedef vmask vsome;                                                           /* the first elements, to be used often */
static inline vsome v_some(ptrdiff_t n) { return v_first(n); }
static inline int v_any(vsome some) { return some != 0; }
static inline vf v_load_some(const real *p, vsome some) { return V(maskz_loadu)(some, p); }
#define CK_HAS_SOME
static inline void v_store(real *p, vf a) { V(storeu)(p, a); }
static inline void v_store_n(real *p, vf a, ptrdiff_t n) { V(mask_storeu)(p, v_first(n), a); }
static inline void v_stream(real *p, vf a) { V(stream)(p, a); }                                /* p aligned, past the caches */
static inline void v_fence(void) { _mm_sfence(); }                                              /* after v_stream */
static inline vf v_add(vf a, vf b) { return V(add)(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return V(fmadd)(a, b, c); }                          /* a*b + c */
static inline vf v_add_where(vf sum, vf a, const uint8_t *labels, int label)  /* sum + (labels[i] == label ? a : 0) */
{
#if CK_DOUBLE
    const __m128i each = _mm_loadl_epi64((const __m128i *)labels);
#else
    const __m128i each = _mm_loadu_si128((const __m128i *)labels);
#endif
    return V(mask_add)(sum, (vmask)_mm_cmpeq_epi8_mask(each, _mm_set1_epi8((char)label)), sum, a);
}
static inline void v_put_labels(uint8_t *p, vf a)                             /* one byte of each integer */
{
#if CK_DOUBLE
    _mm_storel_epi64((__m128i *)p, _mm512_cvtepi64_epi8(_mm512_castpd_si512(a)));
#else
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_castps_si512(a)));
#endif
}
static inline vf v_max(vf a, vf b) { return V(max)(a, b); }                                     /* a > b ? a : b */

static inline vf v_min(vf a, vf b) { return V(min)(a, b); }                                     /* a < b ? a : b */
static inline vf v_if_less(vf a, vf b, vf yes, vf no)                         /* a < b ? yes : no */
{
    return V(mask_blend)(V_LESS(a, b, _CMP_LT_OQ), no, yes);
}
static inline vf v_sqrt(vf a) { return V(sqrt)(a); }
static inline real v_sum(vf a) { return V(reduce_add)(a); }                                     /* in pairs of halves */
static inline real v_top(vf a) { return V(reduce_max)(a); }
static inline vf v_scale(vf a, vf n) { return V(scalef)(a, n); }                                /* a * 2^n, n whole */

typedef __m512i vi;                                                           /* one index for each element */
static inline vi v_indices(const int32_t *p)
{
#if CK_DOUBLE
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)p));
#else
    return _mm512_loadu_si512(p);
#endif
}
static inline vf v_spread(vf a, vi from) { return V(permutexvar)(from, a); }                    /* element i is a[from[i]] */
