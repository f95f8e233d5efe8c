"""`talkup report` and `--report`: from a recording to its report, over the real processes with the scripted engine."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from bench.harness.stack import Stack
from tests.fakes.talkup import at, over_http, run
from workers.fake.engine import expected_words


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.s16le"
    path.write_bytes(random.Random(7).randbytes(12 * 32_000))
    return path


async def recorded(stack: Stack, recording: Path, page: Path) -> str:
    """Transcribe a recording with a report; return the session's name."""
    code, _, said = await run("transcribe", *over_http(stack), "--report", page, recording)
    assert code == 0, said
    found = re.fullmatch(rf"talkup: report of session (\S+) written to {re.escape(str(page))}\n", said)
    assert found, said
    return found[1]


async def test_a_recording_is_transcribed_and_its_report_written(
    fake_stack: Stack, recording: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    code, out, said = await run("transcribe", *over_http(fake_stack), "--report", page, recording)
    assert code == 0, said
    words = expected_words(recording.read_bytes())
    assert out.split() == words
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert f">{len(words)}</td>" in text
    assert "words a minute" in text


async def test_the_page_of_a_recording_is_in_the_language_asked_for(
    fake_stack: Stack, recording: Path, tmp_path: Path
) -> None:
    page = tmp_path / "rapport.html"
    code, _, said = await run("transcribe", *over_http(fake_stack), "--report", page, "--report-lang", "fr", recording)
    assert code == 0, said
    text = page.read_text(encoding="utf-8")
    assert '<html lang="fr"' in text
    assert "mots par minute" in text


async def test_a_session_is_reported_as_text_json_and_page(fake_stack: Stack, recording: Path, tmp_path: Path) -> None:
    session = await recorded(fake_stack, recording, tmp_path / "first.html")
    code, text, said = await run("report", *over_http(fake_stack), session)
    assert (code, said) == (0, "")
    assert text.startswith(f"Session report {session}\n")
    code, out, said = await run("report", *over_http(fake_stack), "--json", session)
    report = json.loads(out)
    assert (code, said, report["session_id"], report["complete"]) == (0, "", session, True)
    (speaker,) = report["speakers"]
    assert speaker["measures"]["words"]["value"] == len(expected_words(recording.read_bytes()))
    assert {point["t1_ms"] - point["t0_ms"] for point in speaker["course"]} <= {10_000, 2_000}
    page = tmp_path / "fr.html"
    code, out, said = await run("report", *over_http(fake_stack), "--html", page, "--lang", "fr", session)
    assert (code, out) == (0, "")
    assert f"written to {page}" in said
    assert '<html lang="fr">' in page.read_text(encoding="utf-8")


async def test_two_sessions_stand_side_by_side(fake_stack: Stack, recording: Path, tmp_path: Path) -> None:
    before = await recorded(fake_stack, recording, tmp_path / "before.html")
    now = await recorded(fake_stack, recording, tmp_path / "now.html")
    code, out, said = await run("report", *over_http(fake_stack), "--json", "--compare", before, now)
    assert (code, said) == (0, "")
    comparison = json.loads(out)["comparison"]
    assert comparison["session_id"] == before
    (speaker,) = comparison["speakers"]
    assert speaker["measures"]
    assert all(each["earlier"] == each["now"] for each in speaker["measures"])


async def test_what_goes_wrong_is_said(fake_stack: Stack, recording: Path, tmp_path: Path) -> None:
    code, out, said = await run("report", *over_http(fake_stack), "unknown")
    assert (code, out, said) == (1, "", "talkup: unknown or expired session (session_expired)\n")
    session = await recorded(fake_stack, recording, tmp_path / "talk.html")
    code, _, said = await run("report", *over_http(fake_stack), "--lang", "tlh", session)
    assert (code, said) == (1, "talkup: must be one of en, fr (bad_message, field lang)\n")
    code, _, said = await run("report", *over_http(fake_stack), "--html", tmp_path, session)
    assert (code, said) == (2, f"talkup: {tmp_path}: there is no such folder, or it is one\n")
    code, out, said = await run("transcribe", *at(fake_stack), "--report", tmp_path / "a.html", recording, recording)
    assert (code, out, said) == (2, "", "talkup: a report is of one file: name one\n")
    assert not (tmp_path / "a.html").exists()
