// The error class of this package.

import type { ErrorData } from "./messages.js";

interface Details {
  retryable?: boolean;
  field?: string | undefined;
  retryAfterMs?: number | undefined;
}

/**
 * `code` is one of the protocol's error codes, or `connection_lost`, `timeout`, `buffer_full`, `bad_state`,
 * `no_websocket`. `no_worker` with `retryAfterMs` on a running stream means that it waits for a worker and then continues
 * by itself; `busy` on a stream that is not `over` means that it waits for a free slot.
 */
export class TalkupError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options: Details = {}) {
    super(message);
    this.name = "TalkupError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
  }

  static from(data: ErrorData): TalkupError {
    const { code, message, retryable, field, retry_after_ms: retryAfterMs } = data;
    return new TalkupError(code, message, { retryable, field, retryAfterMs });
  }
}
