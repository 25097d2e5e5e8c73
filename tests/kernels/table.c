/* Every kernel of one table against its definition in plain C: compiled with -DCK_DOUBLE=0 and with -DCK_DOUBLE=1. */
#include "check.h"
#include "depthwise.h"
#include "first.h"
#include "grouped.h"
#include "norm.h"
#include "optim.h"
#include "pool.h"
#include "resize.h"
#include "tiles.h"
#include "wino.h"

#include <signal.h>

static const struct {
    const char *kernel;
    void (*check)(void);
} checks[] = {
    { "tile_rows", check_tile_rows },   { "tile_lines", check_tile_lines }, { "pack_panel", check_pack_panel },
    { "transpose", check_transpose },   { "sum_rows", check_sum_rows },     { "max_taps", check_max_taps },
    { "sum_taps", check_sum_taps },     { "max_spread", check_max_spread }, { "multiply_add", check_multiply_add },
    { "line_tiles", check_line_tiles }, { "line_sums", check_line_sums },
    { "sum_windows", check_sum_windows }, { "sum_lines", check_sum_lines },
    { "wino_input", check_wino_input }, { "wino_taps", check_wino_taps },
    { "wino_output", check_wino_output }, { "wino_filter", check_wino_filter },
    { "wino_few", check_wino_few }, { "wino_few_filter", check_wino_few_filter }, { "wino_scale", check_wino_few_filter },
    { "depthwise_strip", check_depthwise_strip }, { "depthwise_filters", check_depthwise_filters },
    { "act_line", check_act_line },     { "softmax_rows", check_softmax_rows },
    { "cross_entropy_rows", check_cross_entropy_rows },
    { "column_moments", check_column_moments }, { "column_apply", check_columns },
    { "column_sums", check_columns },   { "column_grad", check_columns },
    { "row_norm", check_row_norm },     { "row_norm_grad", check_row_norm },
    { "dropout_line", check_dropout_line },
    { "optim_line", check_optim_line },
    { "blend_pairs", check_blend_pairs },
    { "blend", check_blend },           { "group_rows", check_group_rows }, { "group_sums", check_group_sums },
};

static void touched(int signal)
{
    (void)signal;
    fail("memory beside an array was touched, or a sealed one was written");
}

/* Kernels of the table that no check knows. */
static void list_unchecked(void)
{
#define CK_SAY(name, arguments)                                                                                             \
    for (size_t i = 0; i <= sizeof checks / sizeof *checks; i++)                                                            \
        if (i == sizeof checks / sizeof *checks)                                                                            \
            puts("unchecked: " #name);                                                                                      \
        else if (!strcmp(checks[i].kernel, #name))                                                                          \
            break;
    CK_KERNELS(CK_SAY)
}

/* Runs the checks of one instruction set; returns how many elements were compared. */
long CHECK_TABLE(const ck_kernels *table)
{
    now.k = table;
    list_unchecked();
    signal(SIGSEGV, touched);
    signal(SIGBUS, touched);
    now.seed = 1;
    now.compared = 0;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        for (int round = 0; round < 4; round++) {
            now.kernel = checks[i].kernel;
            now.at_end = round & 1;
            now.integers = round & 2;
            checks[i].check();
        }
    return now.compared;
}
