"""``scripts/soak``: servers under load while everything that can fail does.

Exit status 0 where nothing happened that must not.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from .run import Record, soak
from .verdict import checks, figures, samples


def main(arguments: list[str] | None = None) -> int:
    """Run, print a table, and say whether all went well."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000, help="distinct ones; 100000")
    parser.add_argument("--minutes", type=float, default=10, help="how long it takes; 10")
    parser.add_argument("--seed", type=int, default=1, help="of the order of things; 1")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    parser.add_argument("--logs", type=Path, help="a directory in which to leave the servers' logs")
    given = parser.parse_args(arguments)
    if shutil.which("redis-server") is None:
        print("scripts/soak needs redis-server", file=sys.stderr)
        return 2
    record = soak(given.tokens, given.minutes * 60, given.seed, given.logs)
    held = _print(record)
    if given.json is not None:
        found = {
            "checks": checks(record),
            "figures": figures(record),
            "memory": samples(record),
        }
        given.json.write_text(json.dumps(found, indent=2, default=str) + "\n")
    return 0 if held else 1


def _print(record: Record) -> bool:
    print(f"\n{'kind':<16}{'asked':>9}  answers")
    for kind, replies in sorted(record.replies.items()):
        said = "  ".join(f"{status or 'none'}: {n:,}" for status, n in sorted(replies.items()))
        print(f"{kind:<16}{replies.total():>9,}  {said}")
    print()
    for name, value in figures(record).items():
        print(f"{name:<72} {value}")
    for line in record.slow[:20]:
        print(f"slow   {line}")
    print()
    for line in record.wrong[:20]:
        print(f"WRONG  {line}")
    held = True
    for name, (found, is_good) in checks(record).items():
        held = held and is_good
        print(f"{name:<64}{found!s:>12}  {'pass' if is_good else 'FAIL'}")
    return held


if __name__ == "__main__":
    sys.exit(main())
