/* Checks the floating-point mode. */
#include "mode.h"

int mode_works(void);

enum { RAISED = 0x3F };                            /* x86 keeps the exceptions that were raised beside the mode */

/* Subnormal numbers vanish between the two calls of mode.h, and only there. */
int mode_works(void)
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
