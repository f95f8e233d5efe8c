"""A stream's `SpeechOptions`, checked and turned into the recogniser's options."""

from __future__ import annotations

from collections.abc import Callable, Collection

from talkup.v1 import error_pb2, transcript_pb2

from workers.engine import EngineError
from workers.stt.decode_job import StreamOptions
from workers.stt.tuning import samples

_AUTO = "auto"
_MAX_HOTWORDS = 100
_MAX_HINT_CHARS = 2_000
_MAX_EXPECTED = 10
ENDPOINTING_MS = range(100, 10_001)
"""The same bounds as in the WebSocket protocol."""

_SAME_LANGUAGE = {"nb": "no", "jv": "jw", "fil": "tl", "iw": "he", "in": "id"}


def stream_options(
    speech: transcript_pb2.SpeechOptions,
    languages: Collection[str],
    encode_hint: Callable[[str], tuple[int, ...]],
) -> StreamOptions:
    """Options of a stream on a model that knows `languages` (ISO 639-1).

    Raises EngineError (bad_message) naming the field.
    """
    if len(speech.hotwords) > _MAX_HOTWORDS or sum(map(len, speech.hotwords)) > _MAX_HINT_CHARS:
        raise _bad("speech.hotwords", f"at most {_MAX_HOTWORDS} words of {_MAX_HINT_CHARS} characters together")
    if len(speech.initial_prompt) > _MAX_HINT_CHARS:
        raise _bad("speech.initial_prompt", f"at most {_MAX_HINT_CHARS} characters")
    endpointing = None
    if speech.HasField("endpointing_ms"):
        if speech.endpointing_ms not in ENDPOINTING_MS:
            limits = f"{ENDPOINTING_MS.start} to {ENDPOINTING_MS.stop - 1}"
            raise _bad("speech.endpointing_ms", f"{limits} milliseconds")
        endpointing = samples(speech.endpointing_ms / 1000)
    language, expected = _language(speech.language, languages), _expected(speech, languages)
    if len(expected) == 1:
        [language] = expected
    return StreamOptions(
        language=language,
        languages=expected if len(expected) > 1 else (),
        interims=speech.interim_results if speech.HasField("interim_results") else True,
        endpointing=endpointing,
        hotwords=encode_hint(", ".join(word.strip() for word in speech.hotwords if word.strip())),
        initial_prompt=encode_hint(speech.initial_prompt),
    )


def wants_word_times(speech: transcript_pb2.SpeechOptions) -> bool:
    """Whether finals carry their words; the default is yes."""
    return speech.word_timestamps if speech.HasField("word_timestamps") else True


def _expected(speech: transcript_pb2.SpeechOptions, languages: Collection[str]) -> tuple[str, ...]:
    """The languages to expect, each once."""
    if not speech.languages:
        return ()
    if len(speech.languages) > _MAX_EXPECTED:
        raise _bad("speech.languages", f"at most {_MAX_EXPECTED} languages")
    if speech.language.strip().lower() not in ("", _AUTO):
        raise _bad("speech.languages", "a list of languages needs the language auto")
    codes = [_code(tag) for tag in speech.languages]
    if not all(code in languages for code in codes):
        raise _bad("speech.languages", "this model does not know one of the languages")
    return tuple(dict.fromkeys(codes))


def _language(tag: str, languages: Collection[str]) -> str | None:
    """ISO 639-1 of a BCP-47 tag; None to detect it."""
    code = _code(tag)
    if code in ("", _AUTO):
        return next(iter(languages)) if len(languages) == 1 else None
    if code not in languages:
        raise _bad("speech.language", "this model does not know the language; name it by its code, such as en")
    return code


def _code(tag: str) -> str:
    """ISO 639-1 of a BCP-47 tag: its primary subtag decides."""
    primary = tag.strip().replace("_", "-").split("-")[0].lower()
    return _SAME_LANGUAGE.get(primary, primary)


def _bad(field: str, message: str) -> EngineError:
    return EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, message, field=field)
