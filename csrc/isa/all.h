/* Compiles every kernel for one ISA and element type, and fills the table: included last, by each isa file. */
#define CK_INLINE static inline __attribute__((always_inline))

#include "../kernels/tile.h"
#include "../kernels/lines.h"
#include "../kernels/first.h"
#include "../kernels/few.h"
#include "../kernels/grouped.h"
#include "../kernels/grouped_sums.h"
#include "../kernels/transpose.h"
#include "../kernels/pack.h"
#include "../kernels/sum.h"
#include "../kernels/pool.h"
#include "../kernels/wino.h"
#include "../kernels/wino_few.h"
#include "../kernels/depthwise.h"
#include "../kernels/depthwise_sums.h"
#include "../kernels/elementary.h"
#include "../kernels/act.h"
#include "../kernels/softmax.h"
#include "../kernels/columns.h"
#include "../kernels/rownorm.h"
#include "../kernels/dropout.h"
#include "../kernels/optim.h"
#include "../kernels/resize.h"
#include "../kernels/probe.h"

#define CK_STRING(isa) #isa
#define CK_NAME_OF(isa) CK_STRING(isa)
#define CK_JOIN(isa, type) ck_kernels_##isa##_##type
#define CK_TABLE(isa, type) CK_JOIN(isa, type)
#define CK_ENTRY(name, arguments) .name = name,

const ck_kernels CK_TABLE(CK_ISA, CK_TYPE) = {
    .isa = CK_NAME_OF(CK_ISA), .vector = VL, .vecs = VECS, .rows = CK_TILE_ROWS, .lines_rows = CK_LINES_ROWS,
    CK_KERNELS(CK_ENTRY)
};
