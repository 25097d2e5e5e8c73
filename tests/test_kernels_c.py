"""Every kernel against its definition in plain C, with each array against a guard page, for this machine and for AArch64.

The program in tests/kernels is built with the flags of setup.py. For AArch64 it needs a cross compiler and qemu's user mode
(Debian: gcc-aarch64-linux-gnu and qemu-user-static); .ci/neon runs the Python tests of the kernels there too.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
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


def build(compiler: list[str], names: list[str], folder: Path, link: list[str]) -> Path:
    """The program with the tables of these instruction sets."""
    flags, extra = setting("KERNEL_FLAGS") + WARNINGS, setting("ISAS")
    jobs = [(f"csrc/isa/{name}.c", [*flags, *extra[name], f"-DCK_DOUBLE={double}"]) for name in names for double in (0, 1)]
    jobs += [("tests/kernels/table.c", [*CHECKS, f"-DCK_DOUBLE={double}"]) for double in (0, 1)]
    jobs += [(source, CHECKS) for source in ("tests/kernels/main.c", "csrc/cpu.c")]

    def compiled(number: int) -> str:
        (source, options), to = jobs[number], str(folder / f"{number}.o")
        run([*compiler, *options, "-c", source, "-o", to])
        return to

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, range(len(jobs))))
    run([*compiler, *link, *objects, "-lm", "-o", str(folder / "kernels")])
    return folder / "kernels"


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


def test_every_kernel_of_this_machine_in_plain_c(tmp_path):
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip(f"no compiler {compiler[0]}")
    assert_all_ran(run([str(build(compiler, cpu.built(), tmp_path, []))]), cpu.isas())


def test_every_neon_kernel_under_qemu(tmp_path):
    compiler, qemu = (next(filter(None, map(shutil.which, names)), None) for names in (
        ["aarch64-linux-gnu-gcc"], ["qemu-aarch64-static", "qemu-aarch64"]))
    if not compiler or not qemu:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    assert_all_ran(run([qemu, str(build([compiler], ["neon", "generic"], tmp_path, ["-static"]))]), ["neon", "generic"])
