/* What the checks of the kernels share: arrays against guard pages, numbers for them, and comparisons.
 *
 * Every array lies in pages of its own between two that may not be touched. In one round it ends where the last of them
 * begins, in the next it begins where the first one ends; the rest of its pages must keep its bytes. Arrays that a kernel
 * only reads are read-only.
 */
#ifndef CHECK_H
#define CHECK_H

#include "real.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if CK_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#define CHECK_TABLE check_table_f64
#else
#define REAL_EPSILON FLT_EPSILON
#define CHECK_TABLE check_table_f32
#endif

enum { MOST_ARRAYS = 64, SPARE = 0xA5 };

typedef struct {
    unsigned char *pages, *array;
    size_t room, bytes;
} placed;

static struct {
    const ck_kernels *k;
    const char *kernel;
    int at_end;                                    /* arrays end at a guard page; otherwise they begin at one */
    int integers;                                  /* results are exact, however they are summed */
    uint64_t seed;
    long compared;
    placed arrays[MOST_ARRAYS];
    int count;
} now;

static void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s, %s of %d bytes, arrays %s a guard page, %s numbers: ", now.k->isa, now.kernel, (int)sizeof(real),
            now.at_end ? "end at" : "begin at", now.integers ? "whole" : "any");
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    exit(1);
}

static void *place(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    if (now.count == MOST_ARRAYS)
        fail("more than %d arrays in a check", MOST_ARRAYS);
    unsigned char *all = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || (room && mprotect(all + page, room, PROT_READ | PROT_WRITE)))
        fail("no memory");
    placed *p = &now.arrays[now.count++];
    *p = (placed){ all + page, all + page + (now.at_end ? room - bytes : 0), room, bytes };
    memset(p->pages, SPARE, room);
    return p->array;
}

/* From here on the array that was placed last may only be read. */
static void seal(void)
{
    const placed *p = &now.arrays[now.count - 1];
    if (p->room && mprotect(p->pages, p->room, PROT_READ))
        fail("cannot protect an array");
}

/* Gives all arrays back; nothing may have been written beside them. */
static void release(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    while (now.count) {
        const placed *p = &now.arrays[--now.count];
        for (size_t i = 0; i < p->room; i++) {
            const int inside = p->pages + i >= p->array && p->pages + i < p->array + p->bytes;
            if (!inside && p->pages[i] != SPARE)
                fail("a byte was written %ld bytes from the start of an array of %ld", (long)(p->pages + i - p->array),
                     (long)p->bytes);
        }
        munmap(p->pages - page, p->room + 2 * page);
    }
}

static uint32_t draw(void)
{
    now.seed = now.seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(now.seed >> 33);
}

static ptrdiff_t one_of(const ptrdiff_t *values, int count) { return values[draw() % (unsigned)count]; }
#define ONE_OF(...) one_of((const ptrdiff_t[]){ __VA_ARGS__ }, sizeof((ptrdiff_t[]){ __VA_ARGS__ }) / sizeof(ptrdiff_t))

static real number(void)
{
    if (now.integers)
        return (real)((int)(draw() % 7) - 3);
    return (real)((draw() % 2000003) / 1000001.0 - 1.0);
}

static real *numbers(ptrdiff_t count)
{
    real *a = place((size_t)count * sizeof(real));
    for (ptrdiff_t i = 0; i < count; i++)
        a[i] = number();
    return a;
}

static const real *input(ptrdiff_t count)
{
    const real *a = numbers(count);
    seal();
    return a;
}

/* What sums begin with, and for CK_RESIDUAL the array at `*residual` bytes from y. */
static int a_start(const real *y, ptrdiff_t count, const real **added, ptrdiff_t *residual)
{
    const int start = (int)draw() % 3;
    *added = start == CK_RESIDUAL ? input(count) : NULL;
    *residual = *added ? (const char *)*added - (const char *)y : 0;
    return start;
}

/* The sum before the first product, and its size. */
static double begun(int start, double stored, const real *bias, ptrdiff_t o, const real *added, ptrdiff_t at, double *size)
{
    const double first = start == CK_STORED ? stored : bias ? (double)bias[o] : 0, more = added ? (double)added[at] : 0;
    *size = fabs(first) + fabs(more);
    return first + more;
}

static double *copy_of(const real *a, ptrdiff_t count)
{
    double *copy = malloc((size_t)(count + 1) * sizeof *copy);
    for (ptrdiff_t i = 0; i < count; i++)
        copy[i] = (double)a[i];
    return copy;
}

/* The relative error that `roundings` roundings of unit u can add up to; see tests/bounds.py. */
static double gamma_of(double roundings, double u) { return roundings * u / (1 - roundings * u); }

/* `magnitude` is the sum of the absolute values of the terms that `want` is the sum of. */
static void expect(const char *what, ptrdiff_t at, real got, double want, double magnitude, ptrdiff_t terms)
{
    const double roundings = (double)(terms + 2);
    const double bound = (gamma_of(roundings, REAL_EPSILON / 2) + gamma_of(roundings, DBL_EPSILON / 2)) * magnitude;
    now.compared++;
    if (!(fabs((double)got - want) <= (now.integers ? 0 : bound)))
        fail("%s[%ld] is %.17g, wanted %.17g within %.3g", what, (long)at, (double)got, want, now.integers ? 0 : bound);
}

#endif
