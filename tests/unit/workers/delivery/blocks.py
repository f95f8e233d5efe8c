"""Made-up blocks and words: what a stream sounds like, said in stretches of media."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from talkup.v1 import analysis_pb2

from workers.delivery.acoustics import AT_REST, HOPS, Hops
from workers.delivery.analyzer import DeliveryAnalyzer
from workers.delivery.listener import Block
from workers.delivery.options import SIGNALS
from workers.delivery.state import DeliveryState
from workers.delivery.windows import Wanted
from workers.delivery.words import SpokenWord

BLOCK_MS = 100
ALL = Wanted(frozenset(SIGNALS) - {"filled_pauses"})

Messages = list[analysis_pb2.Analysis]


def block(power: float, hertz: Sequence[float]) -> Block:
    """Five hops of one power, each with a pitch; NaN: unvoiced. Power 0 is silence."""
    voice = 1.0 if power else 0.0
    hops = Hops(np.full(HOPS, power), np.array(hertz, np.float32), np.full(HOPS, voice, np.float32))
    return Block(hops, (voice,) * HOPS, AT_REST)


def speech(ms: int, power: float = 1e-2, hertz: float = 120.0, swing: float = 2.0) -> Iterator[Block]:
    """Speech of one level; the pitch goes `swing` semitones up and down, half a second each way."""
    for number in range(ms // BLOCK_MS):
        times = (number * HOPS + np.arange(HOPS)) * 20 / 1000
        yield block(power, (hertz * 2 ** (swing / 12 * np.sin(2 * np.pi * times))).tolist())


def silence(ms: int) -> Iterator[Block]:
    for _ in range(ms // BLOCK_MS):
        yield block(0.0, [float("nan")] * HOPS)


def evenly(text: str, from_ms: int, to_ms: int, share: float = 0.8) -> list[SpokenWord]:
    """The words of a text at equal distances; each takes `share` of its time."""
    words = text.split()
    step = (to_ms - from_ms) / len(words)
    return [
        SpokenWord(word, round(from_ms + number * step), round(from_ms + (number + share) * step))
        for number, word in enumerate(words)
    ]


def messages_of(
    blocks: Iterable[Block],
    words: Sequence[SpokenWord] = (),
    wanted: Wanted = ALL,
    *,
    language: str = "en",
    state: DeliveryState | None = None,
) -> Messages:
    """A whole stream: every message; words come as soon as their end is heard."""
    analyzer = DeliveryAnalyzer(wanted, state)
    found: Messages = []
    said = 0
    now_ms = analyzer.state.base_ms
    for each in blocks:
        now_ms += BLOCK_MS
        ended = sum(word.end_ms <= now_ms for word in words)
        analyzer.say(words[said:ended], language)
        said = ended
        found += analyzer.hear(each)
    analyzer.say(words[said:], language)
    return [*found, *analyzer.finish(now_ms)]


def events_of(messages: Messages, type_: str) -> list[tuple[int, int | None]]:
    """When the events of a type began, and ended if they have."""
    return [
        (event.t0_ms, event.t1_ms if event.HasField("t1_ms") else None)
        for message in messages
        for event in message.events
        if event.type == type_
    ]


def windows_of(messages: Messages) -> list[analysis_pb2.DeliveryWindow]:
    return [message.delivery.window for message in messages if message.delivery.HasField("window")]


def frames_of(messages: Messages) -> list[analysis_pb2.DeliveryFrame]:
    return [message.delivery.frame for message in messages if message.delivery.HasField("frame")]


def copied(state: DeliveryState) -> DeliveryState:
    """As another worker gets it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=DeliveryState)
