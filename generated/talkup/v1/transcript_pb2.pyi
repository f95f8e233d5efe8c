from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SpeechEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEECH_EVENT_TYPE_UNSPECIFIED: _ClassVar[SpeechEventType]
    SPEECH_EVENT_TYPE_SPEECH_STARTED: _ClassVar[SpeechEventType]
    SPEECH_EVENT_TYPE_SPEECH_ENDED: _ClassVar[SpeechEventType]

class SpeechMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEECH_MODE_UNSPECIFIED: _ClassVar[SpeechMode]
    SPEECH_MODE_LIVE: _ClassVar[SpeechMode]
    SPEECH_MODE_FILE: _ClassVar[SpeechMode]
SPEECH_EVENT_TYPE_UNSPECIFIED: SpeechEventType
SPEECH_EVENT_TYPE_SPEECH_STARTED: SpeechEventType
SPEECH_EVENT_TYPE_SPEECH_ENDED: SpeechEventType
SPEECH_MODE_UNSPECIFIED: SpeechMode
SPEECH_MODE_LIVE: SpeechMode
SPEECH_MODE_FILE: SpeechMode

class Word(_message.Message):
    __slots__ = ("text", "start_ms", "end_ms", "confidence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_ms: int
    end_ms: int
    confidence: float
    def __init__(self, text: _Optional[str] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class Transcript(_message.Message):
    __slots__ = ("segment_id", "revision", "is_final", "text", "stable_chars", "confidence", "language", "start_ms", "end_ms", "words")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STABLE_CHARS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    segment_id: int
    revision: int
    is_final: bool
    text: str
    stable_chars: int
    confidence: float
    language: str
    start_ms: int
    end_ms: int
    words: _containers.RepeatedCompositeFieldContainer[Word]
    def __init__(self, segment_id: _Optional[int] = ..., revision: _Optional[int] = ..., is_final: _Optional[bool] = ..., text: _Optional[str] = ..., stable_chars: _Optional[int] = ..., confidence: _Optional[float] = ..., language: _Optional[str] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ...) -> None: ...

class SpeechEvent(_message.Message):
    __slots__ = ("type", "media_time_ms")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    type: SpeechEventType
    media_time_ms: int
    def __init__(self, type: _Optional[_Union[SpeechEventType, str]] = ..., media_time_ms: _Optional[int] = ...) -> None: ...

class SpeechOptions(_message.Message):
    __slots__ = ("language", "interim_results", "word_timestamps", "hotwords", "initial_prompt", "endpointing_ms", "languages", "mode")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    WORD_TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    HOTWORDS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_PROMPT_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTING_MS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    language: str
    interim_results: bool
    word_timestamps: bool
    hotwords: _containers.RepeatedScalarFieldContainer[str]
    initial_prompt: str
    endpointing_ms: int
    languages: _containers.RepeatedScalarFieldContainer[str]
    mode: SpeechMode
    def __init__(self, language: _Optional[str] = ..., interim_results: _Optional[bool] = ..., word_timestamps: _Optional[bool] = ..., hotwords: _Optional[_Iterable[str]] = ..., initial_prompt: _Optional[str] = ..., endpointing_ms: _Optional[int] = ..., languages: _Optional[_Iterable[str]] = ..., mode: _Optional[_Union[SpeechMode, str]] = ...) -> None: ...
