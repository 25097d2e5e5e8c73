/* Which instruction sets this build has and this CPU can run. */
#include "convkit.h"

#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define CK_ISAS(X) X(avx512) X(avx2) X(generic)
#elif defined(__aarch64__) || defined(_M_ARM64)
#define CK_ISAS(X) X(neon) X(generic)
#else
#define CK_ISAS(X) X(generic)
#endif

#define CK_DECLARE(isa) extern const ck_kernels ck_kernels_##isa##_f32, ck_kernels_##isa##_f64;
CK_ISAS(CK_DECLARE)

#define CK_NAME(isa) #isa,
const char *const ck_isas[] = { CK_ISAS(CK_NAME) NULL };

static int runs(const char *isa)
{
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_cpu_init();
    if (!strcmp(isa, "avx512"))
        return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (!strcmp(isa, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    (void)isa;                                     /* NEON is part of AArch64 */
#endif
    return 1;
}

const ck_kernels *ck_find(const char *isa, ck_dtype dtype)
{
#define CK_MATCH(name)                                                                                                      \
    if (!strcmp(isa, #name) && runs(isa))                                                                                   \
        return dtype == CK_FLOAT32 ? &ck_kernels_##name##_f32 : &ck_kernels_##name##_f64;
    CK_ISAS(CK_MATCH)
    return NULL;
}
