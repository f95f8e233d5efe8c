"""`python -m deploy.dev` is `make run`: says so at once, and takes ^C from its first moment to its last."""

import os
import sys

from deploy.dev.interrupts import Interrupts


def main() -> int:
    """Load the rest, which takes a moment on a busy machine, and run the stack. Returns the exit status."""
    with Interrupts() as interrupts:
        sys.stdout.write("TalkUp is starting …\n")
        sys.stdout.flush()
        from deploy.dev import run  # noqa: PLC0415 (after the first line)

        return run.main(dict(os.environ), interrupts)


if __name__ == "__main__":
    sys.exit(main())
