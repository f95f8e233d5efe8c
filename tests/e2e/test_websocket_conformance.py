"""The WebSocket port answers every frame as RFC 6455 says; docs/security.md has the table."""

from __future__ import annotations

from tests.e2e.conformance_cases import ANSWERED, CASES, OPEN
from tests.e2e.gateway_rig import KEY, rig
from tests.fakes.doc_tables import documented, rows
from tests.fakes.raw_websocket import CLOSE, PING, PONG, TEXT, Frame, RawWebSocket, frame

LAST = b'{"type":"ping","payload":"the last message"}'
QUIET = {"ping_interval_s": "3600"}


def in_words(found: Frame) -> str:
    """What a frame of the server means."""
    match found.opcode:
        case 0x8:
            return "close without a code" if found.close_code == 1005 else f"close {found.close_code}"
        case 0xA:
            return "pong"
        case 0x1 if found.message["type"] == "pong":
            return ANSWERED
        case 0x1 if found.message["type"] == "error":
            return f"error {found.message['data']['code']}"
    return f"frame {found.opcode}"


async def outcome(port: int, sent: bytes) -> str:
    """What the server sends back until it closes, or until it answers one message more."""
    socket = await RawWebSocket.open(port, headers={"Authorization": f"Bearer {KEY}"})
    await socket.until("session")
    await socket.send(sent, frame(TEXT, LAST))
    answers: list[str] = []
    while (found := await socket.read()) is not None:
        if found.opcode == TEXT and found.message["data"].get("payload") == "the last message":
            break
        answers.append(in_words(found))
        if found.opcode == CLOSE:
            break
    socket.abort()
    return ", ".join(answers) or OPEN


async def test_every_frame_gets_the_answer_of_the_standard() -> None:
    wrong = []
    async with rig(**QUIET) as at:
        for case in CASES:
            for number, variant in enumerate(case.variants):
                found = await outcome(at.gateway.ws_port, variant)
                if found != case.outcome:
                    wrong.append(f"{case.section}, {case.title} ({number}): {found}, not {case.outcome}")
    assert not wrong, "\n".join(wrong)


async def test_frames_may_arrive_byte_by_byte() -> None:
    async with rig(**QUIET) as at:
        socket = await RawWebSocket.open(at.gateway.ws_port, headers={"Authorization": f"Bearer {KEY}"})
        await socket.until("session")
        for byte in frame(PING, b"x"):
            await socket.send(bytes((byte,)))
        assert await socket.read() == Frame(PONG, b"x")
        for byte in frame(TEXT, LAST):
            await socket.send(bytes((byte,)))
        assert (await socket.until("pong"))["data"]["payload"] == "the last message"


def test_the_table_of_results_is_documented() -> None:
    cells = [(case.section, case.title, str(len(case.variants)), case.outcome) for case in CASES]
    assert documented("security.md", "conformance") == rows(cells)
