/* A line of the result from windows that lie over it: the last step where the result has few channels (_core/few.pyx).
 *
 *     c[q*c_step + i] = finish( sum over t < taps and j of a[t][(q-j)*a_step + j*c_step + i] ),   q < pixels, i < c_step
 *
 * for all j >= 0 with j*c_step + i < depth
 *
 * a     for each tap (a row of the filter) a line of windows of `depth` numbers, each c_step to the right of the one before;
 *       windows before the first pixel and after the last one are zeros
 * bias  c_step numbers that the sums start from, or NULL for zeros
 *
 * Reads and writes up to VL elements further than it needs to. Sums are gathered for each element of c: adding the windows
 * to c one by one would load vectors again before the stores of their parts are done.
 */
static void sum_windows(ptrdiff_t pixels, ptrdiff_t taps, ptrdiff_t depth, const void *const *a, ptrdiff_t a_step, void *line,
                        ptrdiff_t c_step, const void *bias, int relu)
{
    real *c = line;
    for (ptrdiff_t q = 0; q < pixels; q++, c += c_step)
        for (ptrdiff_t v = 0; v < c_step; v += VL) {
            const ptrdiff_t width = c_step - v < VL ? c_step - v : VL;
            vf sum = bias ? v_load_n((const real *)bias + v, width) : v_zero();
            for (ptrdiff_t t = 0; t < taps; t++) {
                const real *window = (const real *)a[t] + q * a_step + v;
                ptrdiff_t left = depth - v;
                for (; left >= width; left -= c_step, window += c_step - a_step)
                    sum = v_add(sum, v_load(window));
                if (left > 0)
                    sum = v_add(sum, v_load_n(window, left));
            }
            v_store(c + v, relu ? v_max(v_zero(), sum) : sum);
        }
}
