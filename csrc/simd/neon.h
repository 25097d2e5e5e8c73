/* AArch64 NEON: 32 registers of 16 bytes. 8*3 sums + 3 filters + 1 input = 28 of 32. */
#include <arm_neon.h>

#define CK_ISA neon
#define CK_BYTES 16
#define CK_TILE_ROWS { 0, 12, 12, 8 }
enum { VECS = 3, SUMS = 25, FREE_MASKS = 0, FUSES = 1 };

#if CK_DOUBLE
typedef float64x2_t vf;
#define V(name) name##q_f64
#define V_DUP vdupq_n_f64
#else
typedef float32x4_t vf;
#define V(name) name##q_f32
#define V_DUP vdupq_n_f32
#endif
enum { VL = sizeof(vf) / sizeof(real) };

static inline vf v_zero(void) { return V_DUP(0); }
static inline vf v_set1(real a) { return V_DUP(a); }
static inline vf v_load(const real *p) { return V(vld1)(p); }
static inline vf v_hold(vf a) { return a; }                                                     /* a, loaded once and kept */
static inline void v_store(real *p, vf a) { V(vst1)(p, a); }
static inline void v_stream(real *p, vf a) { v_store(p, a); }                                   /* p aligned, past the caches */
static inline void v_fence(void) {}                                                             /* after v_stream */
static inline vf v_add(vf a, vf b) { return V(vadd)(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return V(vfma)(c, a, b); }                           /* a*b + c */
static inline vf v_max(vf a, vf b) { return V(vbsl)(V(vcgt)(a, b), a, b); }                     /* a > b ? a : b */
static inline vf v_min(vf a, vf b) { return V(vbsl)(V(vclt)(a, b), a, b); }                     /* a < b ? a : b */
static inline vf v_if_less(vf a, vf b, vf yes, vf no) { return V(vbsl)(V(vclt)(a, b), yes, no); }  /* a < b ? yes : no */

static inline vf v_sqrt(vf a) { return V(vsqrt)(a); }

typedef uint8x16_t vi;                             /* one index for each byte */
static inline vi v_indices(const int32_t *p)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(p[i / sizeof(real)] * sizeof(real) + i % sizeof(real));
    return vld1q_u8(bytes);
}
static inline vf v_spread(vf a, vi from)                                      /* element i is a[from[i]] */
{
    vf spread;
    uint8x16_t bytes;
    memcpy(&bytes, &a, sizeof bytes);
    bytes = vqtbl1q_u8(bytes, from);
    memcpy(&spread, &bytes, sizeof spread);
    return spread;
}
#define CK_HAS_SPREAD
#include "partial.h"
