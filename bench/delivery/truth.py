"""What the delivery service measures, against truth that was constructed: pauses, level, pitch, pace and overlaps.

The rules of the service were made with half of the speakers (`development`); the others (`held_out`) were not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import analysis_pb2

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.delivery.filler_clips import TUNING_SPEAKERS, speaker
from bench.delivery.hearing import hear
from bench.delivery.stretching import stretched
from bench.delivery.truth_material import (
    Audio,
    Gap,
    Paused,
    Spoken,
    breathes,
    framed,
    in_noise,
    is_clean,
    paused,
    shifted,
    sung,
)
from bench.scoring import percentiles
from bench.stt.bench import ENGLISH, Bench
from gateway.protocol.spoken import spoken
from gateway.protocol.turns import Span, TurnTaking
from workers.delivery.listener import Block, SoundListener
from workers.delivery.options import SIGNALS
from workers.delivery.pauses import HOP_MS, PauseFinder
from workers.delivery.state import DeliveryState
from workers.delivery.stream import DeliveryStream
from workers.delivery.windows import Wanted
from workers.delivery.words import SpokenWord
from workers.stt.tuning import FRAME
from workers.stt.vad import VadState, VoiceDetector
from workers.stt.window import AudioBuffer, VoiceTrack

_EVERYTHING = Wanted(frozenset(SIGNALS))
_GAINS_DB = (-12.0, -6.0, 6.0)
_SPEEDS = (0.9, 1.1, 1.25)
_SHIFTS = (-3.0, 3.0)
_BASES_HZ = (90.0, 120.0, 170.0, 220.0, 300.0)
_OFFSETS_S = (0.6, 1.2, 2.4)
_GROSS = 0.2
_MOST_CLIPS = 16
_PACE_SECONDS = 5.0
_A_MS = SAMPLE_RATE // 1000
_LATER_MS = 100_000


def truth(bench: Bench) -> Findings:
    """All parts, each for both halves of the speakers."""
    found = Findings()
    vad = bench.model(ENGLISH).vad
    for name, clips in _halves(bench).items():
        bench.say(f"{name}: {len(clips)} clips")
        _sound(found, name, clips, vad)
        english = _english(clips)
        _pace(found, bench, name, english, vad)
        _overlaps(found, bench, name, english, vad)
    _synthetic_pitch(found, vad)
    return found


def cut(bench: Bench) -> Findings:
    """A minute of it: the half of the speakers that was not used to make the rules, without the pace."""
    found = Findings()
    vad, clips = bench.model(ENGLISH).vad, _halves(bench)["held_out"]
    _sound(found, "held_out", clips, vad)
    _overlaps(found, bench, "held_out", _english(clips), vad)
    _synthetic_pitch(found, vad)
    return found


def _halves(bench: Bench) -> dict[str, list[Clip]]:
    clips = [clip for clip in bench.clips("speech") if clip.seconds < 40]
    return {
        "development": [clip for clip in clips if speaker(clip.name) in TUNING_SPEAKERS],
        "held_out": [clip for clip in clips if speaker(clip.name) not in TUNING_SPEAKERS],
    }


def _english(clips: Sequence[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.language == "en" and clip.seconds >= _PACE_SECONDS][:_MOST_CLIPS]


def _sound(found: Findings, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    """What needs no words."""
    _pauses(found, half, clips, vad)
    _levels(found, half, clips[:_MOST_CLIPS], vad)
    _shifts(found, half, clips[:_MOST_CLIPS], vad)


def blocks_of(audio: Audio, vad: VoiceDetector) -> list[Block]:
    """A recording as the worker hears it."""
    listener = SoundListener()
    return listener.take_until(_listen(listener, audio, vad))


def _listen(listener: SoundListener, audio: Audio, vad: VoiceDetector) -> int:
    """Have a whole recording heard; returns up to which sample."""
    sound, track = AudioBuffer(0), VoiceTrack(0, b"")
    sound.append(audio)
    voices, _ = vad(audio[: len(audio) // FRAME * FRAME], VadState.fresh())
    for voice in voices:
        track.append(float(voice))
    listener.listen(sound, track, len(voices) * FRAME)
    return len(voices) * FRAME


# --- pauses


def _pauses(found: Findings, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    material = paused(clips, np.random.default_rng(1))
    noise = np.random.default_rng(2)
    copies = {
        "clean": lambda audio: audio,
        "-12 dB": lambda audio: audio * np.float32(10 ** (-12 / 20)),
        "+6 dB": lambda audio: audio * np.float32(10 ** (6 / 20)),
        "noise 25 dB below": lambda audio: in_noise(audio, 25, noise),
    }
    for how, copy in copies.items():
        right = wrong = missed = 0
        edges: list[float] = []
        for each in material:
            heard = _heard_pauses(copy(each.audio), vad)
            hits, surplus, lost, off = _matched(each, heard)
            right, wrong, missed = right + hits, wrong + surplus, missed + lost
            edges += off
        f1 = 2 * right / max(1, 2 * right + wrong + missed)
        [p95] = percentiles(edges, 95)
        found.figures[f"pauses {half} {how}"] = {
            "true": right + missed,
            "found": right,
            "false": wrong,
            "f1": f1,
            "edge_p95_ms": p95,
        }
        found.check(f"a. pauses, {half}, {how}: F1", f1, ">=", 0.95)
        found.check(f"a. pauses, {half}, {how}: edges p95, ms", p95, "<=", 80)


def _heard_pauses(audio: Audio, vad: VoiceDetector) -> list[Gap]:
    finder = PauseFinder()
    heard = [finder.push(block.hops.power, block.voices) for block in blocks_of(audio, vad)]
    heard.append(finder.finish())
    return [(pause.t0_ms / 1000, pause.t1_ms / 1000) for each in heard for pause in each.pauses]


def _matched(made: Paused, heard: Sequence[Gap]) -> tuple[int, int, int, list[float]]:
    """Pauses found, found where none is, and missed; and how far the edges of inserted ones are off, ms."""
    true = [*made.inserted, *made.own]
    hits = {gap: next((each for each in heard if _same(gap, each)), None) for gap in true}
    known = [*true, *made.doubtful]
    surplus = sum(not any(_touches(gap, each) for gap in known) for each in heard)
    edges = [
        1000 * abs(one - other)
        for gap in made.inserted
        if (each := hits[gap]) is not None
        for one, other in zip(gap, each, strict=True)
    ]
    right = sum(each is not None for each in hits.values())
    return right, surplus, len(true) - right, edges


def _same(gap: Gap, heard: Gap) -> bool:
    return _shared(gap, heard) >= 0.5 * (max(gap[1], heard[1]) - min(gap[0], heard[0]))


def _touches(gap: Gap, heard: Gap) -> bool:
    return _shared(gap, heard) > 0


def _shared(gap: Gap, heard: Gap) -> float:
    return min(gap[1], heard[1]) - max(gap[0], heard[0])


# --- level and pitch


def _whole(audio: Audio, vad: VoiceDetector, words: Sequence[SpokenWord] = ()) -> analysis_pb2.DeliveryWindow:
    """The window of a whole recording."""
    stream = DeliveryStream(_EVERYTHING, DeliveryState())
    stream.say(words, "en")
    last = stream.finish(_listen(stream.listener, audio, vad))[-1]
    return last.delivery.summary.whole


def _levels(found: Findings, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    """Against a known gain; what a gain moves under the absolute gate of -70 LUFS is not measured, and counted."""
    off = []
    gated = 0
    for clip in clips:
        audio = clip.audio * np.float32(0.4 / max(0.4, float(np.abs(clip.audio).max())))
        base = _whole(audio, vad)
        for gain in _GAINS_DB:
            louder = _whole(audio * np.float32(10 ** (gain / 20)), vad)
            if base.HasField("loudness_lufs") and louder.HasField("loudness_lufs"):
                off.append(abs(louder.loudness_lufs.value - base.loudness_lufs.value - gain))
            else:
                gated += 1
    p95, worst = percentiles(off, 95, 100)
    found.figures[f"level {half}"] = {"trials": len(off), "gated": gated, "off_p95_lu": p95, "off_worst_lu": worst}
    found.check(f"a. level, {half}: worst error of a known gain, LU", worst, "<=", 0.5)


def _shifts(found: Findings, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    off = []
    for clip in clips:
        base = _whole(clip.audio, vad)
        for shift in _SHIFTS:
            moved = _whole(shifted(clip.audio, shift), vad)
            if base.HasField("pitch_hz") and moved.HasField("pitch_hz"):
                off.append(abs(12 * np.log2(moved.pitch_hz.value / base.pitch_hz.value) - shift))
    p95, worst = percentiles(off, 95, 100)
    found.figures[f"pitch shifted {half}"] = {"trials": len(off), "off_p95_semitones": p95, "worst": worst}
    found.check(f"a. pitch, {half}: p95 error of a known shift, semitones", p95, "<=", 0.5)


def _synthetic_pitch(found: Findings, vad: VoiceDetector) -> None:
    """Vowels of known F0: each hop against the truth at its middle."""
    rng = np.random.default_rng(5)
    gross = known = 0
    off = []
    for base in _BASES_HZ:
        audio, f0 = sung(base, 12, rng)
        heard = np.concatenate([block.hops.f0 for block in blocks_of(audio, vad)])
        true = _true_hops(f0, len(heard))
        both = (true > 0) & np.isfinite(heard)
        known += int(both.sum())
        gross += int((np.abs(heard[both] / true[both] - 1) > _GROSS).sum())
        off.append(abs(12 * np.log2(np.median(heard[both]) / np.median(true[both]))))
    found.figures["pitch synthetic"] = {"voices": len(off), "hops": known, "gross_percent": 100 * gross / max(1, known)}
    found.check("a. pitch, synthetic: gross errors, share of voiced hops", gross / max(1, known), "<=", 0.03)
    found.check("a. pitch, synthetic: worst error of the median, semitones", max(off), "<=", 0.5)


def _true_hops(f0: NDArray[np.float64], hops: int) -> NDArray[np.float64]:
    """F0 at the middle of each hop; 0 where sound begins or ends within 40 ms, so that frames hold one pitch."""
    hop = SAMPLE_RATE * HOP_MS // 1000
    edge = SAMPLE_RATE // 25
    padded = np.concatenate([np.zeros(edge), f0, np.zeros(edge + hop * hops)])
    middles = edge + hop * np.arange(hops) + hop // 2
    steady = (padded[middles - edge] > 0) & (padded[middles + edge] > 0)
    return np.where(steady, padded[middles], 0.0)


# --- words


def _pace(found: Findings, bench: Bench, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    """Rates of clips at other speeds, all together, against the same clips as they are and the reference text."""
    base = _rates(bench, clips, vad)
    texts = sum(len(clip.text.split()) for clip in clips)
    figures: dict[str, float] = {"clips": len(clips), "words_per_minute": base[0], "words_heard_share": base[2] / texts}
    worst = {"words a minute": 0.0, "articulation": 0.0}
    for speed in _SPEEDS:
        copies = [_at_speed(clip, speed) for clip in clips]
        words, articulation, _ = _rates(bench, copies, vad)
        for rate, ratio in (("words a minute", words / base[0]), ("articulation", articulation / base[1])):
            figures[f"{rate} at {speed}"] = ratio / speed
            worst[rate] = max(worst[rate], abs(ratio / speed - 1))
    found.figures[f"pace {half}"] = figures
    for rate, error in worst.items():
        found.check(f"a. pace, {half}: worst error of a known speed, {rate}", error, "<=", 0.05)


def _rates(bench: Bench, clips: Sequence[Clip], vad: VoiceDetector) -> tuple[float, float, int]:
    """Words a minute and articulation rate, means weighted by words, and the words heard."""
    total = np.zeros(2)
    words = 0
    for clip, heard in zip(clips, hear(bench, ENGLISH, clips), strict=True):
        said = [SpokenWord(word.text, word.start // 16, word.end // 16) for word in heard]
        whole = _whole(clip.audio, vad, said)
        total += whole.words * np.array([whole.words_per_minute.value, whole.articulation_rate.value])
        words += whole.words
    return float(total[0] / words), float(total[1] / words), words


def _at_speed(clip: Clip, speed: float) -> Clip:
    return Clip(f"{clip.name} {speed}", clip.kind, clip.language, stretched(clip.audio, 1 / speed), clip.text)


def _overlaps(found: Findings, bench: Bench, half: str, clips: Sequence[Clip], vad: VoiceDetector) -> None:
    """Two speakers, the second of whom begins a known time before the first one ends: by both sources of edges."""
    rng = np.random.default_rng(3)
    clean = [clip for clip in clips if is_clean(clip.audio)]
    made = [framed(clip, rng) for clip in clean if not breathes(clip)]
    heard = hear(bench, ENGLISH, [each.clip for each in made])
    words = [[Span(word.start // _A_MS, word.end // _A_MS) for word in said] for said in heard]
    speech = [spoken(said, _stretches(each.clip.audio, vad)) for said, each in zip(words, made, strict=True)]
    for source, spans, bounded in (("sound", speech, ("median", "p95")), ("words alone", words, ("median",))):
        errors = [error for at in range(len(made) - 1) for error in _overlap_errors(made[at : at + 2], spans[at:])]
        p50, p95 = percentiles(errors, 50, 95)
        left_out = {"unclean": len(clips) - len(clean), "breath": len(clean) - len(made)}
        figures = {"trials": len(errors), "off_p50_ms": p50, "off_p95_ms": p95, **left_out}
        found.figures[f"overlap by {source} {half}"] = figures
        for name, value in (("median", p50), ("p95", p95)):
            if name in bounded:
                found.check(f"a. overlap, {half}: {name} error by {source}, ms", value, "<=", 100)


def _overlap_errors(pair: Sequence[Spoken], spans: Sequence[Sequence[Span]]) -> Iterator[float]:
    """How far the overlaps of two clips are off, ms: from where the second begins to where the first ends."""
    ends, begins = 1000 * pair[0].span[1], 1000 * pair[1].span[0]
    for seconds in _OFFSETS_S:
        moved = round(ends - begins - 1000 * seconds)
        turns = TurnTaking()
        for name, speech, offset in (("a", spans[0], _LATER_MS), ("b", spans[1], _LATER_MS + moved)):
            for t0_ms, t1_ms in speech:
                turns.add(name, t0_ms + offset, t1_ms + offset)
        ended = max(each.t1_ms for each in turns.stretches if each.stream_id == "a")
        began = min(each.t0_ms for each in turns.stretches if each.stream_id == "b")
        yield abs(ended - began - 1000 * seconds)


def _stretches(audio: Audio, vad: VoiceDetector) -> list[Span]:
    """Where the sound says that somebody speaks, ms."""
    finder = PauseFinder()
    heard = [finder.push(block.hops.power, block.voices) for block in blocks_of(audio, vad)]
    return [Span(each.t0_ms, each.t1_ms) for one in (*heard, finder.finish()) for each in one.stretches]
