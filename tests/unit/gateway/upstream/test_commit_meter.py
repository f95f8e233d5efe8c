"""From the arrival of media to final text: what the gateway can tell without decoding."""

from __future__ import annotations

import pytest
from talkup.v1 import media_pb2, task_pb2, transcript_pb2

from gateway.upstream.commit_meter import CommitMeter
from gateway.upstream.observer import NoMetrics
from gateway.upstream.replay import ReplayBuffer

STT = task_pb2.SERVICE_TYPE_STT


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Seen(NoMetrics):
    def __init__(self) -> None:
        self.commits: list[tuple[float, bool]] = []
        self.finals: list[float] = []

    def committed(self, service: task_pb2.ServiceType, seconds: float, *, is_file: bool) -> None:
        assert service == STT
        self.commits.append((round(seconds, 3), is_file))

    def finalised(self, seconds: float) -> None:
        self.finals.append(round(seconds, 3))


class Stream:
    """A stream of chunks of 100 ms, one every 100 ms, and its meter."""

    def __init__(self, mode: transcript_pb2.SpeechMode = transcript_pb2.SPEECH_MODE_LIVE) -> None:
        self.clock, self.seen = Clock(), Seen()
        self.replay = ReplayBuffer(1 << 20, 600.0, self.clock)
        start = task_pb2.TaskRequest(
            service_type=STT, start=task_pb2.StreamStart(speech=transcript_pb2.SpeechOptions(mode=mode))
        )
        self.meter = CommitMeter(start, self.replay, self.seen, self.clock)

    def say(self, *sequences: int) -> None:
        for sequence in sequences:
            self.replay.offer(task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=sequence, payload=b"x" * 10)))
            self.replay.next_request(1)
            self.clock.now += 0.1

    def commit(self, sequence: int, media_ms: int, *, final_ms: int | None = None, replay_from: int = 0) -> bool:
        progress = task_pb2.Progress(
            committed_sequence=sequence, committed_media_ms=media_ms, replay_from_sequence=replay_from
        )
        final = transcript_pb2.Transcript(is_final=True, end_ms=final_ms) if final_ms is not None else None
        return self.meter.enter(task_pb2.TaskResult(progress=progress, transcript=final))


def test_a_commit_is_as_late_as_its_last_chunk_is_old() -> None:
    stream = Stream()
    stream.say(*range(10))
    assert stream.commit(4, 500, replay_from=5)
    assert not stream.commit(4, 500, replay_from=5)
    assert stream.seen.commits == [(0.6, False)]
    assert stream.seen.finals == []


def test_silence_behind_the_last_word_counts_until_its_text_is_final() -> None:
    """The commit reaches 900 ms; speech ended at 300 ms, 600 ms before that chunk arrived."""
    stream = Stream()
    stream.say(*range(10))
    stream.commit(8, 900, final_ms=300, replay_from=9)
    assert stream.seen.commits == [(0.2, False)]
    assert stream.seen.finals == [0.8]


def test_a_final_without_a_commit_of_its_own_is_dated_by_the_commit_before() -> None:
    stream = Stream()
    stream.say(*range(10))
    stream.commit(4, 500, replay_from=5)
    stream.meter.enter(task_pb2.TaskResult(transcript=transcript_pb2.Transcript(is_final=True, end_ms=700)))
    assert stream.seen.finals == [0.4]


def test_a_replay_keeps_the_time_of_arrival() -> None:
    stream = Stream()
    stream.say(*range(10))
    stream.clock.now += 5.0
    assert stream.replay.begin_attempt() == 100
    while stream.replay.next_request(2) is not None:
        pass
    stream.commit(9, 1000, final_ms=1000)
    assert stream.seen.commits == [(5.1, False)]
    assert stream.seen.finals == [5.1]


def test_recordings_have_commits_but_no_finals_of_their_own() -> None:
    stream = Stream(transcript_pb2.SPEECH_MODE_FILE)
    stream.say(0, 1)
    stream.commit(1, 20_000, final_ms=20_000)
    assert stream.seen.commits == [(0.1, True)]
    assert stream.seen.finals == []


@pytest.mark.parametrize("sequence", [3, 99])
def test_what_the_buffer_does_not_hold_is_not_dated(sequence: int) -> None:
    stream = Stream()
    stream.say(5, 6)
    stream.commit(sequence, 500, final_ms=500)
    assert stream.seen.commits == []
    assert stream.seen.finals == []
