"""Increasing numbers of live streams into one server: word errors, delays and CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.checks import Check, Findings
from bench.peers.material import CHUNK_S, Line, Material
from bench.peers.peer import Media, Peer, PeerError, Screen, Serving
from bench.peers.words import Delays, delays
from bench.ratios import ratio
from bench.scoring import percentiles, total, word_errors

BEST = "streams_x_best_peer"

_STAGGER_S = 4.0
_LATEST_S = 2.0
_STREAMS_X_BEST = 5.0
"""How many times the live streams of the best other streaming server ours has to carry."""
_POINTS = 3.0
_FAILURES = 2
_SAMPLE_S = 0.2
_PATIENCE_S = 90.0
"""How long after its audio a stream may take before it counts as failed."""
_WARM_CHUNKS = 20


@dataclass(frozen=True, slots=True)
class Played:
    """The results of one stream; times are monotonic seconds."""

    line: Line
    screen: Screen
    began: float
    ended: float

    @property
    def to_last_text(self) -> float:
        """Seconds from the end of the audio to the last change of the words, 0 if that was before; inf without text."""
        changed = self.screen.changed_at
        return max(0.0, changed - self.ended) if self.screen.text else float("inf")


@dataclass(slots=True)
class Trial:
    """This many parallel streams on one server."""

    streams: int
    played: list[Played] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Times, each with the CPU seconds that the server had used by then."""
    other: float = float("nan")
    """CPU of the machine that neither the server nor this process used, as a share of all cores."""

    def figures(self) -> dict[str, Any]:
        """For the results file: percents, seconds, CPU seconds per second of audio."""
        errors = total(word_errors(stream.line.text, stream.screen.text, "en") for stream in self.played)
        parts = [delays(stream.line.words, stream.screen.states, stream.began) for stream in self.played]
        shown, final = _pooled(parts, lambda part: part.shown), _pooled(parts, lambda part: part.final)
        words = sum(part.words for part in parts)
        last = percentiles([stream.to_last_text for stream in self.played], 50, 95)
        return {
            "word_error_percent": errors.percent if self.played else float("nan"),
            "words": errors.words,
            "shown_p50_s": percentiles(shown, 50)[0],
            "shown_p95_s": percentiles(shown, 95)[0],
            "final_p50_s": percentiles(final, 50)[0],
            "final_p95_s": percentiles(final, 95)[0],
            "words_ever_final_percent": 100 * len(final) / max(1, words),
            "end_to_last_text_p50_s": last[0],
            "end_to_last_text_p95_s": last[1],
            "cpu_per_audio_second": self._cpu() / max(1e-9, sum(stream.line.seconds for stream in self.played)),
            "streams_failed": len(self.refused),
            "other_cpu_share": self.other,
        }

    def _cpu(self) -> float:
        """CPU from the first chunk to the last new word, after which a client could disconnect."""
        if not self.played or not self.samples:
            return float("nan")
        done = max(max(stream.ended, stream.screen.changed_at if stream.screen.text else 0.0) for stream in self.played)
        after = [spent for at, spent in self.samples if at >= done] or [self.samples[-1][1]]
        return after[0] - self.samples[0][1]


def live(peer: Peer, model: Path, material: Material, sizes: Sequence[int], say: Callable[[str], None]) -> Findings:
    """Try the sizes in order, each on a new server, until two in a row are late or lose streams."""
    found = Findings()
    alone = float("nan")
    failures, keeping_up, timely = 0, 0, 0
    for size in sizes:
        if failures == _FAILURES:
            found.figures[f"streams_{size}"] = "not tried: two sizes in a row were not on time"
            continue
        with peer.start(model, "pcm") as serving:
            trial = asyncio.run(_trial(peer, serving, material, size))
        figures = trial.figures()
        if size == sizes[0]:
            alone = figures["word_error_percent"]
        good = keeps_up(figures, alone)
        keeping_up = size if good else keeping_up
        failures, timely = (0, size) if on_time(figures) else (failures + 1, timely)
        found.figures[f"streams_{size}"] = {**figures, "keeps_up": good, "refusals": trial.refused[:1]}
        say(f"{peer.name}, {size} streams: " + _short(figures, good=good))
    found.figures["largest_that_keeps_up"] = keeping_up
    found.figures["largest_on_time"] = timely
    return found


def ratios(found: Mapping[str, Mapping[str, Any]], streaming: Container[str]) -> dict[str, Any]:
    """Ours against each other server that ran: streams that keep up, and CPU of one stream.

    `streams_x_best_peer` compares the streams on time, however good the words are, with those of the best `streaming`
    server. If none of them is on time, the best one counts as one stream.
    """
    ours, made = found.get("talkup", {}), {}
    best: tuple[int, str] | None = None
    for peer, theirs in found.items():
        if peer == "talkup" or not ours or "not_measured" in theirs or "not_measured" in ours:
            continue
        if peer in streaming:
            best = max(best or (1, peer), (theirs["largest_on_time"], peer))
        largest = "largest_that_keeps_up"
        made[f"streams_vs_{peer}"] = ratio(ours[largest], theirs[largest], peer, lower_is_better=False)
        alone = [figures.get("streams_1", {}).get("cpu_per_audio_second", float("nan")) for figures in (ours, theirs)]
        made[f"cpu_of_one_stream_vs_{peer}"] = ratio(*alone, peer)
    if best is not None:
        made[BEST] = ratio(ours["largest_on_time"], best[0], f"{best[1]}, the best of them", lower_is_better=False)
    return made


def bounds(made: Mapping[str, Any]) -> list[Check]:
    """The bound of the streams on time, if another streaming server ran."""
    if BEST not in made:
        return []
    return [
        Check(
            "live streams with p95 under 2 s, times the best other streaming server",
            made[BEST]["ratio"],
            ">=",
            _STREAMS_X_BEST,
        )
    ]


def on_time(figures: Mapping[str, Any]) -> bool:
    """The last text of 95 % within 2 s of the audio's end, and no stream failed."""
    return bool(figures["end_to_last_text_p95_s"] < _LATEST_S and not figures["streams_failed"])


def keeps_up(figures: Mapping[str, Any], alone: float) -> bool:
    """On time, and a word error within 3 points of the one at the fewest streams."""
    return on_time(figures) and bool(figures["word_error_percent"] <= alone + _POINTS)


async def warm(peer: Peer, port: int, media: Media, chunks: Sequence[bytes]) -> None:
    """Run a session that is not counted, since some servers load their model at the first one. Raises PeerError."""
    session = await peer.open(port, media)
    try:
        for chunk in chunks:
            await session.send(chunk)
            await asyncio.sleep(CHUNK_S)
        await session.end(peer.endings[0])
    finally:
        await session.close()


async def play(peer: Peer, port: int, line: Line, ending: str = "", at: float = 0.0) -> Played:
    """Run one stream in real time from `at`; send each chunk when its last sample was spoken. Raises PeerError."""
    session = await peer.open(port, "pcm")
    try:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        began = time.monotonic()
        async with asyncio.timeout(line.seconds + _PATIENCE_S):
            for number, chunk in enumerate(line.chunks, start=1):
                await asyncio.sleep(max(0.0, began + CHUNK_S * number - time.monotonic()))
                await session.send(chunk)
            ended = time.monotonic()
            await session.end(ending or peer.endings[-1])
    except TimeoutError:
        raise PeerError("took too long") from None
    finally:
        await session.close()
    return Played(line, session.screen, began, ended)


async def _trial(peer: Peer, serving: Serving, material: Material, size: int) -> Trial:
    trial = Trial(size)
    lines = [material.line(number) for number in range(size)]
    await warm(peer, serving.port, "pcm", lines[0].chunks[:_WARM_CHUNKS])
    own = psutil.Process()
    mine, start = sum(own.cpu_times()[:2]), time.monotonic()
    psutil.cpu_percent()
    sampling = asyncio.create_task(_sample(serving, trial))

    async def one(number: int) -> None:
        await asyncio.sleep(_STAGGER_S * number / size)
        try:
            trial.played.append(await play(peer, serving.port, lines[number], at=start + _STAGGER_S * number / size))
        except PeerError as error:
            trial.refused.append(str(error))

    async with asyncio.TaskGroup() as group:
        for number in range(size):
            group.create_task(one(number))
    sampling.cancel()
    spent = serving.cpu() - trial.samples[0][1] + sum(own.cpu_times()[:2]) - mine
    trial.other = psutil.cpu_percent() / 100 - spent / (psutil.cpu_count() or 1) / (time.monotonic() - start)
    return trial


async def _sample(serving: Serving, trial: Trial) -> None:
    while True:
        trial.samples.append((time.monotonic(), serving.cpu()))
        await asyncio.sleep(_SAMPLE_S)


def _pooled(parts: Sequence[Delays], pick: Callable[[Delays], tuple[float, ...]]) -> list[float]:
    return [value for part in parts for value in pick(part)]


def _short(figures: dict[str, Any], *, good: bool) -> str:
    names = ("word_error_percent", "shown_p50_s", "final_p50_s", "end_to_last_text_p95_s", "cpu_per_audio_second")
    shown = ", ".join(f"{name} {figures[name]:.2f}" for name in names)
    return f"{shown}, failed {figures['streams_failed']}, {'keeps up' if good else 'DOES NOT KEEP UP'}"
