"""Every kernel against its definition in plain C, with each array against a guard page, for this machine and for AArch64.

The checks of tests/kernels are handed the tables of the installed build. For AArch64 they are a program, which needs a cross
compiler and qemu's user mode (Debian: gcc-aarch64-linux-gnu and qemu-user-static).
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from convkit._core import cpu

ROOT = Path(__file__).resolve().parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
INCLUDES = ["-Icsrc", "-Icsrc/isa", "-D_DEFAULT_SOURCE"]
CHECKS = ["-std=c11", "-O1", "-ffp-contract=off", *WARNINGS, *INCLUDES]
UNCHECKED: set[str] = set()  # kernels that tests/kernels does not know

pytestmark = [
    pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="needs the source tree"),
    pytest.mark.skipif(os.name != "posix", reason="protects pages with mmap and mprotect"),
]


def setting(name: str) -> list | dict:
    """The literals that setup.py assigns or adds to `name`."""
    found = [ast.literal_eval(node.value) for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
             if isinstance(node, (ast.Assign, ast.AugAssign)) and name in ast.unparse(node).split("=")[0].split()]
    assert found, f"setup.py has no {name}"
    for more in found[1:]:
        found[0] |= more
    return found[0]


def objects(compiler: list[str], jobs: list[tuple[str, list[str]]], folder: Path) -> list[str]:
    """Each source, compiled with its options."""
    def compiled(number: int) -> str:
        (source, options), to = jobs[number], str(folder / f"{number}.o")
        run([*compiler, *options, "-c", source, "-o", to])
        return to

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compiled, range(len(jobs))))


def checks(*more: str) -> list[tuple[str, list[str]]]:
    """What knows the definitions, for both types."""
    jobs = [("tests/kernels/table.c", [*CHECKS, *more, f"-DCK_DOUBLE={double}"]) for double in (0, 1)]
    return [*jobs, ("tests/kernels/mode.c", [*CHECKS, *more])]


def run(command: list[str]) -> str:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout[-2000:]}{ended.stderr[-3000:]}"
    return ended.stdout


def assert_all_ran(output: str, names: list[str]) -> None:
    lines = output.splitlines()
    assert {line.split(": ")[1] for line in lines if line.startswith("unchecked: ")} == UNCHECKED
    for name in names:
        compared = [int(word) for line in lines if line.startswith(f"{name}: ") for word in line.split() if word.isdigit()]
        assert len(compared) == 2, output
        assert min(compared) > 10**6, output


IN_PYTHON = """
import ctypes, sys
from convkit._core import cpu

checks, python = ctypes.CDLL(sys.argv[1]), ctypes.pythonapi
python.PyCapsule_GetName.restype = python.PyCapsule_GetPointer.restype = ctypes.c_void_p
capsule = ctypes.py_object(cpu.__pyx_capi__["table"])
address = python.PyCapsule_GetPointer(capsule, ctypes.c_void_p(python.PyCapsule_GetName(capsule)))
table = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(address)
assert checks.mode_works(), "mode.h does not flush subnormal numbers, or does not restore the mode"
for name in cpu.isas():
    cpu.use_isa(name)
    counts = []
    for check, itemsize in (checks.check_table_f32, 4), (checks.check_table_f64, 8):
        check.restype = ctypes.c_long
        counts.append(check(ctypes.c_void_p(table(itemsize))))
    print(name + ":", counts[0], "and", counts[1], "elements compared", flush=True)
"""


def test_every_kernel_of_this_build(tmp_path):
    """Those that are installed: the checks are handed their tables."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip(f"no compiler {compiler[0]}")
    library = tmp_path / "checks.so"
    run([*compiler, "-shared", *objects(compiler, checks("-fPIC"), tmp_path), "-lm", "-o", str(library)])
    assert_all_ran(run([sys.executable, "-c", IN_PYTHON, str(library)]), cpu.isas())


def test_every_neon_kernel_under_qemu(tmp_path):
    """Not optimised, as that takes minutes to compile; .ci/neon runs them as they are shipped."""
    compiler, qemu = (next(filter(None, map(shutil.which, names)), None) for names in (
        ["aarch64-linux-gnu-gcc"], ["qemu-aarch64-static", "qemu-aarch64"]))
    if not compiler or not qemu:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    flags, extra = [*setting("KERNEL_FLAGS"), "-O0", *WARNINGS], setting("ISAS")
    jobs = [(f"csrc/isa/{name}.c", [*flags, *extra[name], f"-DCK_DOUBLE={double}"])
            for name in ("neon", "generic") for double in (0, 1)]  # fmt: skip
    jobs += [*checks(), ("tests/kernels/main.c", CHECKS), ("csrc/cpu.c", CHECKS)]
    program = str(tmp_path / "kernels")
    run([compiler, "-static", *objects([compiler], jobs, tmp_path), "-lm", "-o", program])
    assert_all_ran(run([qemu, program]), ["neon", "generic"])
