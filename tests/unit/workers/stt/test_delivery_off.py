"""A stream that asks for no delivery has nothing of it: no object, no state, no audio kept longer."""

from __future__ import annotations

import pytest
from talkup.v1 import analysis_pb2, task_pb2

from tests.unit.workers.stt.toys import ToyEngine, chunks, hear_voice, run_stream, speak
from workers.delivery.listener import SoundListener
from workers.delivery.stream import DeliveryStream
from workers.stt import state
from workers.stt.decode_job import StreamOptions
from workers.stt.delivered import open_beside, replayed_from
from workers.stt.hearing import Hearing
from workers.stt.state import RecognizerState
from workers.stt.tuning import Tuning


async def test_a_stream_without_delivery_makes_no_object_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something of delivery was made")

    monkeypatch.setattr(DeliveryStream, "__init__", refuse)
    monkeypatch.setattr(SoundListener, "__init__", refuse)
    assert open_beside(task_pb2.StreamStart(), None, 0) is None
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), chunks(speak(1, 2, 3, 0, 0, 0, 4), 5_000))
    assert not any(result.delivery for result in results)
    states = [state.unpack(result.progress.resume_state) for result in results if result.HasField("progress")]
    assert states
    assert all(saved.delivery is None for saved in states)


def test_the_state_of_such_a_stream_is_that_of_a_release_without_delivery() -> None:
    saved = state.ResumeState(
        version=state.VERSION,
        recognizer=RecognizerState(),
        segment_id=1,
        totals=state.Totals(),
        audio_from=0,
        decoder=b"",
    )
    assert b"delivery" not in state.pack(saved)
    assert state.unpack(state.pack(saved)) == saved


def test_nothing_is_replayed_for_it() -> None:
    assert replayed_from(None, 4_000, 90_000) == 4_000


def test_with_it_only_the_audio_of_a_block_is_kept_and_replayed_longer() -> None:
    asked = task_pb2.StreamStart(delivery=analysis_pb2.DeliveryOptions())
    delivery = open_beside(asked, None, 0)
    assert delivery is not None
    hearing = Hearing(hear_voice, Tuning(), StreamOptions(), RecognizerState(), delivery.listener)
    hearing.audio.append(speak(*[1] * 20))
    while hearing.next_frame() is not None:
        hearing.forget_before(hearing.position)
        assert hearing.position - hearing.audio.start < 4_096 + 2 * 1_600
    assert replayed_from(delivery, 100_000, 100_000) >= 100_000 - 2 * 1_600
