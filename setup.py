"""Builds convkit: one static library per ISA and element type, one extension per .pyx file. The rest is in pyproject.toml.

CONVKIT_OPENMP=0   build without OpenMP (one thread)
CONVKIT_WERROR=1   warnings are errors
CONVKIT_DEBUG=1    bounds checks in the Cython loops, and debug information
CONVKIT_SANITIZE=1 address and undefined-behaviour sanitizers, whose library must be preloaded (see .ci/run)
"""

import os
import platform
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext


def switch(name, default):
    return os.environ.get(name, default) not in ("", "0")


CORES = os.cpu_count() or 1
WINDOWS = sys.platform == "win32"
ARM = platform.machine().lower() in ("arm64", "aarch64")
X86 = platform.machine().lower() in ("x86_64", "amd64")

# Each ISA with the flags that its own object files get, and no other file.
ISAS = {"generic": []}
if X86:
    ISAS |= {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]}
if ARM:
    ISAS |= {"neon": []}
# Small beats fast for CPUs older than AVX2, and for doubles on those older than AVX-512, at some cost to the tiles. Loops that
# gain from being unrolled say so: -O3 is larger, and no faster.
LEVELS = {("avx2", 64): "-Os"}
if X86:
    LEVELS |= {("generic", 32): "-Os", ("generic", 64): "-Os"}

MODULES = [
    "act",
    "call",
    "cpu",
    "depthwise",
    "direct",
    "few",
    "filters",
    "first",
    "grouped",
    "im2col",
    "layout",
    "norm",
    "pool",
    "resize",
    "winograd",
    "winograd_filters",
    "winograd_pack",
]

# The time of a call is spent in the kernels, but for these, which find places or put sums together; the others are small.
BUSY = dict.fromkeys(("depthwise", "direct", "grouped", "norm"), "-O2")

# Cython registers this module under its last name as well, like its own runtime: `_cython_...`.
SHARED = "convkit._core._cython_convkit"

# Compiler and linker flags of OpenMP, by platform.
OPENMP = {"darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]), "win32": (["-openmp"], [])}
OPENMP_FLAGS = OPENMP.get(sys.platform, (["-fopenmp"], ["-fopenmp"]))

WARNINGS = ["-Wall", "-Wextra", "-Werror"] if switch("CONVKIT_WERROR", "0") else []
# Cython's own C is warned about less: it keeps unused helpers and casts function pointers on purpose.
CYTHON_WARNINGS = ["-Wall", "-Werror", "-Wno-unused-function", "-Wno-unknown-warning-option"] if WARNINGS else []
KERNEL_FLAGS = ["-std=c11", "-ffp-contract=fast", "-fno-math-errno"]
HIDDEN = [] if WINDOWS else ["-fvisibility=hidden", "-fPIC"]
# Kernels at -O0: a register tile has hundreds of accesses, whose checks any optimisation takes minutes to compile.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if switch("CONVKIT_SANITIZE", "0") else []
SANITIZE_KERNELS = ["-O0", *SANITIZE] if SANITIZE else []
if not (WINDOWS or switch("CONVKIT_DEBUG", "0")):
    # Python's own flags say -g: the debug information would be two thirds of the wheel. Nothing is thrown through C.
    HIDDEN += ["-g0", "-fno-asynchronous-unwind-tables"]
# Symbols that nobody links against are a thirtieth of the wheel.
STRIP = ["-Wl,-s"] if sys.platform == "linux" and "-g0" in HIDDEN and not SANITIZE else []
HEADERS = sorted(str(path) for path in Path("csrc").rglob("*.h"))
KERNELS = [*HEADERS, *sorted(str(path) for path in Path("csrc/isa").glob("*.c")), "setup.py"]  # and its flags
DECLARATIONS = sorted(str(path) for path in Path("convkit/_core").glob("*.px[di]"))


def kernel_library(isa, bits):
    macros = [("CK_DOUBLE", str(int(bits == 64)))]
    flags = [*KERNEL_FLAGS, LEVELS.get((isa, bits), "-O2")] + HIDDEN + WARNINGS + SANITIZE_KERNELS + ISAS[isa]
    source = f"csrc/isa/{isa}.c"
    return f"ck_{isa}_f{bits}", {"sources": [source], "obj_deps": {source: HEADERS}, "macros": macros, "cflags": flags}


class build_kernels(build_clib):
    """Compiles all libraries at once, each in a folder of its own, as float and double come from the same file.

    The folder is named by compiler and flags, and stays: the next build, of whatever kind, compiles what has changed.
    """

    def build_libraries(self, libraries):
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(self.build_one, libraries))

    def build_one(self, library):
        alone = copy(self)
        how = zlib.crc32(repr((getattr(self.compiler, "compiler_so", ""), library[1]["cflags"])).encode())
        alone.build_temp = os.path.join("build", "kernels", f"{library[0]}-{how:08x}")
        super(build_kernels, alone).build_libraries([library])


class build_modules(build_ext):
    """Builds the kernels first; adds OpenMP where the compiler has it."""

    def run(self):
        self.run_command("build_clib")
        super().run()

    def build_extensions(self):
        if switch("CONVKIT_OPENMP", "1") and self.has_openmp():
            for extension in self.extensions:
                extension.extra_compile_args += OPENMP_FLAGS[0]
                extension.extra_link_args += OPENMP_FLAGS[1]
        self.parallel = self.parallel or CORES
        super().build_extensions()

    def has_openmp(self):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=OPENMP_FLAGS[0])
                self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=OPENMP_FLAGS[1])
            except Exception as error:
                print(f"convkit: no OpenMP, so one thread only ({error})", file=sys.stderr)
                return False
        return True


def shared_module():
    """What Cython's memoryviews need, once for all modules instead of in each of them."""
    source = Path("build/cython", *SHARED.split(".")).with_suffix(".c")
    source.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "cython", f"--generate-shared={source}"], check=True)
    return Extension(SHARED, sources=[str(source)], extra_compile_args=["-Os", *HIDDEN, *CYTHON_WARNINGS],
                     extra_link_args=STRIP)


def module(name):
    # Only cpu.pyx holds the kernels: the other modules are handed its table.
    sources = [f"convkit/_core/{name}.pyx"] + (["csrc/cpu.c"] if name == "cpu" else [])
    return Extension(
        f"convkit._core.{name}",
        sources=sources,
        depends=[*(KERNELS if name == "cpu" else HEADERS), *DECLARATIONS],
        include_dirs=["csrc"],
        extra_compile_args=["-O1" if SANITIZE else BUSY.get(name, "-Os"), *HIDDEN, *CYTHON_WARNINGS, *SANITIZE],
        extra_link_args=[*STRIP, *SANITIZE],
    )


setup(
    libraries=[kernel_library(isa, bits) for isa in ISAS for bits in (32, 64)],
    ext_modules=[shared_module(), *cythonize(
        [module(name) for name in MODULES],
        build_dir="build/cython",
        shared_utility_qualified_name=SHARED,
        compiler_directives={
            "language_level": 3,
            "boundscheck": switch("CONVKIT_DEBUG", "0"),
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "auto_pickle": False,                       # nobody pickles those classes: a kilobyte of the wheel for each
            "binding": False,                           # nor are functions methods, or looked at: a hundredth of it
        },
    )],
    cmdclass={"build_clib": build_kernels, "build_ext": build_modules},
)
