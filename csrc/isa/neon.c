#include "real.h"
#include "../simd/neon.h"
#include "all.h"
