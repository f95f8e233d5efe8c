// What can go wrong, in one family.

import type { ErrorData } from "./messages.js";

/** `code` is one of the protocol's error codes, or `connection_lost`, `timeout`, `buffer_full`, `bad_state`. */
export class TalkupError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  readonly field: string | undefined;

  constructor(code: string, message: string, options: { retryable?: boolean; field?: string | undefined } = {}) {
    super(message);
    this.name = "TalkupError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.field = options.field;
  }

  static from(data: ErrorData): TalkupError {
    return new TalkupError(data.code, data.message, { retryable: data.retryable, field: data.field });
  }
}
