from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MediaKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEDIA_KIND_UNSPECIFIED: _ClassVar[MediaKind]
    MEDIA_KIND_AUDIO: _ClassVar[MediaKind]
    MEDIA_KIND_VIDEO: _ClassVar[MediaKind]
    MEDIA_KIND_IMAGE: _ClassVar[MediaKind]

class Container(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTAINER_UNSPECIFIED: _ClassVar[Container]
    CONTAINER_SNIFF: _ClassVar[Container]
    CONTAINER_WEBM: _ClassVar[Container]
    CONTAINER_OGG: _ClassVar[Container]
    CONTAINER_MP4: _ClassVar[Container]
    CONTAINER_MP3: _ClassVar[Container]
    CONTAINER_FLAC: _ClassVar[Container]
    CONTAINER_WAV: _ClassVar[Container]
    CONTAINER_PCM: _ClassVar[Container]
    CONTAINER_OPUS_PACKETS: _ClassVar[Container]
    CONTAINER_JPEG: _ClassVar[Container]
    CONTAINER_WEBP: _ClassVar[Container]
    CONTAINER_ADTS: _ClassVar[Container]
    CONTAINER_AIFF: _ClassVar[Container]
    CONTAINER_AU: _ClassVar[Container]
    CONTAINER_CAF: _ClassVar[Container]
    CONTAINER_AMR: _ClassVar[Container]
    CONTAINER_PNG: _ClassVar[Container]

class PcmEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PCM_ENCODING_UNSPECIFIED: _ClassVar[PcmEncoding]
    PCM_ENCODING_S16LE: _ClassVar[PcmEncoding]
    PCM_ENCODING_F32LE: _ClassVar[PcmEncoding]
    PCM_ENCODING_MULAW: _ClassVar[PcmEncoding]
    PCM_ENCODING_ALAW: _ClassVar[PcmEncoding]
    PCM_ENCODING_S16BE: _ClassVar[PcmEncoding]
MEDIA_KIND_UNSPECIFIED: MediaKind
MEDIA_KIND_AUDIO: MediaKind
MEDIA_KIND_VIDEO: MediaKind
MEDIA_KIND_IMAGE: MediaKind
CONTAINER_UNSPECIFIED: Container
CONTAINER_SNIFF: Container
CONTAINER_WEBM: Container
CONTAINER_OGG: Container
CONTAINER_MP4: Container
CONTAINER_MP3: Container
CONTAINER_FLAC: Container
CONTAINER_WAV: Container
CONTAINER_PCM: Container
CONTAINER_OPUS_PACKETS: Container
CONTAINER_JPEG: Container
CONTAINER_WEBP: Container
CONTAINER_ADTS: Container
CONTAINER_AIFF: Container
CONTAINER_AU: Container
CONTAINER_CAF: Container
CONTAINER_AMR: Container
CONTAINER_PNG: Container
PCM_ENCODING_UNSPECIFIED: PcmEncoding
PCM_ENCODING_S16LE: PcmEncoding
PCM_ENCODING_F32LE: PcmEncoding
PCM_ENCODING_MULAW: PcmEncoding
PCM_ENCODING_ALAW: PcmEncoding
PCM_ENCODING_S16BE: PcmEncoding

class MediaFormat(_message.Message):
    __slots__ = ("mime_type", "container", "pcm_encoding", "sample_rate", "channels")
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    PCM_ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    mime_type: str
    container: Container
    pcm_encoding: PcmEncoding
    sample_rate: int
    channels: int
    def __init__(self, mime_type: _Optional[str] = ..., container: _Optional[_Union[Container, str]] = ..., pcm_encoding: _Optional[_Union[PcmEncoding, str]] = ..., sample_rate: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("sequence", "payload", "capture_time_unix_ms", "new_recording", "missing_before", "received_unix_ms")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    NEW_RECORDING_FIELD_NUMBER: _ClassVar[int]
    MISSING_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    payload: bytes
    capture_time_unix_ms: int
    new_recording: bool
    missing_before: int
    received_unix_ms: int
    def __init__(self, sequence: _Optional[int] = ..., payload: _Optional[bytes] = ..., capture_time_unix_ms: _Optional[int] = ..., new_recording: _Optional[bool] = ..., missing_before: _Optional[int] = ..., received_unix_ms: _Optional[int] = ...) -> None: ...
