from talkup.v1 import link_pb2 as _link_pb2
from talkup.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetDrainingRequest(_message.Message):
    __slots__ = ("draining",)
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    draining: bool
    def __init__(self, draining: _Optional[bool] = ...) -> None: ...

class SetDrainingResponse(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: int
    def __init__(self, streams: _Optional[int] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("service_type", "worker_version", "protocol_versions", "models", "languages", "formats", "slots", "draining", "link")
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    service_type: _task_pb2.ServiceType
    worker_version: str
    protocol_versions: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedCompositeFieldContainer[_task_pb2.ModelInfo]
    languages: _containers.RepeatedScalarFieldContainer[str]
    formats: _containers.RepeatedScalarFieldContainer[str]
    slots: _task_pb2.Slots
    draining: bool
    link: LinkOffer
    def __init__(self, service_type: _Optional[_Union[_task_pb2.ServiceType, str]] = ..., worker_version: _Optional[str] = ..., protocol_versions: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[_Union[_task_pb2.ModelInfo, _Mapping]]] = ..., languages: _Optional[_Iterable[str]] = ..., formats: _Optional[_Iterable[str]] = ..., slots: _Optional[_Union[_task_pb2.Slots, _Mapping]] = ..., draining: _Optional[bool] = ..., link: _Optional[_Union[LinkOffer, _Mapping]] = ...) -> None: ...

class LinkOffer(_message.Message):
    __slots__ = ("worker_id", "max_calls", "max_batch_bytes")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_CALLS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    max_calls: int
    max_batch_bytes: int
    def __init__(self, worker_id: _Optional[str] = ..., max_calls: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ...) -> None: ...
