"""A speech server as bench/peers sees it: a process to start, and sessions that show text while audio is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import psutil

HOST = "127.0.0.1"
Media = Literal["pcm", "webm"]


class PeerError(Exception):
    """A server does not start, refuses a session or drops it; the message is the server's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client shows from `at` on (monotonic seconds): `final` is the part that its server will not change."""

    at: float
    text: str
    final: str


@dataclass(slots=True)
class Screen:
    """The text of one client, as it changes."""

    clock: Callable[[], float] = time.monotonic
    states: list[Shown] = field(default_factory=list)

    def show(self, final: str, interim: str = "") -> None:
        """The client now shows `final` followed by `interim`; a repeated state is not recorded."""
        text = " ".join(f"{final} {interim}".split())
        final = " ".join(final.split())
        if not self.states or (self.states[-1].text, self.states[-1].final) != (text, final):
            self.states.append(Shown(self.clock(), text, final))

    @property
    def text(self) -> str:
        """What the client shows last."""
        return self.states[-1].text if self.states else ""

    @property
    def changed_at(self) -> float:
        """When the words of the text last changed; nan when there are none."""
        last = float("nan")
        before = ""
        for state in self.states:
            if state.text != before:
                last, before = state.at, state.text
        return last


class Session(Protocol):
    """One stream, with the server's protocol and the behaviour of that server's own client."""

    screen: Screen

    async def send(self, data: bytes) -> None:
        """Send the next piece. If it cannot be sent, drop or keep it as that client would. Raises PeerError."""
        ...

    async def end(self, ending: str) -> None:
        """End by one of the peer's `endings`; returns when its client would listen no longer. Raises PeerError."""
        ...

    async def close(self) -> None:
        """Close the connection, whatever its state."""
        ...


@dataclass(slots=True)
class Serving:
    """A server that takes sessions on `port`; `kill` has SIGKILL sent to the process that recognises speech."""

    port: int
    processes: list[psutil.Process]
    kill: Callable[[], None]

    def cpu(self) -> float:
        """CPU seconds of the processes, their children, and children that have ended."""
        spent = 0.0
        for root in self.processes:
            for process in _tree(root):
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                spent += times.user + times.system + times.children_user + times.children_system
        return spent


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


class Peer(Protocol):
    """A product. `endings`: the ways to end a stream, its own client's last. `spares`: whether it can fail over.

    `streaming`: whether it shows text while somebody speaks.
    """

    name: str
    version: str
    endings: tuple[str, ...]
    spares: bool
    streaming: bool

    def start(self, model: Path, media: Media, processes: int = 1) -> AbstractContextManager[Serving]:
        """A server with CTranslate2 weights at `model`, stopped at the end of the block. Raises PeerError."""
        ...

    async def open(self, port: int, media: Media) -> Session:
        """Open a session that is ready for audio. Raises PeerError."""
        ...
