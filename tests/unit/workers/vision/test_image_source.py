"""Pictures into frames: what decoding takes is charged to the stream, and a refusal says why."""

from __future__ import annotations

from collections import Counter

import pytest
from talkup.v1 import task_pb2

from tests.unit.workers.vision.encoded import encoded, photo
from tests.unit.workers.vision.faces import portrait
from workers.chunk import Chunk
from workers.media.frames import FrameFlag, FrameRecord
from workers.vision.counts import ChunkTotals
from workers.vision.image_header import Reason, read_header
from workers.vision.image_source import BURST_SECONDS, SHARE, ImageSource, Stills, StillStream
from workers.vision.mailbox import Mailbox
from workers.vision.options import VisionStreamOptions
from workers.vision.sources import Frame, Restart

CORRUPT, OVERLOAD = task_pb2.DROP_REASON_CORRUPT, task_pb2.DROP_REASON_OVERLOAD


class Shop:
    """Replaces the decoder children: takes no time, and notes what came where."""

    def __init__(self) -> None:
        self.came: list[str] = []

    def opener(self, name: str) -> StillStream:
        shop = self

        class Counter:
            async def decode(self, payload: bytes) -> FrameRecord:
                shop.came.append(name)
                return FrameRecord(0, 0, 2, 2, FrameFlag.KEY, bytes(6))

            async def close(self) -> None:
                shop.came.append(f"{name} closed")

        return Counter()

    def stills(self) -> Stills:
        return Stills(lambda: self.opener("usual"), lambda: self.opener("slow"))


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def feed(source: ImageSource, payloads: list[bytes], now: float = 0.0) -> Counter[str]:
    """How many frames came out, and why others did not."""
    outcome: Counter[str] = Counter()
    for number, payload in enumerate(payloads):
        box: Mailbox[Frame] = Mailbox()
        await source.accept(Chunk(number, payload), ChunkTotals(), now, box)
        while not box.empty:
            frame, drops = box.pop_frame()
            outcome.update({task_pb2.DropReason.Name(reason): count for reason, count in drops.items()})
            outcome["frames"] += frame is not None
    return outcome


async def test_decoding_beyond_its_share_is_dropped_and_the_share_comes_back(shop: Shop) -> None:
    picture = photo("png", 4_032, 3_024)
    seconds = read_header(picture).seconds
    source = ImageSource(Restart(), VisionStreamOptions(False, None), shop.stills(), lambda: 0.0)
    at_once = int(BURST_SECONDS / seconds) + 1
    assert await feed(source, [picture] * (at_once + 3)) == {"frames": at_once, "DROP_REASON_OVERLOAD": 3}
    rest = at_once * seconds - BURST_SECONDS
    assert await feed(source, [picture] * 2, now=(rest + 0.01) / SHARE) == {"frames": 1, "DROP_REASON_OVERLOAD": 1}


@pytest.mark.parametrize(
    ("kind", "width", "height", "fps"),
    [("jpeg", 640, 480, 60), ("jpeg", 1920, 1080, 60), ("png", 640, 480, 60), ("png", 1280, 720, 30)],
)
async def test_a_camera_stays_within_its_share(shop: Shop, kind: str, width: int, height: int, fps: int) -> None:
    picture = photo(kind, width, height)
    source = ImageSource(Restart(), VisionStreamOptions(False, None), shop.stills(), lambda: 0.0)
    for second in range(10):
        assert await feed(source, [picture] * fps, now=float(second)) == {"frames": fps}
    assert set(shop.came) == {"usual"}


async def test_a_picture_that_takes_long_is_decoded_apart(shop: Shop) -> None:
    source = ImageSource(Restart(), VisionStreamOptions(False, None), shop.stills(), lambda: 0.0)
    assert await feed(source, [photo("jpeg", 640, 480), photo("png", 4_032, 3_024), photo("jpeg", 4_032, 3_024)])
    await source.close()
    assert shop.came == ["usual", "slow", "usual", "usual closed", "slow closed"]


async def test_every_refusal_is_dropped_and_kept_with_its_reason(shop: Shop) -> None:
    source = ImageSource(Restart(), VisionStreamOptions(False, None), shop.stills(), lambda: 0.0)
    payloads = [encoded(portrait(), "gif"), b"", encoded(portrait(), "png")[:-1], encoded(portrait(), "png")]
    assert await feed(source, payloads) == {"frames": 1, "DROP_REASON_CORRUPT": 3}
    reasons = [refusal.reason for refusal in source.take_refusals()]
    assert reasons == [Reason.UNSUPPORTED, Reason.UNSUPPORTED, Reason.TRUNCATED]
    assert source.take_refusals() == []
