/* Checks the kernels of every instruction set that this build has and this CPU runs, and the floating-point mode. */
#include "convkit.h"
#include "mode.h"

#include <stdio.h>

long check_table_f32(const char *isa);
long check_table_f64(const char *isa);

enum { RAISED = 0x3F };                            /* x86 keeps the exceptions that were raised beside the mode */

/* Subnormal numbers vanish between the two calls of mode.h, and only there. */
static int mode_works(void)
{
    volatile float small = 1e-39f, one = 1, flushed, kept, strict;    /* the compiler may move what is not volatile */
    const ck_mode before = ck_read_mode();
    const ck_mode found = ck_flush_subnormals(1);
    flushed = small * one;
    ck_write_mode(found);
    kept = small * one;
    const ck_mode same = ck_flush_subnormals(0);
    strict = small * one;
    ck_write_mode(same);
    const ck_mode changed = (found ^ before) | (same ^ before) | (ck_read_mode() ^ before);
    return flushed == 0 && kept > 0 && strict > 0 && (changed & ~(ck_mode)RAISED) == 0;
}

int main(void)
{
    int tables = 0;
    if (!mode_works()) {
        fprintf(stderr, "mode.h does not flush subnormal numbers, or does not restore the mode\n");
        return 1;
    }
    for (const char *const *isa = ck_isas; *isa; isa++)
        if (ck_find(*isa, CK_FLOAT32)) {
            const long f32 = check_table_f32(*isa), f64 = check_table_f64(*isa);
            printf("%s: %ld and %ld elements compared\n", *isa, f32, f64);
            tables++;
        }
    return tables == 0 || ck_find("none", CK_FLOAT32) != NULL;
}
