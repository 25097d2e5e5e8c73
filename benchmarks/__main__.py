"""python -m benchmarks run | report | size | peak | subnormals; each with --help."""

from __future__ import annotations

import argparse
import sys

from . import peak, report, run, startup, subnormals

COMMANDS = {
    "run": (run, "measure convkit and its peers"),
    "report": (report, "table, picture, or a comparison of two runs"),
    "size": (startup, "size of the wheel and time of the import"),
    "peak": (peak, "what this machine can do"),
    "subnormals": (subnormals, "subnormal numbers against ordinary ones"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks of convkit.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    args = parser.parse_args()
    return args.main(args)


if __name__ == "__main__":
    sys.exit(main())
