"""The package as a user meets it: what importing costs, what it says about itself, what it exports."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convkit
from convkit._core import cpu

ROOT = Path(__file__).resolve().parent.parent


def python(program: str, **environment: str) -> str:
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True,
                           timeout=60)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.strip()


def test_importing_convkit_imports_only_numpy_and_the_standard_library():
    """Cython's own helper modules have names that begin with _cython or cython_runtime."""
    program = """
import sys, numpy
before = set(sys.modules)
import convkit
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    new = set(python(program).split()) - {"convkit", "numpy"} - set(sys.stdlib_module_names)
    assert not {name for name in new if not re.match(r"_?cython_", name)}


def test_importing_convkit_leaves_the_algorithms_to_the_first_convolution():
    program = """
import sys, convkit, numpy as np
lazy = {"convkit.plan.winograd", "convkit.ops.fft", "convkit.ops.lowering", "convkit._core.grouped", "convkit._core.winograd"}
print(*sorted(lazy & set(sys.modules)))
convkit.conv2d(np.ones((1, 4, 4, 1), np.float32), np.ones((1, 3, 3, 1), np.float32))
print(lazy <= set(sys.modules))
"""
    assert python(program) == "True"


def test_importing_convkit_starts_no_thread_and_writes_nothing():
    assert python("import threading, convkit; print(threading.active_count())") == "1"


def test_importing_convkit_leaves_warnings_random_state_and_error_modes_alone():
    program = """
import warnings, numpy as np
np.random.seed(0)
before = (list(warnings.filters), np.geterr(), np.random.get_state()[1].tolist())
import convkit
print(before == (list(warnings.filters), np.geterr(), np.random.get_state()[1].tolist()))
"""
    assert python(program) == "True"


def test_the_version_is_the_one_that_was_installed():
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?((a|b|rc|\.dev)\d+)?", convkit.__version__)


def test_the_package_is_typed():
    assert (Path(convkit.__file__).parent / "py.typed").is_file()


def test_every_public_name_exists_and_is_documented():
    assert len(set(convkit.__all__)) == len(convkit.__all__)
    for name in convkit.__all__:
        value = getattr(convkit, name)
        if callable(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"convkit.{name} has no docstring"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_every_op(rank):
    for kind in ("conv", "max_pool", "avg_pool", "min_pool", "lp_pool", "global_avg_pool", "global_max_pool",
                 "adaptive_avg_pool", "adaptive_max_pool", "max_unpool"):
        for suffix in ("", "_grad"):
            name = f"{kind}{rank}d{suffix}"
            assert name in convkit.__all__
            assert getattr(convkit, name).__name__ == name


def test_ops_take_arrays_first_and_everything_else_by_name():
    arrays = {"x", "w", "b", "dy", "x_shape", "kernel_size", "output_size"}
    for name in convkit.__all__:
        if re.fullmatch(r"(conv|\w*(max|avg|min|lp)_pool)[123]d(_grad)?", name):
            for parameter in inspect.signature(getattr(convkit, name)).parameters.values():
                expected = parameter.POSITIONAL_OR_KEYWORD if parameter.name in arrays else parameter.KEYWORD_ONLY
                assert parameter.kind == expected, f"{name}: {parameter}"
                assert parameter.annotation is not parameter.empty, f"{name}: {parameter} has no annotation"


def test_isa_is_one_that_the_machine_has(isa):
    assert convkit.isa() == isa
    assert isa in cpu.isas()


def test_another_instruction_set_cannot_be_forced():
    with pytest.raises(ValueError, match="mmx"):
        cpu.use_isa("mmx")


def test_the_generic_instruction_set_is_always_there():
    assert "generic" in cpu.isas()


def test_threads_is_a_context_manager_that_checks_its_argument():
    for error, values in {ValueError: (0, -1), TypeError: (1.0, "2", True)}.items():
        for value in values:
            with pytest.raises(error, match="threads"), convkit.threads(value):
                pass
    with pytest.raises(KeyError), convkit.threads(1):
        raise KeyError("passed on")


def test_show_config_says_what_runs(capsys):
    shown = convkit.show_config()
    text = capsys.readouterr().out or str(shown)
    assert convkit.isa() in text
    assert "thread" in text.lower()


def test_the_readme_and_the_metadata_name_the_distribution():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("needs the source tree")
    assert "convkit-numpy" in readme.read_text()
    assert re.search(r'^name = "convkit-numpy"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_results_are_plain_writable_arrays_that_own_their_memory():
    x, w = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 3, 2), np.float32)
    dy = np.ones((1, 2, 2, 3), np.float32)
    for result in (convkit.conv2d(x, w), *convkit.conv2d_grad(dy, x, w), convkit.max_pool2d(x, 2)):
        assert type(result) is np.ndarray
        assert result.flags.writeable
        assert result.flags.aligned
        assert not any(np.shares_memory(result, a) for a in (x, w))
