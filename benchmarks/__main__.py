"""convkit bench, or python -m benchmarks: [OPTIONS] | COMMAND [OPTIONS]; each with --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import accuracy, agree, loops, peak, readme, report, resume, run, startup, subnormals

COMMANDS = {
    "report": (report, "tables and pictures of a run, or a comparison of two"),
    "readme": (readme, "draw the pictures of the README anew"),
    "agree": (agree, "the median ratios of two runs side by side"),
    "loops": (loops, "the suite's figures beside those of a plain loop written by hand"),
    "size": (startup, "size of the wheel and time of the import"),
    "peak": (peak, "what this machine can do"),
    "subnormals": (subnormals, "subnormal numbers against ordinary ones"),
    "accuracy": (accuracy, "what a network learns, here and in PyTorch"),
    "resume": (resume, "runs that are killed and resumed end with the same bits"),
}
TEXT = "Measures convkit, against the other libraries that are installed and against what the machine can do."
EPILOG = "Further commands, each with --help: " + "; ".join(f"{name}: {text}" for name, (_, text) in COMMANDS.items()) + "."


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given.pop(0) if given[:1] and given[0] in COMMANDS else ""
    module, text = COMMANDS.get(name, (run, TEXT))
    parser = argparse.ArgumentParser(prog=f"convkit bench {name}".strip(), description=text, epilog="" if name else EPILOG)
    module.add_arguments(parser)
    return module.main(parser.parse_args(given))


if __name__ == "__main__":
    sys.exit(main())
