"""Compiled loops: threads and memory here, registers in csrc. Everything was checked before it gets this far."""

import os

# GNU's OpenMP lets idle threads spin for milliseconds, and two processes that use all CPUs then stand in each other's way. It
# reads its environment once, when the first module that needs it is loaded; nothing else gets to see the variable.
_spins = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
if _spins:
    os.environ["GOMP_SPINCOUNT"] = "1000"
try:
    import convkit._core.cpu  # noqa: F401
finally:
    if _spins:
        del os.environ["GOMP_SPINCOUNT"]
