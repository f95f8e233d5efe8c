"""The report as a page and as text: what they hold, and that nothing in a session can change what they are."""

from __future__ import annotations

import hashlib
import itertools
import re
from base64 import b64encode
from html.parser import HTMLParser

import msgspec
import pytest

from gateway.report import formats
from gateway.report.build import build
from gateway.report.document import Event, Report
from gateway.report.html import POLICY, render
from gateway.report.text import render as render_text
from gateway.report.texts import LANGUAGES
from gateway.transcript import StreamTranscript, Transcript
from tests.fakes.interview import STARTED_AT, delivery, earlier_interview, event, interview, said, stored, summary

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*191 }}{% raw %}&amp;{name}"
REPORT = build(*interview(), earlier=build(*earlier_interview()))
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def hostile() -> Report:
    """A report in which every text that comes from outside is hostile."""
    moments = [(HOSTILE, 1_000, 2_000, HOSTILE)]
    results = [
        delivery("delivery/summary", summary=summary(moments), events=[event(HOSTILE, 0, 500)]),
        stored("vision/event", service_type="vision", events=[event(HOSTILE, 100, None)]),
    ]
    streams = tuple(StreamTranscript(HOSTILE, STARTED_AT, ended=True, segments=(said(1, 0, [HOSTILE]),)) for _ in "ab")
    transcript = Transcript(HOSTILE, STARTED_AT, streams)
    return build(transcript, [results, results], earlier=build(transcript, [results, results]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_and_asks_nobody_for_anything(language: str) -> None:
    page = Page(render(REPORT, language))
    assert page.tags[0] == ("html", {"lang": language})
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "img", "iframe", "object", "form"}]
    targets = [attrs[name] for _, attrs in page.tags for name in ("src", "href", "xlink:href") if name in attrs]
    assert targets
    assert all(target is not None and target.startswith("#") for target in targets)
    assert not re.search(r"url\(|@import", page.style)


def test_every_link_leads_somewhere_and_no_id_is_used_twice() -> None:
    page = Page(render(REPORT))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [attrs[name] for _, attrs in page.tags for name in ("href", "aria-labelledby") if name in attrs]
    assert {str(name).removeprefix("#") for name in named} <= set(ids)


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    page = Page(render(REPORT))
    digest = b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy == POLICY
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": policy}) in page.tags
    assert not [attrs for _, attrs in page.tags if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_headings_go_down_one_step_at_a_time() -> None:
    levels = [int(tag[1]) for tag, _ in Page(render(REPORT)).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("form", ["html", "txt"])
def test_people_read_every_figure_with_its_unit_and_its_confidence(form: str) -> None:
    _, body = formats.render(REPORT, form)
    text = Page(body).text if form == "html" else " ".join(body.split())
    for said_of in (
        "151 words a minute",
        "142 words a minute",
        "−23.4 LUFS",
        "187 Hz",
        "2.7 semitones",
        "not measured",
        "confidence 93%",
        "30 November 2026, 00:53 UTC",
        "we moved the whole thing to the new cluster in one weekend",
        "had not ended",
    ):
        assert said_of in text


def test_the_page_speaks_french() -> None:
    text = Page(render(REPORT, "fr")).text
    assert "Comment candidate a parlé" in text
    assert "151 mots par minute" in text
    assert "words a minute" not in text


def test_nothing_that_comes_from_a_session_becomes_markup() -> None:
    ordinary = msgspec.json.encode(hostile()).decode().replace(msgspec.json.encode(HOSTILE).decode()[1:-1], "x")
    plain = Page(render(msgspec.json.decode(ordinary, type=Report)))
    page = Page(render(hostile()))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert HOSTILE in "".join(page.words)
    assert "1337" not in "".join(page.words)
    assert [set(attrs) for _, attrs in page.tags] == [set(attrs) for _, attrs in plain.tags]
    assert page.style == plain.style


def test_text_moves_no_cursor_and_turns_no_line() -> None:
    report = msgspec.structs.replace(
        REPORT, session_id="a\x1b[2Jb\u202ec", events=(Event(0, "delivery", "x\x07\ny", 0, 1, 1.0),)
    )
    text = render_text(report)
    assert "Session report a[2Jbc" in text
    assert "xy" in text
    assert not [character for character in text.replace("\n", "") if not character.isprintable()]


@pytest.mark.parametrize("form", ["html", "txt"])
def test_somebody_who_speaks_alone_is_not_named_over_and_over(form: str) -> None:
    transcript, analyses = earlier_interview()
    named = tuple(msgspec.structs.replace(stream, stream_id="py-38279") for stream in transcript.streams)
    _, body = formats.render(build(msgspec.structs.replace(transcript, streams=named), analyses), form)
    assert "How it was said" in body
    assert body.count("py-38279") == (1 if form == "html" else 0)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["html", "txt"])
def test_a_session_without_anything_says_so(form: str, language: str) -> None:
    empty = build(Transcript("s-1", STARTED_AT), [])
    _, body = formats.render(empty, form, language)
    expected = {"en": "Nothing has been measured", "fr": "Rien n’a encore été mesuré"}[language]
    assert expected in body


def test_a_running_session_is_said_to_be_one() -> None:
    transcript, analyses = interview()
    running = tuple(msgspec.structs.replace(stream, ended=False) for stream in transcript.streams)
    report = build(msgspec.structs.replace(transcript, streams=running), analyses)
    assert "has not ended" in render(report)
    assert "has not ended" in render_text(report)


def test_json_is_the_whole_report() -> None:
    content_type, body = formats.render(REPORT, "json", "fr")
    assert content_type == "application/json"
    assert msgspec.json.decode(body, type=Report) == REPORT


def test_other_forms_are_refused() -> None:
    with pytest.raises(KeyError):
        formats.render(REPORT, "pdf")
