"""What is carried over from block to block of one stream, and to another worker: no sound is in it.

It is a part of `resume_state`: 2 to 6 KB, and 4 bytes more for every ten seconds with words. It holds words of the
transcript: it never enters a log.
"""

from __future__ import annotations

import msgspec

from workers.delivery.acoustics import AT_REST
from workers.delivery.baseline import Baseline, Spread
from workers.delivery.events import LongPauses, Memory
from workers.delivery.filled_pauses import FilledPauseMemory
from workers.delivery.moments import Moments
from workers.delivery.monologue import Monologue
from workers.delivery.pauses import PauseMemory, Stretch
from workers.delivery.sentence_meter import SentenceMeter
from workers.delivery.sums import Sums
from workers.delivery.words import SpokenWord


class DeliveryState(msgspec.Struct, array_like=True):
    """Between two blocks. Times are milliseconds from `base_ms`, the first that was measured, unless said otherwise.

    `block`: the next block of the stream, which begins with the filter in `filter_state`. `given`: messages so far.
    `undecided`: powers and pitches of the hops of which it is not known yet whether they are speech. `levels`: mean
    powers of the last 30 blocks. `waiting`: words that begin later than what was measured; `recent`: those of the last
    ten seconds, as `pauses_recent`. `spoken_from_ms` to `spoken_to_ms`: from the first word to the last one, of which
    `silent_ms` between turns and `paused_ms` in pauses; `silent_since_ms` and `paused_since_ms`: since the last word,
    which count if another one follows. `spreads`: of the last six windows. `pace`: words a minute of
    each window, float32, not a number where it could not be measured. `stretches_new`: speech that ended since the last
    message.
    """

    block: int = 0
    filter_state: tuple[float, ...] = AT_REST
    base_ms: int = 0
    origin_unix_ms: int | None = None
    given: int = 0
    language: str = ""
    pauses: PauseMemory = msgspec.field(default_factory=PauseMemory)
    undecided_powers: list[float] = []
    undecided_pitches: list[float] = []
    levels: list[float] = []
    waiting: list[SpokenWord] = []
    recent: list[SpokenWord] = []
    pauses_recent: list[Stretch] = []
    pauses_new: list[Stretch] = []
    spoken_from_ms: int | None = None
    spoken_to_ms: int = 0
    silent_ms: int = 0
    paused_ms: int = 0
    filled: FilledPauseMemory = msgspec.field(default_factory=FilledPauseMemory)
    sentence: SentenceMeter = msgspec.field(default_factory=SentenceMeter)
    monologue: Monologue = msgspec.field(default_factory=Monologue)
    second: Sums = msgspec.field(default_factory=Sums)
    window: Sums = msgspec.field(default_factory=Sums)
    whole: Sums = msgspec.field(default_factory=Sums)
    baseline: Baseline = msgspec.field(default_factory=Baseline)
    spreads: list[Spread] = []
    pace: bytes = b""
    moments: Moments = msgspec.field(default_factory=Moments)
    events: dict[str, Memory] = {}
    long_pauses: LongPauses = msgspec.field(default_factory=LongPauses)
    silent_since_ms: int = 0
    paused_since_ms: int = 0
    stretches_new: list[Stretch] = []
