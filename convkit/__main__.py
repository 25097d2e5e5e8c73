"""`python -m convkit` is `convkit`."""

import sys

from convkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
