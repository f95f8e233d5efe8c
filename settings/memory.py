"""What a process holds in memory stays there: no core dump writes it to disk."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """Let the kernel write no core file of this process and its children (setrlimit(2)).

    It would hold media, words and keys. The limit does not apply where `core_pattern` is a pipe (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
