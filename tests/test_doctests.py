"""Every example runs: those of the docstrings, Cython's included, and the Python blocks of the README."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import convkit

README = Path(__file__).resolve().parent.parent / "README.md"
MODULES = ["convkit", *(module.name for module in pkgutil.walk_packages(convkit.__path__, "convkit."))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Examples may write files."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_of_the_docstrings_are_true(name):
    runner = doctest.DocTestRunner(verbose=False)
    told: list[str] = []
    for examples in doctest.DocTestFinder().find(importlib.import_module(name), name):
        runner.run(examples, out=told.append)
    assert not told, "".join(told)


def test_every_public_function_has_an_example():
    """Those for 1 and 3 axes lean on the one for 2."""
    functions = {name: getattr(convkit, name) for name in convkit.__all__ if not re.search("[13]d", name)}
    assert not [name for name, function in functions.items() if inspect.isfunction(function) and ">>>" not in function.__doc__]


@pytest.mark.skipif(not README.is_file(), reason="needs the source tree")
def test_the_readme_runs_from_top_to_bottom(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, Python block {number}", "exec"), names)
