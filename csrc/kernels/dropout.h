/* Dropout of a line of numbers:  y = dropped ? c : a * x + b,  dropped with probability threshold / 2^32.
 *
 * What is dropped depends on the seed and on the position of a number alone: Threefry-2x32 with 13 rounds (J. Salmon and others,
 * "Parallel random numbers: as easy as 1, 2, 3", 2011; it passes BigCrush) turns a counter of 64 bits into two numbers of 32.
 * Counter 16 k + i decides on positions 32 k + i and 32 k + 16 + i, i < 16: the same on every instruction set.
 *
 * first    position of x[0], a multiple of 32
 */
CK_INLINE uint32_t rotated(uint32_t a, int by) { return a << by | a >> (32 - by); }

CK_INLINE void threefry(uint64_t counter, uint64_t seed, uint32_t *one, uint32_t *two)
{
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32), k2 = 0x1BD11BDA ^ k0 ^ k1;
    uint32_t a = (uint32_t)counter + k0, b = (uint32_t)(counter >> 32) + k1;
#define CK_ROUND(by) a += b, b = rotated(b, by) ^ a;
    CK_ROUND(13) CK_ROUND(15) CK_ROUND(26) CK_ROUND(6)
    a += k1, b += k2 + 1;
    CK_ROUND(17) CK_ROUND(29) CK_ROUND(16) CK_ROUND(24)
    a += k2, b += k0 + 2;
    CK_ROUND(13) CK_ROUND(15) CK_ROUND(26) CK_ROUND(6)
    a += k0, b += k1 + 3;
    CK_ROUND(17)
#undef CK_ROUND
    *one = a;
    *two = b;
}

static void dropout_line(ptrdiff_t n, uint64_t first, uint64_t seed, uint32_t threshold, const double *abc, const void *from,
                         void *to)
{
    enum { SPAN = 32 };
    const real a = (real)abc[0], b = (real)abc[1], c = (real)abc[2];
    const real *x = from;
    real *y = to;
    for (ptrdiff_t at = 0; at < n; at += SPAN) {
        const uint64_t counter = (first + (uint64_t)at) / 2;
        const size_t bytes = (size_t)(n - at < SPAN ? n - at : SPAN) * sizeof(real);
        uint32_t draw[SPAN];
        real some[SPAN] = { 0 };
        for (int i = 0; i < SPAN / 2; i++)
            threefry(counter + (uint64_t)i, seed, draw + i, draw + SPAN / 2 + i);
        memcpy(some, x + at, bytes);
        for (int i = 0; i < SPAN; i++) {
            const real kept = some[i] * a + b;
            some[i] = draw[i] < threshold ? c : kept;
        }
        memcpy(y + at, some, bytes);
    }
}
