"""A kept transcript and the shapes it is read in: json, txt, srt, vtt and talkup. Pure: values in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec


class Word(msgspec.Struct, frozen=True):
    """A word, its times in ms on the stream's media clock."""

    word: str
    start_ms: int
    end_ms: int
    confidence: float


class Segment(msgspec.Struct, frozen=True):
    """A final segment; times in ms on the stream's media clock, `confidence` 0 to 1, `revision` as it was sent."""

    segment_id: int
    text: str
    language: str
    confidence: float
    start_ms: int
    end_ms: int
    words: tuple[Word, ...] = ()
    revision: int = 0


class StreamTranscript(msgspec.Struct, frozen=True):
    """The finals of one media stream. `started_at` is UNIX seconds; `ended` tells whether more may come."""

    stream_id: str
    started_at: float
    ended: bool
    segments: tuple[Segment, ...] = ()


class Transcript(msgspec.Struct, frozen=True):
    """All that is kept of a session, its streams in the order in which they began."""

    session_id: str
    created_at: float
    streams: tuple[StreamTranscript, ...] = ()

    def only(self, stream_id: str) -> Transcript:
        """The same with the streams of one name only."""
        chosen = tuple(stream for stream in self.streams if stream.stream_id == stream_id)
        return Transcript(self.session_id, self.created_at, chosen)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A transcript as an HTTP body."""

    content_type: str
    body: str


def _placed(transcript: Transcript) -> Iterator[tuple[int, Segment]]:
    """Every segment with the ms to add to its times: a later stream of a call begins when it began."""
    if not transcript.streams:
        return
    origin = min(stream.started_at for stream in transcript.streams)
    for stream in transcript.streams:
        for segment in stream.segments:
            yield round((stream.started_at - origin) * 1000), segment


def _clock(ms: int, decimal_mark: str) -> str:
    hours, rest = divmod(max(0, ms), 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, millis = divmod(rest, 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_mark}{millis:03d}"


def _cue_text(text: str) -> str:
    return " ".join(text.split())


def to_txt(transcript: Transcript) -> str:
    """One line a segment."""
    return "".join(f"{_cue_text(segment.text)}\n" for _, segment in _placed(transcript))


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, comma before the milliseconds."""
    cues = []
    for number, (shift, segment) in enumerate(_placed(transcript), start=1):
        start, end = _clock(segment.start_ms + shift, ","), _clock(segment.end_ms + shift, ",")
        text = _cue_text(segment.text).replace("-->", "->")
        cues.append(f"{number}\n{start} --> {end}\n{text}\n")
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """WebVTT (W3C): header, then cues; `&`, `<` and `>` are escaped, as its cue text demands."""
    cues = ["WEBVTT\n"]
    for shift, segment in _placed(transcript):
        text = _cue_text(segment.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        start, end = _clock(segment.start_ms + shift, "."), _clock(segment.end_ms + shift, ".")
        cues.append(f"{start} --> {end}\n{text}\n")
    return "\n".join(cues)


def to_json(transcript: Transcript) -> str:
    """Everything, with the joined text of each stream and of the session beside the segments."""
    streams = [{**msgspec.to_builtins(stream), "text": _joined(stream.segments)} for stream in transcript.streams]
    whole = " ".join(str(stream["text"]) for stream in streams if stream["text"])
    body = {"session_id": transcript.session_id, "created_at": transcript.created_at, "text": whole, "streams": streams}
    return msgspec.json.encode(body).decode()


def to_talkup(transcript: Transcript) -> str:
    """What TalkUp's backend keeps: `{transcripts: [{content, who_stated: "user"}]}`."""
    entries = [{"content": segment.text.strip(), "who_stated": "user"} for _, segment in _placed(transcript)]
    return msgspec.json.encode({"transcripts": entries}).decode()


def _joined(segments: tuple[Segment, ...]) -> str:
    return " ".join(segment.text.strip() for segment in segments)


FORMATS: Mapping[str, tuple[str, Callable[[Transcript], str]]] = {
    "json": ("application/json", to_json),
    "txt": ("text/plain", to_txt),
    "srt": ("application/x-subrip", to_srt),
    "vtt": ("text/vtt", to_vtt),
    "talkup": ("application/json", to_talkup),
}


def render(transcript: Transcript, format_name: str) -> Rendered:
    """A transcript in one of FORMATS. Raises KeyError for any other name."""
    content_type, write = FORMATS[format_name]
    return Rendered(content_type, write(transcript))
