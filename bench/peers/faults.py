"""What survives of a stream that stops right after a word, loses its socket or server, or is a browser recording."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.checks import Findings
from bench.harness.fault_proxy import fault_proxy
from bench.peers.live import play, warm
from bench.peers.material import CHUNK_S, Line, Material
from bench.peers.peer import Media, Peer, PeerError, Screen, Serving
from bench.peers.words import damage, last_words
from bench.scoring import word_errors

_LAST = 5
_CLIPS = 3
_WARM_CHUNKS = 20
_PATIENCE_S = 90.0


def last(peer: Peer, model: Path, material: Material) -> Findings:
    """Clips that stop with their last word, ended in each way that the protocol offers."""
    found = Findings()
    lines = material.ending_with_the_last_word(_CLIPS)
    with peer.start(model, "pcm") as serving:
        for ending in peer.endings:
            texts = asyncio.run(_each(peer, serving, lines, ending))
            wanted = [[word.word for word in line.words] for line in lines]
            heard = [last_words(words, text, _LAST) for words, text in zip(wanted, texts, strict=True)]
            found.figures[ending] = {"of_last_words": _LAST * len(lines), "heard": sum(heard), "by_clip": heard}
    return found


def loss(peer: Peer, model: Path, material: Material) -> Findings:
    """One stream loses its socket halfway, another its server; both are compared with the undisturbed stream.

    The socket is reset, and comes back as that client can. SIGKILL goes to the process that recognises speech; a
    second one is there where the product has that notion.
    """
    found = Findings()
    line = material.line(0)
    with peer.start(model, "pcm", 2 if peer.spares else 1) as serving:
        calm = asyncio.run(_alone(peer, serving, line))
        found.figures["undisturbed"] = {"word_error_percent": word_errors(line.text, calm, "en").percent}
        found.figures["socket_reset"] = _against(calm, *asyncio.run(_cut(peer, serving, line)))
        found.figures["server_killed"] = _against(calm, *asyncio.run(_killed(peer, serving, line)))
    found.figures["second_process"] = "takes over" if peer.spares else "not applicable: session lost"
    return found


def webm(peer: Peer, model: Path, material: Material) -> Findings:
    """A browser's recording, sent as the recorder delivers it."""
    found = Findings()
    recording = material.recording()
    if recording is None:
        found.figures["result"] = "not measured: no recording in this corpus"
        return found
    line = Line(recording.chunks, recording.text, [])
    with peer.start(model, "webm") as serving:
        screen, problem = asyncio.run(_sent(peer, serving.port, line, "webm", lambda _: None))
    errors = word_errors(line.text, screen.text, "en")
    found.figures.update(recording=recording.name, text=screen.text, error=problem or "none")
    found.figures.update(words=errors.words, word_error_percent=errors.percent)
    return found


async def _each(peer: Peer, serving: Serving, lines: list[Line], ending: str) -> list[str]:
    await warm(peer, serving.port, "pcm", lines[0].chunks[:_WARM_CHUNKS])
    return [(await play(peer, serving.port, line, ending)).screen.text for line in lines]


async def _alone(peer: Peer, serving: Serving, line: Line) -> str:
    await warm(peer, serving.port, "pcm", line.chunks[:_WARM_CHUNKS])
    return (await play(peer, serving.port, line)).screen.text


async def _cut(peer: Peer, serving: Serving, line: Line) -> tuple[Screen, str]:
    async with fault_proxy(serving.port) as proxy:

        def reset(number: int) -> None:
            if number == len(line.chunks) // 2:
                proxy.reset()

        return await _sent(peer, proxy.port, line, "pcm", reset)


async def _killed(peer: Peer, serving: Serving, line: Line) -> tuple[Screen, str]:
    loop = asyncio.get_running_loop()
    killing: list[asyncio.Future[None]] = []

    def kill_halfway(number: int) -> None:
        if number == len(line.chunks) // 2:
            killing.append(loop.run_in_executor(None, serving.kill))

    result = await _sent(peer, serving.port, line, "pcm", kill_halfway)
    await asyncio.gather(*killing)
    return result


async def _sent(peer: Peer, port: int, line: Line, media: Media, before: Callable[[int], None]) -> tuple[Screen, str]:
    """Run a stream in real time, calling `before` before each chunk; return the final text and the error, if any."""
    screen, problem = Screen(), ""
    try:
        session = await peer.open(port, media)
        screen = session.screen
        try:
            async with asyncio.timeout(line.seconds + _PATIENCE_S):
                began = time.monotonic()
                for number, chunk in enumerate(line.chunks, start=1):
                    await asyncio.sleep(max(0.0, began + CHUNK_S * number - time.monotonic()))
                    before(number)
                    await session.send(chunk)
                await session.end(peer.endings[-1])
        finally:
            await session.close()
    except PeerError as error:
        problem = str(error)
    except TimeoutError:
        problem = "took too long"
    return screen, problem


def _against(calm: str, disturbed: Screen, problem: str) -> dict[str, Any]:
    return {**asdict(damage(calm, disturbed.text)), "error": problem or "none"}
