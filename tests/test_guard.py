"""No byte is read or written past either end of any array: random calls on arrays against guard pages, see guard.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(os.name != "posix", reason="protects pages with mprotect")


def run(tmp_path: Path, isa: str, *arguments: str) -> tuple[int, str, str]:
    """The exit code and the output of guard.py, and the last call it made."""
    last = tmp_path / "last"
    where = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    environment = {**os.environ, "CONVKIT_ISA": isa, "GUARD_LAST": str(last), "PYTHONPATH": where}
    command = [sys.executable, str(HERE / "guard.py"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    return ended.returncode, ended.stdout + ended.stderr[-3000:], last.read_text()


@pytest.mark.parametrize("side", ["end", "start"])
def test_random_calls_on_arrays_that_begin_or_end_at_a_guard_page(tmp_path, isa, side):
    code, output, last = run(tmp_path, isa, side, "100")
    assert code == 0, f"ended with {code} in {last}\n{output}"
    assert output.strip() == "survived"


@pytest.mark.parametrize("touch", ["before", "behind", "argument"])
def test_a_byte_beside_an_array_cannot_be_touched(tmp_path, touch):
    """Else the test above would prove nothing."""
    code, output, _ = run(tmp_path, "generic", touch)
    assert code < 0, output
