/* Any CPU: vectors of 16 bytes in the compiler's own arithmetic, fused only where the machine fuses. */
#define CK_ISA generic
#define CK_BYTES 16
#define CK_TILE_ROWS { 0, 8, 4 }
enum { VECS = 2, SUMS = 10, FREE_MASKS = 1, FUSES = 0 };

typedef real vf __attribute__((vector_size(16)));
typedef real vf_any __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
enum { VL = sizeof(vf) / sizeof(real) };

static inline vf v_zero(void) { return (vf){ 0 }; }
static inline vf v_set1(real a) { return v_zero() + a; }
static inline vf v_load(const real *p) { return *(const vf_any *)p; }
static inline vf v_hold(vf a) { return a; }                                                     /* a, loaded once and kept */
static inline void v_store(real *p, vf a) { *(vf_any *)p = a; }
static inline void v_stream(real *p, vf a) { v_store(p, a); }                                   /* p aligned, past the caches */
static inline void v_fence(void) {}                                                             /* after v_stream */
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vf v_max(vf a, vf b)                                                              /* a > b ? a : b */
{
    for (int i = 0; i < VL; i++)
        a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
static inline vf v_if_less(vf a, vf b, vf yes, vf no)                         /* a < b ? yes : no */
{
    for (int i = 0; i < VL; i++)
        yes[i] = a[i] < b[i] ? yes[i] : no[i];
    return yes;
}
static inline vf v_min(vf a, vf b) { return v_if_less(a, b, a, b); }                            /* a < b ? a : b */
static inline vf v_sqrt(vf a)
{
    for (int i = 0; i < VL; i++)
        a[i] = (real)sqrt((double)a[i]);
    return a;
}
#include "partial.h"
