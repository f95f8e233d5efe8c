// What went wrong, as a sentence for people with its cause, and what they can do about it.

const RETRY = "Try again";

// Names of the errors of getUserMedia, for a device ("microphone" or "camera").
const DEVICE_PROBLEMS = {
  NotAllowedError: (device) => `The browser does not let this page use the ${device}: allow it in the address bar.`,
  NotFoundError: (device) => `No ${device} found.`,
  NotReadableError: (device) => `Another program uses the ${device}.`,
  AbortError: (device) => `The ${device} could not be started.`,
  OverconstrainedError: (device) => `The chosen ${device} is not connected.`,
  InsecureError: (device) => `Browsers give the ${device} only to pages over https or on localhost.`,
};

const seconds = (ms) => Math.max(1, Math.ceil(ms / 1000));

// By the code of a TalkupError.
const GATEWAY_PROBLEMS = {
  unauthenticated: () => ["The gateway does not accept this API key.", "Enter the API key"],
  permission_denied: () => ["This API key may not open sessions here.", "Enter the API key"],
  rate_limited: ({ retryAfterMs = 60_000 }) => [`Too many attempts: wait ${seconds(retryAfterMs)} s.`, RETRY],
  busy: () => ["Every worker is busy with other streams.", RETRY],
  no_worker: () => ["No speech worker is running: start one.", RETRY],
  unreachable: () => ["The gateway does not answer: is it running?", RETRY],
  connection_lost: () => ["The connection to the gateway was lost and could not be restored.", RETRY],
  session_expired: () => ["The session is over, because it was unused for too long.", RETRY],
  superseded: () => ["Another window continued this session.", RETRY],
  media_error: ({ message }) => [`The recording cannot be read: ${message}.`, RETRY],
};

export function sentence(text) {
  const whole = text.trim().replace(/[.\s]+$/, "");
  return `${whole.charAt(0).toUpperCase()}${whole.slice(1)}.`;
}

export class DeviceError extends Error {
  constructor(device, { name, message }) {
    super(DEVICE_PROBLEMS[name]?.(device) ?? sentence(message));
    this.device = device;
  }
}

// The sentence, and the label of its button.
export function explain(error) {
  const [text, action] = GATEWAY_PROBLEMS[error.code]?.(error) ?? [error.message, RETRY];
  return { text: sentence(text), action };
}

// Which part of a recording could not be decoded, by the totals of its stream; empty if all of it could.
export function damageOf({ media_seconds: seconds, damaged_bytes: damaged }) {
  if (!seconds) return "Nothing in the recording could be decoded: it is empty or damaged.";
  return damaged > 0 ? `The recording is damaged or breaks off (${damaged} bytes): words may be missing.` : "";
}
