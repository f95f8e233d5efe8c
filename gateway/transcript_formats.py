"""Renders a stored transcript as json, txt, srt, vtt or talkup. Pure: values in, text out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from gateway.cues import Piece, cues, in_order, sentences
from gateway.layout import laid_out
from gateway.protocol.joining import join_finals
from gateway.transcript import Segment, Transcript


@dataclass(frozen=True, slots=True)
class Rendered:
    """A transcript as an HTTP body."""

    content_type: str
    body: str

    @property
    def tag(self) -> str:
        """Identifies exactly this text: an entity tag (RFC 9110 8.8.3), without its quotes."""
        return hashlib.sha256(self.body.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _pieces(transcript: Transcript) -> Iterator[Piece]:
    """Every segment on one clock: a later stream of the call is shifted to its start time."""
    if not transcript.streams:
        return
    origin = min(stream.started_at for stream in transcript.streams)
    for stream in transcript.streams:
        shift = round((stream.started_at - origin) * 1000)
        for segment in stream.segments:
            yield Piece(segment.start_ms + shift, segment.end_ms + shift, segment.text, segment.language)


def _cues(transcript: Transcript) -> list[Piece]:
    """On one clock, in lines that fit on a screen."""
    return in_order(line for cue in in_order(cues(_pieces(transcript))) for line in laid_out(cue))


def _clock(ms: int, decimal_mark: str) -> str:
    hours, rest = divmod(max(0, ms), 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, millis = divmod(rest, 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_mark}{millis:03d}"


def to_txt(transcript: Transcript) -> str:
    """One line per sentence."""
    return "".join(f"{sentence.text}\n" for sentence in sentences(_pieces(transcript)))


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, comma before the milliseconds."""
    written = []
    for number, cue in enumerate(_cues(transcript), start=1):
        text = cue.text.replace("-->", "->")
        written.append(f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(written)


def to_vtt(transcript: Transcript) -> str:
    """WebVTT (W3C): header, then cues; `&`, `<` and `>` are escaped, as its cue text requires."""
    written = ["WEBVTT\n"]
    for cue in _cues(transcript):
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        written.append(f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{text}\n")
    return "\n".join(written)


def to_json(transcript: Transcript) -> str:
    """Everything, with the joined text of each stream and of the session in addition to the segments."""
    streams = [{**msgspec.to_builtins(stream), "text": _joined(stream.segments)} for stream in transcript.streams]
    whole = _joined(segment for stream in transcript.streams for segment in stream.segments)
    body = {"session_id": transcript.session_id, "created_at": transcript.created_at, "text": whole, "streams": streams}
    return msgspec.json.encode(body).decode()


def to_talkup(transcript: Transcript) -> str:
    """The format of TalkUp's backend: `{transcripts: [{content, who_stated: "user"}]}`."""
    entries = [{"content": sentence.text, "who_stated": "user"} for sentence in sentences(_pieces(transcript))]
    return msgspec.json.encode({"transcripts": entries}).decode()


def _joined(segments: Iterable[Segment]) -> str:
    return join_finals((segment.text, segment.language) for segment in segments)


FORMATS: Mapping[str, tuple[str, Callable[[Transcript], str]]] = {
    "json": ("application/json", to_json),
    "txt": ("text/plain", to_txt),
    "srt": ("application/x-subrip", to_srt),
    "vtt": ("text/vtt", to_vtt),
    "talkup": ("application/json", to_talkup),
}


def render(transcript: Transcript, format_name: str) -> Rendered:
    """Render a transcript in one of FORMATS. Raises KeyError for any other name."""
    content_type, write = FORMATS[format_name]
    return Rendered(content_type, write(transcript))
