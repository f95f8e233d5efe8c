from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_BAD_JSON: _ClassVar[ErrorCode]
    ERROR_CODE_BAD_MESSAGE: _ClassVar[ErrorCode]
    ERROR_CODE_UNKNOWN_TYPE: _ClassVar[ErrorCode]
    ERROR_CODE_UNSUPPORTED_VERSION: _ClassVar[ErrorCode]
    ERROR_CODE_UNAUTHENTICATED: _ClassVar[ErrorCode]
    ERROR_CODE_PERMISSION_DENIED: _ClassVar[ErrorCode]
    ERROR_CODE_UNKNOWN_STREAM: _ClassVar[ErrorCode]
    ERROR_CODE_STREAM_EXISTS: _ClassVar[ErrorCode]
    ERROR_CODE_TOO_MANY_STREAMS: _ClassVar[ErrorCode]
    ERROR_CODE_UNSUPPORTED_FORMAT: _ClassVar[ErrorCode]
    ERROR_CODE_BAD_PAYLOAD: _ClassVar[ErrorCode]
    ERROR_CODE_PAYLOAD_TOO_LARGE: _ClassVar[ErrorCode]
    ERROR_CODE_GAP: _ClassVar[ErrorCode]
    ERROR_CODE_ORPHAN_CHUNK: _ClassVar[ErrorCode]
    ERROR_CODE_MEDIA_ERROR: _ClassVar[ErrorCode]
    ERROR_CODE_RATE_LIMITED: _ClassVar[ErrorCode]
    ERROR_CODE_MEDIA_LIMIT: _ClassVar[ErrorCode]
    ERROR_CODE_BUSY: _ClassVar[ErrorCode]
    ERROR_CODE_NO_WORKER: _ClassVar[ErrorCode]
    ERROR_CODE_WORKER_FAILED: _ClassVar[ErrorCode]
    ERROR_CODE_DEADLINE_EXCEEDED: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_EXPIRED: _ClassVar[ErrorCode]
    ERROR_CODE_SUPERSEDED: _ClassVar[ErrorCode]
    ERROR_CODE_INTERNAL: _ClassVar[ErrorCode]
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_BAD_JSON: ErrorCode
ERROR_CODE_BAD_MESSAGE: ErrorCode
ERROR_CODE_UNKNOWN_TYPE: ErrorCode
ERROR_CODE_UNSUPPORTED_VERSION: ErrorCode
ERROR_CODE_UNAUTHENTICATED: ErrorCode
ERROR_CODE_PERMISSION_DENIED: ErrorCode
ERROR_CODE_UNKNOWN_STREAM: ErrorCode
ERROR_CODE_STREAM_EXISTS: ErrorCode
ERROR_CODE_TOO_MANY_STREAMS: ErrorCode
ERROR_CODE_UNSUPPORTED_FORMAT: ErrorCode
ERROR_CODE_BAD_PAYLOAD: ErrorCode
ERROR_CODE_PAYLOAD_TOO_LARGE: ErrorCode
ERROR_CODE_GAP: ErrorCode
ERROR_CODE_ORPHAN_CHUNK: ErrorCode
ERROR_CODE_MEDIA_ERROR: ErrorCode
ERROR_CODE_RATE_LIMITED: ErrorCode
ERROR_CODE_MEDIA_LIMIT: ErrorCode
ERROR_CODE_BUSY: ErrorCode
ERROR_CODE_NO_WORKER: ErrorCode
ERROR_CODE_WORKER_FAILED: ErrorCode
ERROR_CODE_DEADLINE_EXCEEDED: ErrorCode
ERROR_CODE_SESSION_EXPIRED: ErrorCode
ERROR_CODE_SUPERSEDED: ErrorCode
ERROR_CODE_INTERNAL: ErrorCode
TRAITS_FIELD_NUMBER: _ClassVar[int]
traits: _descriptor.FieldDescriptor

class ErrorTraits(_message.Message):
    __slots__ = ("grpc_status", "close_code", "retryable", "ends_session")
    GRPC_STATUS_FIELD_NUMBER: _ClassVar[int]
    CLOSE_CODE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    ENDS_SESSION_FIELD_NUMBER: _ClassVar[int]
    grpc_status: int
    close_code: int
    retryable: bool
    ends_session: bool
    def __init__(self, grpc_status: _Optional[int] = ..., close_code: _Optional[int] = ..., retryable: _Optional[bool] = ..., ends_session: _Optional[bool] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("status_code", "message", "code", "field", "retryable", "retry_after_ms", "from_sequence", "to_sequence", "fatal", "reason")
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TO_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FATAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status_code: int
    message: str
    code: ErrorCode
    field: str
    retryable: bool
    retry_after_ms: int
    from_sequence: int
    to_sequence: int
    fatal: bool
    reason: str
    def __init__(self, status_code: _Optional[int] = ..., message: _Optional[str] = ..., code: _Optional[_Union[ErrorCode, str]] = ..., field: _Optional[str] = ..., retryable: _Optional[bool] = ..., retry_after_ms: _Optional[int] = ..., from_sequence: _Optional[int] = ..., to_sequence: _Optional[int] = ..., fatal: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...
