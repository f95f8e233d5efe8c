"""Runs gateway, workers and `talkup` on every ground, and prints the table of docs/operations.md.

Grounds that need root are left out for other users. Exit status 1 if a program failed without saying why in one line.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bench.grounds.grounds import GROUNDS
from bench.grounds.trial import is_clear, shown, tried


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.grounds", description=__doc__)
    parser.add_argument("--only", default="", help="the grounds whose name has this in it")
    wanted = parser.parse_args(arguments).only
    is_root = os.geteuid() == 0
    is_good = True
    print("| ground | result |\n|---|---|")
    for ground in GROUNDS:
        if wanted not in ground.name or (ground.needs_root and not is_root):
            continue
        found = tried(ground)
        is_good &= all(map(is_clear, found.values()))
        print(f"| {ground.name} | {shown(found)} |", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
