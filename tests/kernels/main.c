/* The checks as a program, where no Python runs: every instruction set of the build, and the floating-point mode. */
#include "convkit.h"

#include <stdio.h>

int mode_works(void);
long check_table_f32(const ck_kernels *table);
long check_table_f64(const ck_kernels *table);

int main(void)
{
    int tables = 0;
    if (!mode_works()) {
        fprintf(stderr, "mode.h does not flush subnormal numbers, or does not restore the mode\n");
        return 1;
    }
    for (const char *const *isa = ck_isas; *isa; isa++)
        if (ck_find(*isa, CK_FLOAT32)) {
            const long f32 = check_table_f32(ck_find(*isa, CK_FLOAT32));
            const long f64 = check_table_f64(ck_find(*isa, CK_FLOAT64));
            printf("%s: %ld and %ld elements compared\n", *isa, f32, f64);
            tables++;
        }
    return tables == 0 || ck_find("none", CK_FLOAT32) != NULL;
}
