/* A line of the result from windows that lie over it, for results with few channels (_core/few.pyx).
 *
 * sum_windows: windows of `depth` numbers, each c_step to the right of the one before.
 *
 *     c[q*c_step + i] = sum over j of a[(q-j)*a_step + j*c_step + i],   q < pixels, i < c_step, for j >= 0, j*c_step + i < depth
 *
 * There are ceil(depth/c_step) - 1 windows before the first one. Sums are gathered for each element of c: adding the windows
 * to c one by one would load vectors again before the stores of their parts are done. Vectors are read and written whole: up
 * to VL elements further than needed, in c what comes next overwrites them.
 *
 * sum_lines: what remains to be done across the rows of the filter.
 *
 *     c[i] = finish( bias[i] + sum over t < taps of a[t][i] ),   i < length
 */
CK_INLINE void windows_of(const int reach, const int whole, ptrdiff_t pixels, ptrdiff_t last, const real *a, ptrdiff_t a_step,
                          real *c, ptrdiff_t c_step)
{
    const ptrdiff_t back = c_step - a_step;
    for (ptrdiff_t q = 0; q < pixels; q++, a += a_step, c += c_step) {
        vf part[4];
#pragma GCC unroll 4
        for (int j = 0; j < reach; j++)
            part[j] = whole || j < reach - 1 ? v_load(a + j * back) : v_load_n(a + j * back, last);
#pragma GCC unroll 4
        for (int j = 1; j < reach; j++)
            part[0] = v_add(part[0], part[j]);
        v_store(c, part[0]);
    }
}

static void sum_windows(ptrdiff_t pixels, ptrdiff_t depth, const void *windows, ptrdiff_t a_step, void *line, ptrdiff_t c_step)
{
    const real *a = windows;
    real *c = line;
    const ptrdiff_t reach = (depth + c_step - 1) / c_step, last = depth - (reach - 1) * c_step;
    if (c_step <= VL && reach <= 4) {              /* the same sums in the same order, compiled for the usual shapes */
        const int whole = last == c_step;
        switch (2 * reach + whole) {
#define CK_REACH(n)                                                                                                         \
    case 2 * n: windows_of(n, 0, pixels, last, a, a_step, c, c_step); return;                                               \
    case 2 * n + 1: windows_of(n, 1, pixels, last, a, a_step, c, c_step); return;
            CK_REACH(1) CK_REACH(2) CK_REACH(3) CK_REACH(4)
#undef CK_REACH
        }
    }
    for (ptrdiff_t q = 0; q < pixels; q++, a += a_step, c += c_step)
        for (ptrdiff_t v = 0; v < c_step; v += VL) {
            const ptrdiff_t width = c_step - v < VL ? c_step - v : VL;
            const real *window = a + v;
            ptrdiff_t left = depth - v;
            vf sum = v_load_n(window, left < VL ? left > 0 ? left : 0 : VL);
            for (left -= c_step, window += c_step - a_step; left >= width; left -= c_step, window += c_step - a_step)
                sum = v_add(sum, v_load(window));
            if (left > 0)
                sum = v_add(sum, v_load_n(window, left));
            v_store(c + v, sum);
        }
}

static void sum_lines(ptrdiff_t taps, ptrdiff_t length, const void *const *a, const void *bias, void *line, int relu)
{
    for (ptrdiff_t v = 0; v < length; v += VL) {   /* whole vectors here, too */
        vf sum = v_load((const real *)bias + v);
        for (ptrdiff_t t = 0; t < taps; t++)
            sum = v_add(sum, v_load((const real *)a[t] + v));
        v_store((real *)line + v, relu ? v_max(v_zero(), sum) : sum);
    }
}
