"""docs/doors.md shows the tables of options as they are in the code."""

from __future__ import annotations

import pytest

from gateway.config import DOORS
from gateway.doors.deepgram.options import LIVE_OPTIONS, RECORDED_OPTIONS
from gateway.doors.openai.options import AUDIO_OPTIONS
from gateway.doors.openai_realtime.configuration import SESSION_OPTIONS
from gateway.doors.openai_realtime.door import QUERY_OPTIONS
from gateway.doors.options import Option, cells
from gateway.doors.routes import DIALECTS
from gateway.doors.telephony.plain import PLAIN_OPTIONS
from gateway.doors.telephony.twilio import PARAMETERS
from gateway.doors.wyoming.options import OPTIONS as WYOMING_OPTIONS
from tests.fakes.doc_tables import documented, rows

TABLES = {
    "deepgram-live": LIVE_OPTIONS,
    "openai": AUDIO_OPTIONS,
    "openai-realtime": SESSION_OPTIONS,
    "openai-realtime-url": QUERY_OPTIONS,
    "twilio": PARAMETERS,
    "telephony": PLAIN_OPTIONS,
    "wyoming": WYOMING_OPTIONS,
    "deepgram-recorded": tuple(option for option in RECORDED_OPTIONS if option not in LIVE_OPTIONS),
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_of_options_is_documented(name: str) -> None:
    table: tuple[Option, ...] = TABLES[name]
    assert len(table) >= 4
    assert documented("doors.md", name) == rows(cells(table))


def test_every_dialect_has_its_name_in_the_setting() -> None:
    assert set(DIALECTS) == set(DOORS)
