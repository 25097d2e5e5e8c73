/* Subnormal numbers, for this thread: a multiply-add that meets one can take a hundred times as long. */
#ifndef CONVKIT_MODE_H
#define CONVKIT_MODE_H

#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int ck_mode;
enum { CK_FLUSH = 0x8040 };                        /* results to zero, operands as zero */
static inline ck_mode ck_read_mode(void) { return _mm_getcsr(); }
static inline void ck_write_mode(ck_mode mode) { _mm_setcsr(mode); }
static inline void ck_fence(void) { _mm_sfence(); }
#elif defined(__aarch64__)
typedef uint64_t ck_mode;
enum { CK_FLUSH = 1 << 24 };
static inline ck_mode ck_read_mode(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void ck_write_mode(ck_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
static inline void ck_fence(void) {}
#else
typedef unsigned int ck_mode;
enum { CK_FLUSH = 0 };
static inline ck_mode ck_read_mode(void) { return 0; }
static inline void ck_write_mode(ck_mode mode) { (void)mode; }
static inline void ck_fence(void) {}
#endif

/* ck_fence: what was written past the caches comes before what is written next. */

/* Takes subnormals as zero where `flush`; returns what ck_write_mode restores afterwards. */
static inline ck_mode ck_flush_subnormals(int flush)
{
    const ck_mode found = ck_read_mode();
    if (flush)
        ck_write_mode(found | CK_FLUSH);
    return found;
}

#endif
