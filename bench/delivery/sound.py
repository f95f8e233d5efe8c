"""The part `sound`: pauses, loudness, pitch and sentence ends against what was done to the clips.

Constants were chosen on every second clip. Figures named "judging" are of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.checks import Findings
from bench.corpus import Clip
from bench.delivery.finding import Share
from bench.delivery.listening import Sounded, sounded
from bench.delivery.pause_truth import EDGE_MS, Paused, matched, paused
from bench.stt.bench import Bench
from workers.delivery.levels import ending
from workers.delivery.pauses import Stretch
from workers.stt.vad import SileroVad

GAINS_DB = (-12, -6, 6)
SHIFTS = (0.8, 0.9, 1.1, 1.25)
FALLS_DB = (0, -6, -8, -10, -12)

Floats = NDArray[np.float32]


def sound(bench: Bench) -> Findings:
    """Everything that needs no words, on clips of 3 to 40 s in all languages."""
    found, vad = Findings(), SileroVad()
    clips = [clip for clip in bench.clips("speech") if 3 < clip.seconds < 40]
    dishes = next((clip.audio for clip in bench.clips("nonspeech") if "real_dishes" in clip.name), None)
    plain = [sounded(clip.audio, vad) for clip in clips]
    seconds = sum(clip.seconds for clip in clips)
    found.figures["CPU, ms a second of audio"] = 1000 * sum(one.cpu for one in plain) / seconds
    found.check("CPU of the measures of sound, ms a second", 1000 * sum(one.cpu for one in plain) / seconds, "<=", 3)
    _pauses(found, bench, clips, vad, dishes)
    _levels(found, clips, plain, vad)
    _pitches(found, clips, plain, vad)
    _endings(found, plain)
    return found


def places(dishes: Floats | None) -> dict[str, Callable[[Floats], Floats]]:
    """What is done to a clip before its pauses are looked for. Noise: dB under the clip's mean power."""
    rng = np.random.default_rng(7)

    def noisy(audio: Floats, noise: NDArray[np.floating], snr: float) -> Floats:
        scale = np.sqrt(np.mean(audio**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
        return np.asarray(audio + scale * noise, np.float32)

    made: dict[str, Callable[[Floats], Floats]] = {
        "as recorded": lambda audio: audio,
        "12 dB softer": lambda audio: audio * np.float32(10 ** (-12 / 20)),
        "6 dB louder, clipped": lambda audio: np.clip(audio * np.float32(2), -1, 1),
        "white noise, 20 dB": lambda audio: noisy(audio, rng.normal(0, 1, len(audio)), 20),
        "white noise, 10 dB": lambda audio: noisy(audio, rng.normal(0, 1, len(audio)), 10),
    }
    if dishes is not None:
        made["clattering dishes, 15 dB"] = lambda audio: noisy(audio, np.resize(dishes, len(audio)), 15)
    return made


def _pauses(found: Findings, bench: Bench, clips: Sequence[Clip], vad: SileroVad, dishes: Floats | None) -> None:
    made = [(number % 2 == 1, paused(clip, vad)) for number, clip in enumerate(clips)]
    cases = [(judging, case) for judging, case in made if case is not None]
    bench.say(f"{len(cases)} of {len(clips)} clips have a truth of pauses")
    for place, change in places(dishes).items():
        for half in ("tuning", "judging"):
            chosen = [case for judging, case in cases if judging == (half == "judging")]
            if not chosen:
                found.figures[f"pauses, {half}"] = "no clip in this corpus"
                continue
            heard = [(case, sounded(change(case.audio), vad).pauses) for case in chosen]
            f1, edges = _pause_figures(found, f"pauses, {half}, {place}", heard)
            if half == "judging" and "10 dB" not in place:
                found.check(f"F1 of pauses, {place}", f1, ">=", 0.95 if "dishes" not in place else 0.93)
                found.check(f"pause edges within {EDGE_MS} ms, {place}", edges, ">=", 0.85)


def _pause_figures(
    found: Findings, name: str, heard: Sequence[tuple[Paused, Sequence[Stretch]]]
) -> tuple[float, float]:
    """F1 and the share of edges within 80 ms, which become figures with their intervals."""
    counts = [
        (len(matched(case.pauses, pauses)), len(pauses), len(case.pauses), matched(case.pauses, pauses))
        for case, pauses in heard
    ]
    sums = np.array([(hit, given, true) for hit, given, true, _ in counts], dtype=float)
    pairs = [pair for *_, pairs in counts for pair in pairs]
    if not pairs:
        found.figures[name] = "none found"
        return 0.0, 0.0
    starts = np.array([got.t0_ms - true.t0_ms for true, got in pairs])
    ends = np.array([got.t1_ms - true.t1_ms for true, got in pairs])
    near = np.abs(np.concatenate([starts, ends])) <= EDGE_MS

    def f1(rows: NDArray[np.float64]) -> float:
        hits, given, true = rows.sum(axis=0)
        return float(2 * hits / max(1.0, given + true))

    found.figures[name] = {
        "F1": f"{f1(sums):.3f} {interval(sums, f1)} ({int(sums[:, 2].sum())} pauses)",
        "edges within 80 ms": str(Share(int(near.sum()), len(near))),
        "median error of start and end, ms": f"{np.median(starts):+.0f}, {np.median(ends):+.0f}",
    }
    return f1(sums), float(near.mean())


def _levels(found: Findings, clips: Sequence[Clip], plain: Sequence[Sounded], vad: SileroVad) -> None:
    near = []
    for gain in GAINS_DB:
        errors = []
        for clip, one in zip(clips, plain, strict=True):
            loudest = float(np.abs(clip.audio).max()) * 10 ** (gain / 20)
            other = sounded(clip.audio * np.float32(10 ** (gain / 20)), vad)
            # What would clip has no truth, nor has what sinks below the gate of -70 LUFS.
            if loudest <= 1 and one.loudness.lufs is not None and other.loudness.lufs is not None:
                errors.append(other.loudness.lufs - one.loudness.lufs - gain)
        near += [abs(error) <= 0.5 for error in errors]
        found.figures[f"loudness of speech, {gain:+d} dB"] = spread(np.array(errors), "LU")
    found.check(
        "loudness of speech after a gain, clips within 0.5 LU", float(np.mean(near)) if near else math.nan, ">=", 0.98
    )


def _pitches(found: Findings, clips: Sequence[Clip], plain: Sequence[Sounded], vad: SileroVad) -> None:
    """Clips played faster and slower: pitch and time change by the ratio, which is the truth for both."""
    for ratio in SHIFTS:
        errors, ranges, gross, voiced = [], [], 0, 0
        for clip, one in zip(clips, plain, strict=True):
            other = sounded(played(clip.audio, ratio), vad)
            before, after = one.pitch.pitch(), other.pitch.pitch()
            if before is None or after is None:
                continue
            errors.append(12 * np.log2(after.median / before.median / ratio))
            if before.range is not None and after.range is not None:
                ranges.append(after.range - before.range)
            wrong, both = _gross(one, other, ratio)
            gross, voiced = gross + wrong, voiced + both
        name = f"pitch, played {ratio:g} times as fast"
        found.figures[name] = {
            "error of the median": spread(np.array(errors), "semitones"),
            "change of the range": spread(np.array(ranges), "semitones"),
            "gross errors of voiced hops": str(Share(gross, voiced)),
        }
        near = float((np.abs(errors) <= 0.5).mean()) if errors else math.nan
        found.check(f"clips whose median pitch is within 0.5 semitones, {name}", near, ">=", 0.9)
        found.check(f"gross errors of voiced hops, {name}", gross / max(1, voiced), "<=", 0.03)


def _gross(one: Sounded, other: Sounded, ratio: float) -> tuple[int, int]:
    """How many hops voiced in both are more than 20 % off the ratio, and how many are voiced in both."""
    # A hop's frame ends with it and lasts 64 ms: its middle is 32 ms before that.
    middles = (np.arange(len(other.f0)) + 1) * 0.02 - 0.032
    at = np.clip(np.round((middles * ratio + 0.032) / 0.02 - 1).astype(int), 0, len(one.f0) - 1)
    both = np.isfinite(other.f0) & np.isfinite(one.f0[at]) & other.speech[: len(other.f0)] & one.speech[at]
    wrong = np.abs(other.f0[both] / one.f0[at][both] / ratio - 1) > 0.2
    return int(wrong.sum()), int(both.sum())


def played(audio: Floats, ratio: float) -> Floats:
    """Played `ratio` times as fast, band-limited, at the same sample rate."""
    count = int(len(audio) / ratio)
    spectrum = np.fft.rfft(audio)
    kept = min(len(spectrum), count // 2 + 1)
    made = np.zeros(count // 2 + 1, complex)
    made[:kept] = spectrum[:kept]
    return (np.fft.irfft(made, count) * count / len(audio)).astype(np.float32)


def _endings(found: Findings, plain: Sequence[Sounded]) -> None:
    for fall in FALLS_DB:
        flags = Share()
        for one in plain:
            hops = np.flatnonzero(one.speech)
            power = one.power.copy()
            power[hops[len(hops) - len(hops) // 3 :]] *= 10 ** (fall / 10)
            found_end = ending(power, one.speech[: len(power)])
            if found_end is not None:
                flags += Share(int(found_end.trailing), 1)
        found.figures[f"clips that trail off, last third {fall:+d} dB"] = str(flags)
        if fall in {0, -10}:
            bound = ("<=", 0.05) if fall == 0 else (">=", 0.9)
            found.check(f"clips that trail off, last third {fall:+d} dB, share", flags.value, *bound)


def interval(rows: NDArray[np.float64], figure: Callable[[NDArray[np.float64]], float], draws: int = 1_000) -> str:
    """The 95 % interval of a figure of the rows, by bootstrap over rows."""
    rng = np.random.default_rng(11)
    values = [figure(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return f"[{low:.3f}, {high:.3f}]"


def spread(errors: NDArray[np.float64], unit: str) -> str:
    """Median and central 95 % of errors."""
    if not len(errors):
        return "not measured"
    low, middle, high = np.percentile(errors, [2.5, 50, 97.5])
    return f"{middle:+.2f} [{low:+.2f}, {high:+.2f}] {unit}, {len(errors)} clips"
