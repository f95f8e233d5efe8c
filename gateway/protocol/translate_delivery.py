"""Translation of what a worker says about delivery into the WebSocket's `analysis_result`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from talkup.v1 import analysis_pb2

from gateway.protocol import messages as m
from gateway.protocol.measures import finite, measure
from gateway.protocol.translate_vision import event_data
from gateway.protocol.turns import Span

_SCHEMA_VERSION = 2
_NO_LATENCY = m.LatencyData(queue=0, decode=0, infer=0)


def delivery_message(
    stream_id: str,
    analysis: analysis_pb2.Analysis,
    *,
    number: int,
    origin_ms: int | None,
    speech: Sequence[Span] | None = None,
) -> m.AnalysisResult:
    """One result about delivery; what could not be measured is null.

    `number` becomes its `frame_seq`. `origin_ms`: time 0 of the stream's media clock, UNIX ms; None: unknown.
    `speech`: the stretches of speech that it gives; None: it gives none.
    """
    delivery = analysis.delivery
    latency = analysis.latency
    data = m.AnalysisData(
        stream_id=stream_id,
        service_type="delivery",
        schema_version=analysis.schema_version,
        frame_seq=number,
        media_time_ms=analysis.media_time_ms,
        captured_at=analysis.captured_at_unix_ms if analysis.HasField("captured_at_unix_ms") else None,
        latency_ms=m.LatencyData(queue=latency.queue_ms, decode=latency.decode_ms, infer=latency.infer_ms),
        frame=None,
        window=None,
        events=[event_data(event) for event in analysis.events],
        delivery=m.DeliveryData(
            origin_unix_ms=origin_ms,
            frame=_frame(delivery.frame) if delivery.HasField("frame") else None,
            window=_window(delivery.window) if delivery.HasField("window") else None,
            summary=_summary(delivery.summary) if delivery.HasField("summary") else None,
            speech=UNSET if speech is None else [m.SpeechData(t0_ms=t0, t1_ms=t1) for t0, t1 in speech],
        ),
    )
    return m.AnalysisResult(stream_id=stream_id, data=data)


def event_message(stream_id: str, event: m.EventData, *, number: int, origin_ms: int | None) -> m.AnalysisResult:
    """An event of delivery that the gateway itself has seen, on the stream's media clock."""
    data = m.AnalysisData(
        stream_id=stream_id,
        service_type="delivery",
        schema_version=_SCHEMA_VERSION,
        frame_seq=number,
        media_time_ms=event.t0_ms if event.t1_ms is None else event.t1_ms,
        captured_at=None,
        latency_ms=_NO_LATENCY,
        frame=None,
        window=None,
        events=[event],
        delivery=m.DeliveryData(origin_unix_ms=origin_ms, frame=None, window=None, summary=None),
    )
    return m.AnalysisResult(stream_id=stream_id, data=data)


def is_of_delivery(message: m.AnalysisResult) -> bool:
    """Whether a result is one of delivery."""
    return message.data.delivery is not UNSET


def _frame(frame: analysis_pb2.DeliveryFrame) -> m.DeliveryFrameData:
    return m.DeliveryFrameData(
        t0_ms=frame.t0_ms,
        t1_ms=frame.t1_ms,
        speech_ratio=measure(frame, "speech_ratio"),
        loudness_lufs=measure(frame, "loudness_lufs"),
        pitch_hz=measure(frame, "pitch_hz"),
        words_per_minute=measure(frame, "words_per_minute"),
        pause_ms=frame.pause_ms if frame.HasField("pause_ms") else None,
    )


def _window(window: analysis_pb2.DeliveryWindow) -> m.DeliveryWindowData:
    return m.DeliveryWindowData(
        t0_ms=window.t0_ms,
        t1_ms=window.t1_ms,
        whole_session=window.whole_session,
        words=_count(window, "words"),
        syllables=_count(window, "syllables"),
        words_per_minute=measure(window, "words_per_minute"),
        syllables_per_minute=measure(window, "syllables_per_minute"),
        articulation_rate=measure(window, "articulation_rate"),
        speech_ratio=measure(window, "speech_ratio"),
        pauses=_count(window, "pauses"),
        pauses_within_sentences=_count(window, "pauses_within_sentences"),
        pause_median_ms=measure(window, "pause_median_ms"),
        pause_longest_ms=measure(window, "pause_longest_ms"),
        longest_monologue_ms=measure(window, "longest_monologue_ms"),
        repeated_words=measure(window, "repeated_words"),
        restarts=measure(window, "restarts"),
        filled_pauses=measure(window, "filled_pauses"),
        loudness_lufs=measure(window, "loudness_lufs"),
        loudness_relative=measure(window, "loudness_relative"),
        trailing_off_ratio=measure(window, "trailing_off_ratio"),
        pitch_hz=measure(window, "pitch_hz"),
        pitch_range_semitones=measure(window, "pitch_range_semitones"),
        pitch_spread_semitones=measure(window, "pitch_spread_semitones"),
        pitch_spread_relative=measure(window, "pitch_spread_relative"),
    )


def _count(window: analysis_pb2.DeliveryWindow, name: str) -> int | None:
    return getattr(window, name) if window.HasField(name) else None


def _summary(summary: analysis_pb2.DeliverySummary) -> m.DeliverySummaryData:
    return m.DeliverySummaryData(
        whole=_window(summary.whole) if summary.HasField("whole") else None,
        pace=[
            m.PacePointData(media_time_ms=point.media_time_ms, words_per_minute=finite(point.words_per_minute))
            for point in summary.pace
        ],
        pauses=[
            m.PauseBucketData(
                from_ms=bucket.from_ms,
                to_ms=bucket.to_ms if bucket.HasField("to_ms") else None,
                within_sentences=bucket.within_sentences,
                between_sentences=bucket.between_sentences,
            )
            for bucket in summary.pauses
        ],
        moments=[
            m.MomentData(type=moment.type, t0_ms=moment.t0_ms, t1_ms=moment.t1_ms, words=moment.words)
            for moment in summary.moments
        ],
    )
