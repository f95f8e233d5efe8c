"""What was sent but lost, according to the gateway's notices and totals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talkup_client import duration
from talkup_client.events import Notice, StreamEnded
from talkup_client.media_file import MediaFile

# Formats that state their duration exactly. MP3 often has only a mean rate; WebM and MP4 may begin at any time.
_EXACT_FORMATS = frozenset({"audio/wav", "audio/flac", "audio/ogg", "audio/pcm"})
_LOSSES = frozenset({"gap", "orphan_chunk", "unsupported_format", "media_error"})
_SLACK_S = 0.5
_SLACK_RATIO = 0.02


def losses(notices: Sequence[Notice], ended: StreamEnded | None) -> list[str]:
    """A line for the user for each kind of loss that the gateway reported."""
    found = [notice.message for notice in notices if notice.code in _LOSSES]
    if ended is None:
        return found
    if missing := _count(ended.totals.get("missing_chunks")):
        found.append(f"{missing} chunks were lost on the way")
    if damaged := _count(ended.totals.get("damaged_bytes")):
        found.append(f"{damaged} bytes of the recording are damaged or missing: words or pictures may be missing there")
    dropped = ended.totals.get("dropped")
    if isinstance(dropped, dict):
        if corrupt := _count(dropped.get("corrupt")):
            found.append(f"{corrupt} pictures were damaged or refused")
        if late := _count(dropped.get("overload")) + _count(dropped.get("stale")):
            found.append(f"{late} pictures were skipped: the worker could not keep up")
    return list(dict.fromkeys(found))


def doubts(ended: StreamEnded | None) -> list[str]:
    """A line for the user about speech that became no text. It may have been no speech, so it is no loss."""
    wordless_ms = _count(ended.totals.get("speech_without_words_ms")) if ended is not None else 0
    return [f"{wordless_ms / 1000:.1f} s sound like speech but gave no words"] if wordless_ms > 0 else []


def shortfall(media: MediaFile, ended: StreamEnded | None) -> str:
    """A line about a recording that is longer than what was decoded; empty if it is not, or if nobody can tell."""
    if ended is None or media.decoder is not None or media.format.partition(";")[0] not in _EXACT_FORMATS:
        return ""
    playing_s = duration.seconds(media)
    if not playing_s or ended.media_seconds >= playing_s * (1 - _SLACK_RATIO) - _SLACK_S:
        return ""
    return f"only {ended.media_seconds:.1f} s of {playing_s:.1f} s could be decoded: the recording is damaged"


def _count(value: Any) -> int:  # noqa: ANN401 - whatever the other end wrote
    return value if isinstance(value, int) else 0
