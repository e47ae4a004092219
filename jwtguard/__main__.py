"""``python -m jwtguard`` is the command ``jwtguard``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
