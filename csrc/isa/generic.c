#include "real.h"
#include "../simd/generic.h"
#include "all.h"
