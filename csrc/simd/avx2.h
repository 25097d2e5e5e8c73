/* AVX2 and FMA: 16 registers of 32 bytes. 6*2 sums + 2 filters + 1 input = 15 of 16. */
#include <immintrin.h>

#define CK_ISA avx2
#define CK_BYTES 32
#define CK_TILE_ROWS { 0, 8, 6 }
enum { VECS = 2, SUMS = 10, FREE_MASKS = 0, FUSES = 1 };

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
static inline vf v_hold(vf a)                                                                   /* a, loaded once and kept */
{
    __asm__("" : "+x"(a));
    return a;
}
static inline void v_store(real *p, vf a) { V(storeu)(p, a); }
static inline void v_stream(real *p, vf a) { V(stream)(p, a); }                                /* p aligned, past the caches */
static inline void v_fence(void) { _mm_sfence(); }                                              /* after v_stream */
static inline vf v_add(vf a, vf b) { return V(add)(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return V(fmadd)(a, b, c); }                          /* a*b + c */
static inline vf v_max(vf a, vf b) { return V(max)(a, b); }                                     /* a > b ? a : b */
static inline vf v_min(vf a, vf b) { return V(min)(a, b); }                                     /* a < b ? a : b */
static inline vf v_if_less(vf a, vf b, vf yes, vf no)                         /* a < b ? yes : no */
{
    return V(blendv)(no, yes, V(cmp)(a, b, _CMP_LT_OQ));
}
static inline vf v_sqrt(vf a) { return V(sqrt)(a); }
static inline vf v_add_where(vf sum, vf a, const uint8_t *labels, int label)  /* sum + (labels[i] == label ? a : 0) */
{
#if CK_DOUBLE
    int four;
    memcpy(&four, labels, sizeof four);
    const __m256i each = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    return _mm256_add_pd(sum, _mm256_and_pd(a, _mm256_castsi256_pd(_mm256_cmpeq_epi64(each, _mm256_set1_epi64x(label)))));
#else
    const __m256i each = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)labels));
    return _mm256_add_ps(sum, _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(each, _mm256_set1_epi32(label)))));
#endif
}
static inline void v_put_labels(uint8_t *p, vf a)                             /* one byte of each integer */
{
#if CK_DOUBLE
    const __m256i even = _mm256_permutevar8x32_epi32(_mm256_castpd_si256(a), _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    const __m128i words = _mm256_castsi256_si128(even);
    const int four = _mm_cvtsi128_si32(_mm_packus_epi16(_mm_packus_epi32(words, words), words));
    memcpy(p, &four, sizeof four);
#else
    const __m256i all = _mm256_castps_si256(a);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
#endif
}
typedef __m256i vi;                                /* one index for each element, a double's as those of its two halves */
static inline vi v_indices(const int32_t *p)
{
#if CK_DOUBLE
    const __m256i even = _mm256_slli_epi64(_mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)p)), 1);
    return _mm256_or_si256(even, _mm256_slli_epi64(_mm256_add_epi64(even, _mm256_set1_epi64x(1)), 32));
#else
    return _mm256_loadu_si256((const __m256i *)p);
#endif
}
static inline vf v_spread(vf a, vi from)                                      /* element i is a[from[i]] */
{
#if CK_DOUBLE
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), from));
#else
    return _mm256_permutevar8x32_ps(a, from);
#endif
}
#define CK_HAS_SPREAD
#define CK_HAS_LABELS
#define CK_HAS_LOAD_N
#include "partial.h"                               /* masked stores cost 15 cycles on Zen, so not here */
