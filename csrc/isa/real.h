/* The element type of this compilation: -DCK_DOUBLE=0 or -DCK_DOUBLE=1. */
#include "../convkit.h"

#include <math.h>
#include <string.h>

#if CK_DOUBLE
typedef double real;
#define CK_TYPE f64
#else
typedef float real;
#define CK_TYPE f32
#endif

/* The compiler knows nothing about the value of v from here on. */
#define CK_HOLD(v) __asm__("" : "+r"(v))
