from talkup.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskBatch(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[TaskEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[TaskEntry, _Mapping]]] = ...) -> None: ...

class TaskEntry(_message.Message):
    __slots__ = ("call", "open", "request", "half_close", "cancel", "credit")
    CALL_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    call: int
    open: CallOpen
    request: bytes
    half_close: CallHalfClose
    cancel: CallCancel
    credit: int
    def __init__(self, call: _Optional[int] = ..., open: _Optional[_Union[CallOpen, _Mapping]] = ..., request: _Optional[bytes] = ..., half_close: _Optional[_Union[CallHalfClose, _Mapping]] = ..., cancel: _Optional[_Union[CallCancel, _Mapping]] = ..., credit: _Optional[int] = ...) -> None: ...

class CallOpen(_message.Message):
    __slots__ = ("request", "timeout_ms", "traceparent")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    timeout_ms: int
    traceparent: str
    def __init__(self, request: _Optional[bytes] = ..., timeout_ms: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class CallHalfClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CallCancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TaskResultBatch(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[TaskResultEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[TaskResultEntry, _Mapping]]] = ...) -> None: ...

class TaskResultEntry(_message.Message):
    __slots__ = ("call", "result", "credit", "closed")
    CALL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    call: int
    result: bytes
    credit: int
    closed: CallClosed
    def __init__(self, call: _Optional[int] = ..., result: _Optional[bytes] = ..., credit: _Optional[int] = ..., closed: _Optional[_Union[CallClosed, _Mapping]] = ...) -> None: ...

class CallClosed(_message.Message):
    __slots__ = ("status_code", "error")
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    status_code: int
    error: _error_pb2.Error
    def __init__(self, status_code: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...
