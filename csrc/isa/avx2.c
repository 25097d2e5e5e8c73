#include "real.h"
#include "../simd/avx2.h"
#include "all.h"
