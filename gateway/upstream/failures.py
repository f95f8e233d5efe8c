"""Upstream failures: what went wrong with one attempt, as data that retry.py evaluates."""

from __future__ import annotations

from talkup.v1 import error_pb2

from gateway.contract import traits_of
from gateway.upstream.causes import Cause

# Error codes about the client's own stream, which are passed on to the client. Other codes of a refusal concern only
# gateway and worker: a client must not believe that its token is wrong when a worker rejects the gateway's.
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


class UpstreamFailure(Exception):  # noqa: N818 - base class of the failures
    """One attempt failed.

    `code` is what the client gets if no further attempt follows. `ejects`: the endpoint stays out of use for a while.
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
    """No endpoint was serving within the time allowed."""

    code = error_pb2.ERROR_CODE_NO_WORKER
    message = "No worker can be reached."
    reason = "no_worker"


class Busy(UpstreamFailure):
    """Workers are serving, but all their slots are taken."""

    code = error_pb2.ERROR_CODE_BUSY
    message = "Every worker slot is taken."
    reason = "busy"

    def __init__(self, retry_after_ms: int | None) -> None:
        super().__init__(self.message)
        self.retry_after_ms = retry_after_ms


class ConnectDeadline(UpstreamFailure):
    """An endpoint sent no first response in time."""

    code = error_pb2.ERROR_CODE_NO_WORKER
    message = "No worker answered in time."
    reason = "connect_deadline"
    ejects = True


class WorkerStalled(UpstreamFailure):
    """A worker accepted media but returned nothing for too long."""

    message = "The worker stopped answering."
    reason = "stalled"
    ejects = True


class WorkersLost(UpstreamFailure):
    """The stream lost several workers in a row without making progress."""

    message = "Several workers failed on this stream."
    reason = "workers_lost"


class FinishDeadline(UpstreamFailure):
    """`end` was sent, but `ended` did not arrive in time."""

    code = error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
    message = "The stream's last results did not arrive in time."
    reason = "finish_deadline"


class StreamDeadline(UpstreamFailure):
    """The stream exceeded the longest duration allowed."""

    code = error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
    message = "The stream lasted too long."
    reason = "stream_deadline"


class RefusedStart(UpstreamFailure):
    """The worker rejected the request itself as invalid."""

    code = error_pb2.ERROR_CODE_BAD_MESSAGE
    message = "The worker rejected this stream."
    reason = "refused"


class InternalFailure(UpstreamFailure):
    """A bug in the gateway; its traceback is in the log."""

    code = error_pb2.ERROR_CODE_INTERNAL
    message = "Internal error."
    reason = "internal"


class WorkerError(UpstreamFailure):
    """A worker ended the stream with a retryable `error`: the stream may succeed elsewhere."""

    reason = "worker_error"

    def __init__(self, error: error_pb2.Error) -> None:
        super().__init__(error_pb2.ErrorCode.Name(error.code))
        self.error = error

    def to_error(self) -> error_pb2.Error:
        """The worker's own error, unchanged."""
        return self.error


class CallFailed(UpstreamFailure):
    """The RPC ended with a gRPC status.

    `status` is its name. `transport_reset`: the connection broke, so the status does not indicate a bug. `error` is the
    worker's own error from the trailing metadata `talkup-error-bin`. `cause`: what the status and its details show.
    """

    ejects = True

    def __init__(
        self,
        status: str,
        *,
        transport_reset: bool = False,
        error: error_pb2.Error | None = None,
        cause: Cause = Cause.FAILED,
    ) -> None:
        super().__init__(status)
        self.cause = cause
        self.error = error
        self.status = status
        self.transport_reset = transport_reset
        self.reason = status.lower()
        self.ejects = status != "RESOURCE_EXHAUSTED"

    def to_error(self) -> error_pb2.Error:
        """The worker's own error if it concerns the client's stream, else the error for the gRPC status."""
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


class CallOver(Exception):  # noqa: N818 - a state of the call; the reader reports its outcome
    """The call has ended and accepts no more requests; reading from it reports the reason."""


class MoveRequested(Exception):  # noqa: N818 - not a failure: the worker asked for it
    """The worker is draining, and now is the time to move the stream."""
