"""Which lines of some modules an input reaches: by `sys.monitoring` where Python has it (3.12), else by a trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any

Line = tuple[str, int]
_TOOL = 4  # any free number (PEP 669)


class LineCoverage:
    """Lines of the modules reached so far, over all inputs."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._files = {str(sys.modules[name].__file__) for name in modules}
        self.reached: set[Line] = set()

    def run(self, work: Callable[[], None]) -> bool:
        """Do the work; returns whether it reached a new line. What the work raises leaves."""
        before = len(self.reached)
        if hasattr(sys, "monitoring"):
            self._monitored(work)
        else:
            self._traced(work)
        return len(self.reached) > before

    def _traced(self, work: Callable[[], None]) -> None:
        old = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            work()
        finally:
            sys.settrace(old)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._on_line if frame.f_code.co_filename in self._files else None

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.reached.add((frame.f_code.co_filename, frame.f_lineno))
        return self._on_line

    def _monitored(self, work: Callable[[], None]) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]

        def on_line(code: CodeType, line: int) -> Any:
            if code.co_filename in self._files:
                self.reached.add((code.co_filename, line))
            return monitoring.DISABLE  # once is enough

        monitoring.use_tool_id(_TOOL, "fuzz")
        try:
            monitoring.register_callback(_TOOL, monitoring.events.LINE, on_line)
            monitoring.set_events(_TOOL, monitoring.events.LINE)
            work()
        finally:
            monitoring.set_events(_TOOL, 0)
            monitoring.free_tool_id(_TOOL)
