"""What a session asks for: the table of its options, updates, and the configuration as the client reads it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.doors.openai.options import MAX_HOTWORD, MAX_HOTWORDS, MAX_PROMPT, hotwords_of, languages_of
from gateway.doors.options import Given, Option, Treatment, merged, refused, sort_options
from gateway.doors.session import new_stream_id
from gateway.doors.steps import RefusedError
from gateway.protocol.codec import start_problem
from gateway.protocol.messages import StreamStart

_S, _I, _R = Treatment.SUPPORTED, Treatment.IGNORED, Treatment.REFUSED
_FORMAT: Final = "audio.input.format"
_TRANSCRIPTION: Final = "audio.input.transcription"
_TURNS: Final = "audio.input.turn_detection"
_NOISE: Final = "audio.input.noise_reduction"
_DETECTOR: Final = "the workers' voice detector decides"
_ANSWERS: Final = "there are no responses, only transcripts"
_NULL: Final = "null"

DEFAULT_RATE: Final = 24_000
DEFAULT_SILENCE_MS: Final = 500
_MAX_LEVELS: Final = 8
_ENCODINGS: Final[Mapping[str, str]] = {"audio/pcm": "s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
_BETA_FORMATS: Final[Mapping[str, str]] = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_BETA_NAMES: Final[Mapping[str, str]] = {
    "input_audio_format": f"{_FORMAT}.type",
    "input_audio_transcription": _TRANSCRIPTION,
    "input_audio_noise_reduction": _NOISE,
    "turn_detection": _TURNS,
}

_SWITCHES: Final = (_TRANSCRIPTION, _TURNS, _NOISE)
"""Options that `null` turns off; for every other one it means the default."""
_CLEARED: Final[Mapping[str, str]] = {
    f"{_TRANSCRIPTION}.model": "model",
    f"{_TRANSCRIPTION}.language": "language",
    f"{_TRANSCRIPTION}.languages": "languages",
    f"{_TRANSCRIPTION}.prompt": "prompt",
    f"{_TRANSCRIPTION}.keywords": "keywords",
    f"{_TURNS}.silence_duration_ms": "silence_ms",
}

SESSION_OPTIONS: Final = (
    Option("type", _S, "the only kind of session", ("transcription",)),
    Option("type", _R, "only transcription sessions are supported"),
    Option(f"{_FORMAT}.type", _S, "little-endian samples of 16 bits, or G.711", tuple(_ENCODINGS)),
    Option(f"{_FORMAT}.type", _R, "must be audio/pcm, audio/pcmu or audio/pcma"),
    Option(f"{_FORMAT}.rate", _S, "8000 to 192000, default 24000; 8000 for G.711"),
    Option(f"{_TRANSCRIPTION}.model", _R, "speakers are not distinguished", ("*diarize*",)),
    Option(f"{_TRANSCRIPTION}.model", _I, "the workers' model transcribes"),
    Option(f"{_TRANSCRIPTION}.language", _S, "ISO 639-1, BCP-47 or an English name; else decided on the first seconds"),
    Option(f"{_TRANSCRIPTION}.languages", _S, "the languages to decide among, at most 10"),
    Option(f"{_TRANSCRIPTION}.prompt", _S, f"text before the sound; its last {MAX_PROMPT} characters count"),
    Option(f"{_TRANSCRIPTION}.keywords", _S, f"hot words, at most {MAX_HOTWORDS} of {MAX_HOTWORD} characters"),
    Option(f"{_TRANSCRIPTION}.delay", _I, "text comes as soon as it is certain"),
    Option(_TRANSCRIPTION, _R, "without transcription there would be no results", (_NULL,)),
    Option(_TURNS, _S, "off: only `input_audio_buffer.commit` ends an item", (_NULL,)),
    Option(f"{_TURNS}.type", _S, "items end where speech ends", ("server_vad",)),
    Option(f"{_TURNS}.type", _I, "counts as `server_vad`", ("semantic_vad",)),
    Option(f"{_TURNS}.type", _R, "must be server_vad, semantic_vad or null"),
    Option(f"{_TURNS}.silence_duration_ms", _S, "100 to 10000, default 500"),
    Option(f"{_TURNS}.threshold", _I, _DETECTOR),
    Option(f"{_TURNS}.prefix_padding_ms", _I, _DETECTOR),
    Option(f"{_TURNS}.eagerness", _I, _DETECTOR),
    Option(f"{_TURNS}.create_response", _I, _ANSWERS),
    Option(f"{_TURNS}.interrupt_response", _I, _ANSWERS),
    Option(f"{_TURNS}.idle_timeout_ms", _I, _ANSWERS),
    Option(_NOISE, _S, "always off here", (_NULL,)),
    Option(f"{_NOISE}.type", _I, "the model gets the sound as it is"),
    Option(f"{_NOISE}.strength", _I, "the model gets the sound as it is"),
    Option("include", _I, "probabilities of tokens are not known"),
)  # fmt: skip
"""The options of `session.update`, by their path; the beta's flat names are the same options."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A session's configuration. `ignored`: every option that is not followed, and why."""

    mime: str = "audio/pcm"
    rate: int = DEFAULT_RATE
    language: str = ""
    languages: Sequence[str] = ()
    prompt: str = ""
    keywords: Sequence[str] = ()
    has_turns: bool = True
    silence_ms: int = DEFAULT_SILENCE_MS
    model: str = ""
    ignored: Mapping[str, str] | None = None

    @property
    def bytes_per_ms(self) -> float:
        """Of sound."""
        return self.rate * (2 if self.mime == "audio/pcm" else 1) / 1000

    def start(self) -> StreamStart:
        """A new stream with this configuration."""
        language, languages = languages_of(self.language, self.languages)
        return StreamStart(
            stream_id=new_stream_id("realtime"),
            kind="audio",
            format=f"audio/pcm;rate={self.rate};channels=1;encoding={_ENCODINGS[self.mime]}",
            services=["stt"],
            word_timestamps=False,
            language=language,
            languages=languages,
            hotwords=list(self.keywords),
            initial_prompt=self.prompt[-MAX_PROMPT:],
            endpointing_ms=self.silence_ms if self.has_turns else None,
        )

    def needs_new_stream(self, other: Configuration) -> bool:
        """Whether sound after a change to `other` must go to a stream of its own."""
        return replace(self, model="", ignored=None) != replace(other, model="", ignored=None)

    def updated(self, session: Mapping[str, Any]) -> Configuration:
        """The configuration after an update in GA's form. Raises RefusedError, and changes nothing then."""
        return self._updated([*_flat("", session)])

    def updated_as_beta(self, session: Mapping[str, Any]) -> Configuration:
        """The same for an update in the beta's form."""
        pairs = []
        for name, value in _flat("", session):
            head, dot, rest = name.partition(".")
            known = _BETA_NAMES.get(head)
            if head == "input_audio_format":
                value = _BETA_FORMATS.get(value, value)  # noqa: PLW2901
            pairs.append((f"{known}{dot}{rest}" if known else name, value))
        return self._updated(pairs)

    def _updated(self, pairs: Sequence[tuple[str, str]]) -> Configuration:
        asked = [(name, value) for name, value in pairs if name in _SWITCHES or value not in (_NULL, "")]
        cleared = {name for name, _ in pairs} - {name for name, _ in asked}
        return self._without(cleared)._with(asked)

    def _without(self, names: Iterable[str]) -> Configuration:
        """The configuration with the defaults of these options, which the client has set to nothing or `null`."""
        usual = Configuration()
        attributes = [_CLEARED[name] for name in names if name in _CLEARED]
        return replace(self, **{attribute: getattr(usual, attribute) for attribute in attributes})

    def _with(self, pairs: Sequence[tuple[str, str]]) -> Configuration:
        given = sort_options(SESSION_OPTIONS, pairs)
        ignored = merged(self.ignored or {}, given.ignored)
        prompt = given.first(f"{_TRANSCRIPTION}.prompt", self.prompt)
        if len(prompt) > MAX_PROMPT:
            ignored[f"{_TRANSCRIPTION}.prompt"] = f"only its last {MAX_PROMPT} characters count"
        keywords = given.values.get(f"{_TRANSCRIPTION}.keywords", self.keywords)
        turns = [value for name, value in pairs if name.startswith(_TURNS)]
        changed = replace(
            self,
            language=given.first(f"{_TRANSCRIPTION}.language", self.language),
            languages=given.values.get(f"{_TRANSCRIPTION}.languages", self.languages),
            prompt=prompt,
            keywords=hotwords_of(f"{_TRANSCRIPTION}.keywords", keywords),
            has_turns=turns != [_NULL] if turns else self.has_turns,
            silence_ms=given.whole(f"{_TURNS}.silence_duration_ms", 100, 10_000) or self.silence_ms,
            model=next((value for name, value in pairs if name == f"{_TRANSCRIPTION}.model"), self.model)[:64],
            ignored=ignored,
            **_sound(given, self),
        )
        if (problem := start_problem(changed.start())) is not None:
            raise RefusedError(problem)
        return changed

    def as_session(self, session_id: str) -> dict[str, Any]:
        """The configuration as GA shows it."""
        sound = {"type": self.mime} | ({"rate": self.rate} if self.mime == "audio/pcm" else {})
        heard = {"format": sound, "transcription": self._transcription, "noise_reduction": None}
        return {
            "id": f"sess_{session_id}",
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": heard | {"turn_detection": self._turns}},
            "include": None,
            "talkup_ignored_options": self._ignored,
        }

    def as_beta_session(self, session_id: str) -> dict[str, Any]:
        """The configuration as the beta shows it."""
        return {
            "id": f"sess_{session_id}",
            "object": "realtime.transcription_session",
            "modalities": ["text", "audio"],
            "input_audio_format": next(name for name, mime in _BETA_FORMATS.items() if mime == self.mime),
            "input_audio_transcription": self._transcription,
            "input_audio_noise_reduction": None,
            "turn_detection": self._turns,
            "talkup_ignored_options": self._ignored,
        }

    @property
    def _transcription(self) -> dict[str, Any]:
        return {"model": self.model or None, "language": self.language or None, "prompt": self.prompt}

    @property
    def _turns(self) -> dict[str, Any] | None:
        return {"type": "server_vad", "silence_duration_ms": self.silence_ms} if self.has_turns else None

    @property
    def _ignored(self) -> list[dict[str, str]]:
        return [{"parameter": name, "message": why} for name, why in (self.ignored or {}).items()]


def _sound(given: Given, before: Configuration) -> dict[str, Any]:
    mime = given.first(f"{_FORMAT}.type", before.mime).lower()
    usual = DEFAULT_RATE if mime == "audio/pcm" else 8_000
    rate = given.whole(f"{_FORMAT}.rate", 8_000, 192_000) or (before.rate if mime == before.mime else usual)
    if mime != "audio/pcm" and rate != usual:
        raise refused(f"{_FORMAT}.rate", "must be 8000 for G.711")
    return {"mime": mime, "rate": rate}


def _flat(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Every value with its path; the values of a list have the same one, and an empty list is `null`.

    Raises RefusedError for too many levels.
    """
    if path.count(".") >= _MAX_LEVELS:
        raise refused(path[:64], "has too many levels")
    match value:
        case dict():
            for name, inner in value.items():
                yield from _flat(f"{path}.{name}" if path else str(name), inner)
        case list() if value:
            for inner in value:
                if isinstance(inner, list | dict):
                    raise refused(path[:64], "must be a list of simple values")
                yield from _flat(path, inner)
        case None | []:
            yield path, _NULL
        case bool():
            yield path, str(value).lower()
        case _:
            yield path, str(value)
