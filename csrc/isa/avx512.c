#include "real.h"
#include "../simd/avx512.h"
#include "all.h"
