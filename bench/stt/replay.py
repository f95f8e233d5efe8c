"""Streams on a virtual clock: drives the recogniser directly, many clips in parallel, faster than real time.

Commits depend on the media alone, so accuracy and latency in media time equal those of a live stream on a machine that
keeps up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from talkup.v1 import transcript_pb2

from bench.corpus import SAMPLE_RATE, Clip
from workers.stt import events
from workers.stt.captions import Captions
from workers.stt.decode_job import Counters, DecodeJob, Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import FRAME, Tuning
from workers.stt.vad import VoiceDetector
from workers.stt.words import Word, join_finals

_STREAMS_PER_THREAD = 12


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded network with the voice detector, and the distribution of its calls."""

    transcriber: Transcriber
    vad: VoiceDetector
    threads: int = 2
    batch: int = 4


@dataclass(slots=True)
class Played:
    """What a stream said: final words, when each was committed (seconds of media), where windows were joined."""

    clip: Clip
    words: list[Word] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    committed_at: list[float] = field(default_factory=list)
    joins: list[int] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    retractions: int = 0
    out_of_order: int = 0
    counters: Counters = field(default_factory=Counters)

    @property
    def text(self) -> str:
        return join_finals(self.finals, self.clip.language)


class Player:
    """One stream: returns its next request and accepts the hypothesis."""

    def __init__(self, clip: Clip, vad: VoiceDetector, tuning: Tuning, options: StreamOptions) -> None:
        self.played = Played(clip)
        self._effort = Effort(tuning.step, tuning.beam, extra_interims=False)
        self._recognizer = Recognizer(vad, tuning, options)
        self._captions = Captions(word_timestamps=True)
        self._last = (0, 0)
        self._decided: dict[int, str] = {}
        self._recognizer.append_samples(clip.audio)
        self._recognizer.end()
        self._job: DecodeJob | None = None

    def request(self) -> DecodeRequest | None:
        """The stream's next request; None at its end."""
        self._job = self._recognizer.advance(self._effort)
        self._note()
        if self._job is None:
            self.played.counters = self._recognizer.counters
            return None
        return self._job.request

    def answer(self, hypothesis: Hypothesis) -> None:
        """Process the requested hypothesis and record the results."""
        assert self._job is not None
        trims, cuts = self._recognizer.counters.trims, self._recognizer.counters.cuts
        closing = self._job.closing
        self._recognizer.apply(self._job, hypothesis)
        self._note()
        if self._recognizer.counters.trims > trims:
            self.played.joins.append(len(self.played.words) - len(self._recognizer.snapshot().committed))
        elif closing and cuts and self._job.purpose.name == "CUT":
            self.played.joins.append(len(self.played.words))

    def _note(self) -> None:
        """Record commits at the time of their report, which may be long before the next request."""
        fresh = 0
        for event in self._recognizer.pop_events():
            if isinstance(event, events.Final):
                self.played.words += event.words
                self.played.languages += [event.language] * len(event.words)
                fresh += len(event.words)
                self._check(self._captions.final(event), final=True)
            elif isinstance(event, events.Committed):
                self.played.committed_at += [event.state.frame * FRAME / SAMPLE_RATE] * fresh
                fresh = 0
            elif isinstance(event, events.Interim):
                self._check(self._captions.interim(event), final=False)

    def _check(self, message: transcript_pb2.Transcript | None, *, final: bool) -> None:
        """Count messages that change final text, or whose numbers do not increase."""
        if message is None:
            return
        segment, revision, text = message.segment_id, message.revision, message.text
        self.played.out_of_order += (segment, revision) <= self._last
        self._last = segment, revision
        self.played.retractions += segment in self._decided
        if final:
            self._decided[segment] = text
            self.played.finals.append(text)


def replay(
    model: Model, clips: Sequence[Clip], options: StreamOptions | Sequence[StreamOptions], tuning: Tuning | None = None
) -> list[Played]:
    """Play clips to their ends, with the same options or with each its own; results are in the order of the clips.

    Raises what a thread raised.
    """
    each = [options] * len(clips) if isinstance(options, StreamOptions) else options
    streams = zip(range(len(clips)), clips, each, strict=True)
    waiting = deque(sorted(streams, key=lambda item: -len(item[1].audio)))
    done: dict[int, Played] = {}
    failures: list[Exception] = []

    def work() -> None:
        try:
            _drain(model, waiting, done, tuning or Tuning())
        except Exception as error:  # noqa: BLE001 - the edge of a thread: raised again below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(model.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [done[index] for index in range(len(clips))]


def _drain(
    model: Model,
    waiting: deque[tuple[int, Clip, StreamOptions]],
    done: dict[int, Played],
    tuning: Tuning,
) -> None:
    """Play waiting clips, several in parallel, with requests in batches."""
    live: list[tuple[int, Player, DecodeRequest]] = []
    while True:
        while len(live) < _STREAMS_PER_THREAD:
            try:
                index, clip, options = waiting.popleft()
            except IndexError:
                break
            _go_on(index, Player(clip, model.vad, tuning, options), live, done)
        if not live:
            return
        live.sort(key=lambda item: item[2].batch_key)
        key = live[0][2].batch_key
        batch = [item for item in live if item[2].batch_key == key][: model.batch]
        del live[: len(batch)]
        hypotheses = model.transcriber.run([request for _, _, request in batch])
        for (index, player, _), hypothesis in zip(batch, hypotheses, strict=True):
            player.answer(hypothesis)
            _go_on(index, player, live, done)


def _go_on(index: int, player: Player, live: list[tuple[int, Player, DecodeRequest]], done: dict[int, Played]) -> None:
    request = player.request()
    if request is None:
        done[index] = player.played
    else:
        live.append((index, player, request))
