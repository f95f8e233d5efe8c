"""How a stream ends: after its last word or at once, by its client or by the gateway."""

from __future__ import annotations

from talkup.v1 import task_pb2

from gateway.protocol import messages as m
from gateway.protocol.actions import Action, CancelTask, SendMessage, TaskKey
from gateway.protocol.errors import Problem
from gateway.protocol.states import StreamPhase
from gateway.protocol.stream import Stream
from gateway.protocol.stream_registry import StreamRegistry
from gateway.protocol.translate import error_message


def end_stream(streams: StreamRegistry, message: m.StreamEnd, now: float) -> list[Action] | Problem:
    """Do what `stream_end` asks for, or say why not. A stream that is ending can still be discarded."""
    named = None if message.stream_id is None else streams.by_id.get(message.stream_id)
    if message.discard and named is not None and named.phase is StreamPhase.ENDING:
        return _discard(named, now)
    stream = streams.find_open(message.stream_id)
    if isinstance(stream, Problem):
        return stream
    return _discard(stream, now) if message.discard else stream.end(now)


def end_with(streams: StreamRegistry, problem: Problem, now: float, stream_id: str | None) -> list[Action]:
    """End the open streams, or the one of this id, and report the reason. What was sent still becomes text."""
    ending = [stream for stream in streams.open if stream_id in (None, stream.stream_id)]
    actions: list[Action] = []
    for stream in ending:
        actions += [SendMessage(error_message(problem.of_stream(stream.stream_id))), *stream.end(now)]
    return actions


def _discard(stream: Stream, now: float) -> list[Action]:
    """Cancel the calls of a stream; its text so far stays, and `stream_ended` follows."""
    actions: list[Action] = []
    for service in stream.spec.services:
        actions.append(CancelTask(TaskKey(stream.stream_id, service)))
        actions += stream.result(service, task_pb2.TaskResult(ended=task_pb2.Ended()), now)
    return actions
