"""`talkup drain` against a gateway's answers: what it says, and when it believes that a worker is free."""

from __future__ import annotations

from typing import Any

import pytest
from talkup_client.errors import BadAnswerError, TalkupError
from talkup_client.http_api import Answer
from talkup_client.rotation import drain, list_workers, resume

WORKER = "10.0.0.7:50051"


class Gateway:
    """Answers in order; remembers what it was asked. `now` is its clock, which sleeping moves."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.said: list[str] = []
        self.now = 0.0

    def _answer(self, request: str) -> Answer:
        self.asked.append(request)
        status, body = self.answers.pop(0)
        return Answer(status, {}, body)

    async def get(self, path: str) -> Answer:
        return self._answer(f"GET {path}")

    async def post(self, path: str) -> Answer:
        return self._answer(f"POST {path}")

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def drain(self, wait_s: float = 10.0, **options: Any) -> bool:
        return await drain(
            self, WORKER, self.said.append, wait_s=wait_s, clock=lambda: self.now, sleep=self.sleep, **options
        )


def listed(used: int | None, address: str = WORKER) -> tuple[int, Any]:
    return 200, {"workers": [{"address": address, "service": "stt", "slots": 8, "slots_used": used, "streams": 1}]}


async def test_it_waits_until_no_stream_is_left() -> None:
    gateway = Gateway((200, {"streams": 2}), listed(2), listed(1), listed(0))
    assert await gateway.drain()
    assert gateway.asked == ["POST /v1/workers/10.0.0.7%3A50051/drain", *["GET /v1/workers"] * 3]
    assert gateway.said == [
        f"{WORKER} takes no new streams; 2 are running there",
        "streams left: 1",
        "streams left: 0",
        f"no stream is left on {WORKER}: it can be stopped",
    ]


async def test_it_gives_up_in_time_and_says_what_that_means() -> None:
    gateway = Gateway((200, {"streams": 1}), listed(1), listed(1))
    assert not await gateway.drain(1.0)
    assert "stopped, they move within its drain time" in gateway.said[-1]


async def test_a_worker_that_died_runs_no_stream_and_one_that_is_unknown_is_no_free_one() -> None:
    assert await Gateway((200, {"streams": 1}), listed(None)).drain()
    gateway = Gateway((200, {"streams": 1}), listed(0, "10.0.0.8:50051"))
    assert not await gateway.drain()
    assert "does not list" in gateway.said[-1]


async def test_a_refusal_reaches_the_user_and_force_is_passed_on() -> None:
    refusal = (409, {"error": {"code": "no_worker", "message": "no other worker has room"}})
    with pytest.raises(TalkupError, match="no other worker"):
        await Gateway(refusal).drain()
    gateway = Gateway((200, {"streams": 0}))
    assert await gateway.drain(force=True)
    assert gateway.asked == ["POST /v1/workers/10.0.0.7%3A50051/drain?force=true"]


async def test_answers_of_something_else_are_bad_answers() -> None:
    for answer in ({"streams": "two"}, [], None):
        with pytest.raises(BadAnswerError):
            await Gateway((200, answer)).drain()
        with pytest.raises(BadAnswerError):
            await resume(Gateway((200, answer)), WORKER)
        with pytest.raises(BadAnswerError):
            await list_workers(Gateway((200, answer)))


async def test_the_table_of_workers() -> None:
    table = await list_workers(Gateway(listed(3)))
    assert [line.split() for line in table.splitlines()][1] == [WORKER, "stt", "away", "3", "of", "8", "1"]
