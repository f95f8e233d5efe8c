"""What `talkup analyze` prints of a result."""

from __future__ import annotations

from talkup_client.analyze import lines_of


def test_events_are_told_when_they_end() -> None:
    events = [
        {"type": "smile", "t0_ms": 300, "t1_ms": None, "confidence": 0.7},
        {"type": "face_lost", "t0_ms": 1_200, "t1_ms": 2_500, "confidence": 0.9},
    ]
    assert lines_of({"events": events, "window": None}) == ["    1.20 s to     2.50 s  face_lost"]


def test_the_summary_tells_what_could_not_be_measured() -> None:
    window = {"whole_session": True, "frames": 12, "presence_ratio": {"value": 0.5, "confidence": 0.9}, "nods": None}
    lines = lines_of({"window": window})
    assert "frames                    12" in lines
    assert "face present              50.0% (confidence 0.90)" in lines
    assert "nods                      not measurable" in lines


def test_a_window_of_ten_seconds_is_not_told() -> None:
    assert lines_of({"window": {"whole_session": False, "frames": 3}}) == []
