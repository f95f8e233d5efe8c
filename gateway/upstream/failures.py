"""The family of upstream failures: what went wrong with one try, as data that retry.py judges."""

from __future__ import annotations

from talkup.v1 import error_pb2

from gateway.contract import traits_of

# What a worker may say about the client's own stream. Anything else of a refusal concerns gateway and worker only: a
# worker that does not accept the gateway's token must not look as if the client's were wrong.
_FOR_THE_CLIENT = frozenset(
    {
        error_pb2.ERROR_CODE_BAD_MESSAGE,
        error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT,
        error_pb2.ERROR_CODE_BAD_PAYLOAD,
        error_pb2.ERROR_CODE_PAYLOAD_TOO_LARGE,
        error_pb2.ERROR_CODE_MEDIA_ERROR,
        error_pb2.ERROR_CODE_MEDIA_LIMIT,
        error_pb2.ERROR_CODE_RATE_LIMITED,
        error_pb2.ERROR_CODE_BUSY,
    }
)


class UpstreamFailure(Exception):  # noqa: N818 - the family of failures
    """One try came to nothing.

    `code` is what the client gets if there is no further attempt; `ejects`: streams avoid the endpoint for a while;
    `reason` is a short fixed word for logs and metrics.
    """

    code: error_pb2.ErrorCode = error_pb2.ERROR_CODE_WORKER_FAILED
    message = "The worker failed."
    reason = "failed"
    ejects = False
    retry_after_ms: int | None = None

    def to_error(self) -> error_pb2.Error:
        """The fatal `error` result that ends the stream."""
        traits = traits_of(self.code)
        return error_pb2.Error(
            status_code=traits.grpc_status,
            message=self.message,
            code=self.code,
            retryable=traits.retryable,
            retry_after_ms=self.retry_after_ms,
            fatal=True,
        )


class NoWorker(UpstreamFailure):
    """No endpoint served within the time allowed."""

    code = error_pb2.ERROR_CODE_NO_WORKER
    message = "No worker can be reached."
    reason = "no_worker"


class Busy(UpstreamFailure):
    """Workers serve, and every slot of theirs is taken."""

    code = error_pb2.ERROR_CODE_BUSY
    message = "Every worker slot is taken."
    reason = "busy"

    def __init__(self, retry_after_ms: int | None) -> None:
        super().__init__(self.message)
        self.retry_after_ms = retry_after_ms


class ConnectDeadline(UpstreamFailure):
    """An endpoint gave no first response in time."""

    code = error_pb2.ERROR_CODE_NO_WORKER
    message = "No worker answered in time."
    reason = "connect_deadline"
    ejects = True


class WorkerStalled(UpstreamFailure):
    """A worker took media and gave nothing back for too long."""

    message = "The worker stopped answering."
    reason = "stalled"
    ejects = True


class WorkersLost(UpstreamFailure):
    """One worker after another was lost on this stream, without progress."""

    message = "Workers failed on this stream."
    reason = "workers_lost"


class FinishDeadline(UpstreamFailure):
    """`end` was sent and `ended` did not come in time."""

    code = error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
    message = "The stream's last results did not come in time."
    reason = "finish_deadline"


class StreamDeadline(UpstreamFailure):
    """The stream lasted longer than any stream may."""

    code = error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
    message = "The stream lasted too long."
    reason = "stream_deadline"


class RefusedStart(UpstreamFailure):
    """The worker calls the request itself invalid."""

    code = error_pb2.ERROR_CODE_BAD_MESSAGE
    message = "The worker does not accept this stream."
    reason = "refused"


class InternalFailure(UpstreamFailure):
    """A defect on this side; its traceback is in the log."""

    code = error_pb2.ERROR_CODE_INTERNAL
    message = "Internal error."
    reason = "internal"


class WorkerError(UpstreamFailure):
    """A worker ended the stream with an `error` that says it may succeed elsewhere."""

    reason = "worker_error"

    def __init__(self, error: error_pb2.Error) -> None:
        super().__init__(error_pb2.ErrorCode.Name(error.code))
        self.error = error

    def to_error(self) -> error_pb2.Error:
        """The worker's own error, passed on as it is."""
        return self.error


class CallFailed(UpstreamFailure):
    """The RPC ended with a gRPC status.

    `status` is its name; `transport_reset` tells a torn connection from a bug; `error` is what the worker said beside
    it (trailing metadata `talkup-error-bin`).
    """

    ejects = True

    def __init__(self, status: str, *, transport_reset: bool = False, error: error_pb2.Error | None = None) -> None:
        super().__init__(status)
        self.error = error
        self.status = status
        self.transport_reset = transport_reset
        self.reason = status.lower()
        self.ejects = status != "RESOURCE_EXHAUSTED"

    def to_error(self) -> error_pb2.Error:
        """The worker's own words where they are for the client, else the status in words of the closed list."""
        if self.error is not None and self.error.code in _FOR_THE_CLIENT:
            self.error.fatal = True
            return self.error
        match self.status:
            case "UNAVAILABLE":
                return NoWorker().to_error()
            case "DEADLINE_EXCEEDED":
                return StreamDeadline().to_error()
            case "RESOURCE_EXHAUSTED":
                return Busy(self.retry_after_ms).to_error()
            case "INVALID_ARGUMENT":
                return RefusedStart().to_error()
            case _:
                return super().to_error()


class CallOver(Exception):  # noqa: N818 - a state of the call, whose outcome the reader tells
    """Nothing can be written any more: the call has ended, for a reason that reading tells."""


class MoveRequested(Exception):  # noqa: N818 - no failure: the worker asked for it
    """The worker is draining and the stream is at a good place to move."""
