"""The shape of the project, enforced: who imports whom, how long a file is, where an instruction set may be named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, CSRC = ROOT / "convkit", ROOT / "csrc"

# A file imports only from a lower level, or from its own part of the package. The programs are users of the public names.
LEVELS = [
    {"_core", "_version"},
    {"plan"},
    {"ops", "config"},
    {"init", "losses", "data", "compat", "disk", "schedules"},
    {"layers"},
    {"optim", "metrics", "callbacks"},
    {"model", "onnx"},
    {"viz", "models"},
    {"__init__"},
    {"apps"},
    {"cli", "estimators"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
OUTSIDE = {"tqdm", "rich", "matplotlib", "PIL", "safetensors"}  # the optional extras

PYTHON = sorted(PACKAGE.rglob("*.py"))
CYTHON = sorted(PACKAGE.rglob("*.pyx")) + sorted(PACKAGE.rglob("*.px[di]"))
C = sorted(CSRC.rglob("*.[ch]"))
TESTS = sorted((ROOT / "tests").glob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py")) + [ROOT / "setup.py"]

pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="needs the source tree")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part(path: Path) -> str:
    """ops/conv.py belongs to ops, optim.py to optim."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(dotted module, line, at the top of the file) for each import statement, relative ones made absolute."""
    found = []
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["convkit", *path.relative_to(PACKAGE).parent.parts]
                base = ".".join([*package[:len(package) - node.level + 1], *([base] if base else [])])
            found += [(f"{base}.{alias.name}", node.lineno, top) for alias in node.names]
    return found


def upward(path: Path, module: str) -> bool:
    """Whether a file of the package may not import this module of the package."""
    names = module.split(".")
    target = names[1] if len(names) > 1 and names[1] in LEVEL else "__init__"
    return target != part(path) and LEVEL[target] >= LEVEL[part(path)]


@pytest.mark.parametrize("path", PYTHON + CYTHON, ids=name)
def test_every_part_of_the_package_has_a_level(path):
    assert part(path) in LEVEL, f"say in LEVELS what {part(path)} may import"


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_imports_point_one_way_down(path):
    inside = [(module, line) for module, line, _ in imports(path) if module.split(".")[0] == "convkit"]
    bad = [f"line {line}: {module}" for module, line in inside if upward(path, module)]
    assert not bad, f"{name(path)} imports from above: {bad}"


@pytest.mark.parametrize("path", CYTHON, ids=name)
def test_the_core_imports_nothing_of_the_package_but_itself(path):
    found = re.findall(r"^\s*(?:from|cimport|import)\s+(convkit[\w.]*)", path.read_text(), re.MULTILINE)
    assert all(module == "convkit._core" or module.startswith("convkit._core.") for module in found), found


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_the_extras_are_imported_where_they_are_used(path):
    bad = [f"line {line}: {module}" for module, line, top in imports(path) if top and module.split(".")[0] in OUTSIDE]
    assert not bad, f"{name(path)} needs an optional package to be imported: {bad}"


@pytest.mark.parametrize("path", PYTHON + CYTHON + C + TESTS, ids=name)
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


# --- instruction sets -----------------------------------------------------------------------------------------------------

ISA_MACRO = re.compile(r"__(AVX|SSE|FMA|F16C|BMI|ARM|aarch64|arm|x86_64|i386|NEON)\w*|_M_(X64|IX86|ARM\w*)")
INTRINSICS = re.compile(r"#\s*include\s*[<\"](\w*intrin|arm_neon|arm_sve|cpuid)\.h[>\"]|\b_mm\d*_\w+|\bv\w+q_[fsu](32|64)\b")


MACHINE = [CSRC / "cpu.c", CSRC / "mode.h"]             # these two may ask for the machine as well


@pytest.mark.parametrize("path", [p for p in C + CYTHON + PYTHON if "simd" not in p.parts and p not in MACHINE], ids=name)
def test_instruction_sets_are_named_only_in_simd_and_cpu(path):
    found = [f"line {i}: {line.strip()}" for i, line in enumerate(path.read_text().splitlines(), 1)
             if ISA_MACRO.search(line) or INTRINSICS.search(line)]
    assert not found


def kernels() -> list[str]:
    """The names in the table of csrc/convkit.h."""
    text = (CSRC / "convkit.h").read_text()
    table = re.search(r"#define CK_KERNELS\(X\)((?:.*\\\n)*.*)", text)[1]
    return re.findall(r"\bX\(\s*(\w+)\s*,", table)


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def test_every_kernel_in_the_table_is_defined_once_in_kernels():
    sources = "\n".join(without_comments(p.read_text()) for p in sorted((CSRC / "kernels").glob("*.h")))
    assert kernels()
    for kernel in kernels():
        definitions = re.findall(rf"^static\s[^;{{}}]*\b{kernel}\s*\([^;{{}}]*\)\s*\{{", sources, re.MULTILINE)
        assert len(definitions) == 1, f"{kernel} is defined {len(definitions)} times in csrc/kernels"


def test_an_instruction_set_is_a_vocabulary_and_no_copy_of_an_algorithm():
    """Each csrc/isa/<name>.c includes its words and the kernels, and holds nothing else."""
    words = {p.stem for p in (CSRC / "simd").glob("*.h")}
    for path in (CSRC / "isa").glob("*.c"):
        lines = [line for line in without_comments(path.read_text()).splitlines() if line.strip()]
        assert path.stem in words, name(path)
        assert all(line.startswith("#") for line in lines), name(path)


@pytest.mark.parametrize("path", C, ids=name)
def test_the_kernels_know_nothing_of_python_allocation_or_globals(path):
    text = without_comments(path.read_text())
    assert not re.search(r"\b(malloc|calloc|realloc|alloca|free)\s*\(|Python\.h|\bprintf\s*\(|omp\.h|#\s*pragma\s+omp", text)
    mutable = re.search(r"^static\s+(?!const\b|inline\b)[\w\s*]+\s\**\w+(\[[^\]]*\])*\s*(=|;)", text, re.MULTILINE)
    assert not mutable, "a mutable global"


# --- what a file may never bring in ---------------------------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "imp", "ctypes", "runpy", "code", "codeop"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {"import_module", "__import__", "exec_module", "load_module", "spec_from_file_location"}


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_nothing_is_unpickled_evaluated_or_imported_by_a_name_from_data(path):
    bad = [f"line {line}: {module}" for module, line, _ in imports(path)
           if module.split(".")[0] in FORBIDDEN_MODULES
           or (module.split(".")[0] == "importlib" and module.split(".")[1:2] not in (["resources"], ["metadata"], ["util"]))]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
            if called in (FORBIDDEN_CALLS if isinstance(node.func, ast.Name) else FORBIDDEN_METHODS):
                bad.append(f"line {node.lineno}: {called}()")
            if called in ("globals", "vars", "locals") and not node.args:
                bad.append(f"line {node.lineno}: a name looked up in {called}()")
            bad += [f"line {node.lineno}: allow_pickle" for k in node.keywords
                    if k.arg == "allow_pickle" and not (isinstance(k.value, ast.Constant) and k.value.value is False)]
    assert not bad


@pytest.mark.parametrize("path", CYTHON, ids=name)
def test_the_core_is_built_on_memoryviews_and_not_on_numpys_c_interface(path):
    assert not re.search(r"cimport\s+numpy|numpy/arrayobject|\b(eval|exec|pickle)\b", path.read_text())
