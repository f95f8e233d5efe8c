// A session with a gateway: a connection that reconnects after a failure, and the streams that run on it.

import { delayMs } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { ERROR_CODES } from "./error-codes.js";
import { TalkupError } from "./errors.js";
import type { AuthenticatedData, ServerMessage, SessionData, StatusData } from "./messages.js";
import { TalkupStream, type StreamOptions } from "./stream.js";

/** The answer of `POST /v1/sessions`. Your server requests it, since it holds the API key. */
export interface SessionTicket {
  url: string;
  token?: string;
}

export type ConnectionState = "idle" | "connecting" | "open" | "reconnecting" | "suspended" | "closed";

export interface ClientEvents {
  state: ConnectionState;
  session: SessionData;
  message: ServerMessage;
  error: TalkupError;
}

/** The `WebSocket` of browsers and Node 22, or any class with the same interface. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocket;

/**
 * `session` gets the session's URL and token from your server. `renew` asks it for another token of this session (`POST
 * /v1/sessions/{id}/tokens`); the client calls it when the gateway says that the present one expires. Times are
 * milliseconds. `resumeMs`: how long the client tries to reconnect after the connection broke. `busyMs`: how long
 * `connect`, and each stream, waits for a busy gateway.
 */
export interface ClientOptions {
  session: () => Promise<SessionTicket>;
  renew?: (sessionId: string) => Promise<string>;
  resumeMs?: number;
  busyMs?: number;
  openMs?: number;
  heartbeatMs?: number;
  webSocket?: WebSocketConstructor;
  random?: () => number;
  now?: () => number;
}

type StatusWaiter = { resolve: (data: StatusData) => void; reject: (error: TalkupError) => void };

const SUBPROTOCOL = "talkup.v1";
const FINAL_ERRORS = new Set(Object.keys(ERROR_CODES).filter((code) => ERROR_CODES[code]?.endsSession));
// Close codes after which reconnecting cannot help: those of the errors above, and policy violation.
const FINAL_CLOSES = new Set([1008, ...[...FINAL_ERRORS].map((code) => ERROR_CODES[code]?.closeCode)]);

export class TalkupClient extends Emitter<ClientEvents> {
  readonly #options: Required<Omit<ClientOptions, "webSocket" | "renew">> & Pick<ClientOptions, "renew"> & {
    webSocket: WebSocketConstructor;
  };
  readonly #streams = new Map<string, TalkupStream>();
  #ticket: SessionTicket | undefined;
  #session: SessionData | undefined;
  #socket: WebSocket | undefined;
  #abandoned: WebSocket | undefined;
  #state: ConnectionState = "idle";
  // Whether streams may send: not until the gateway has said where each of them continues.
  #linked = false;
  #attempt = 0;
  #lostAt: number | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #heart: ReturnType<typeof setInterval> | undefined;
  #heardAt = 0;
  #askedAt = 0;
  #refusal: TalkupError | undefined;
  // Whether the gateway refused the session's own token, so that the one it was opened with is tried.
  #tokenRefused = false;
  // Whether a new token was sent and the gateway has not answered yet.
  #renewing = false;
  #renewedAfterClose = false;
  #opening: { resolve: (data: SessionData) => void; reject: (error: TalkupError) => void } | undefined;
  #statusWaiters: StatusWaiter[] = [];
  #streamNumber = 0;

  constructor(options: ClientOptions) {
    super();
    const defaults = { resumeMs: 120_000, busyMs: 30_000, openMs: 10_000, heartbeatMs: 15_000, random: Math.random, now: Date.now };
    this.#options = { ...defaults, webSocket: options.webSocket ?? globalThis.WebSocket, ...options };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The session, as in the gateway's last `session` message. */
  get session(): SessionData | undefined {
    return this.#session;
  }

  /** The token that opened this session; it also gives access to the transcript over HTTP. */
  get token(): string | undefined {
    return this.#ticket?.token;
  }

  /** Bytes in the socket that the network has not yet taken. */
  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Opens the session. Rejects with TalkupError when the gateway refuses or does not answer. */
  async connect(): Promise<SessionData> {
    if (this.#state !== "idle") throw new TalkupError("bad_state", "the client was connected before");
    // Servers that render pages may create the client without ever connecting, so the constructor does not check this.
    if (typeof this.#options.webSocket !== "function") {
      throw new TalkupError("no_websocket", "there is no WebSocket here: use Node 22 or newer, or pass one as `webSocket`");
    }
    this.#become("connecting");
    try {
      this.#ticket = await this.#options.session();
    } catch (error) {
      this.#become("closed");
      throw error;
    }
    const opened = new Promise<SessionData>((resolve, reject) => (this.#opening = { resolve, reject }));
    this.#open();
    return opened;
  }

  /** Starts a stream at once. You may send chunks before the gateway has accepted it (`stream.accepted`). */
  stream(options: StreamOptions): TalkupStream {
    if (this.#state === "closed") throw new TalkupError("bad_state", "the client is closed");
    const id = options.stream_id ?? `stream-${++this.#streamNumber}`;
    const stream = new TalkupStream(id, { busyMs: this.#options.busyMs, ...options }, {
      sendText: (message) => this.#linked && this.#sendText(message),
      sendBinary: (frame) => this.#linked && this.#send(frame),
    });
    this.#streams.set(id, stream);
    const forget = (): void => void this.#streams.delete(id);
    stream.ended.then(forget, forget);
    if (this.#state === "open") stream.open();
    return stream;
  }

  /** The status of gateway, session and services. */
  status(): Promise<StatusData> {
    if (!this.#sendText({ type: "status" })) return Promise.reject(lost("there is no connection"));
    return new Promise((resolve, reject) => this.#statusWaiters.push({ resolve, reject }));
  }

  /** Simulates a network failure until `restore`; for demonstrations and tests. */
  suspend(): void {
    if (this.#state !== "open" && this.#state !== "reconnecting") return;
    this.#lostAt ??= this.#options.now();
    this.#abandon();
    this.#become("suspended");
  }

  /** Ends what `suspend` started: reconnects at once. */
  restore(): void {
    if (this.#state !== "suspended") return;
    this.#become("reconnecting");
    this.#open();
  }

  /** Closes the session. Streams that are still open end as by `end`. */
  close(): void {
    if (this.#state === "closed") return;
    this.#abandon();
    this.#abandoned?.close(1000);
    this.#finish("the client was closed");
  }

  #open(): void {
    const { url = "", token } = this.#ticket ?? {};
    // `session_resume` carries the token of a known session, so the handshake then carries none.
    const credential = token !== undefined && !this.#session ? [`bearer.${token}`] : [];
    const address = this.#session ? withoutToken(url) : url;
    let socket: WebSocket;
    try {
      socket = new this.#options.webSocket(address, [SUBPROTOCOL, ...credential]);
    } catch {
      return this.#finish("the gateway's address is not a WebSocket URL");
    }
    this.#socket = socket;
    this.#heardAt = this.#options.now();
    this.#deadline = setTimeout(() => this.#dropped(1006), this.#options.openMs);
    socket.binaryType = "arraybuffer";
    // Close a socket that opens after the client has given up on it.
    socket.onopen = () => (socket === this.#socket ? this.#resume() : socket.close(1000));
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket || typeof data !== "string") return;
      this.#heardAt = this.#options.now();
      this.#receive(JSON.parse(data) as ServerMessage);
      if (this.#linked) clearTimeout(this.#deadline);
    };
    // A close follows. Without a listener, the `ws` package would throw the error.
    socket.onerror = () => undefined;
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#dropped(code, reason);
    };
  }

  #resume(): void {
    if (!this.#session) return;
    const streams = [...this.#streams.values()];
    this.#sendText({
      type: "session_resume",
      session_id: this.#session.session_id,
      token: (this.#tokenRefused && this.#ticket?.token) || this.#session.resume_token,
      streams: streams.map(({ id, lastSegmentId, lastDelivery }) => ({
        stream_id: id,
        last_segment_id: lastSegmentId,
        last_delivery: lastDelivery,
      })),
    });
  }

  #receive(message: ServerMessage): void {
    this.emit("message", message);
    if (message.type === "session") return this.#opened(message.data);
    if (message.type === "auth_expiring") return void this.#renew();
    if (message.type === "authenticated") return this.#renewed(message.data);
    if (message.type === "status") return this.#statusWaiters.shift()?.resolve(message.data);
    const id = "stream_id" in message ? message.stream_id : undefined;
    const stream = id === undefined ? undefined : this.#streams.get(id);
    if (stream) return stream.receive(message);
    if (message.type !== "error" || id !== undefined) return;
    const error = TalkupError.from(message.data);
    if (error.code === "unauthenticated" && this.#state === "reconnecting" && this.#canFallBack()) return this.#fallBack();
    // The gateway has refused a new token: the one before stays until it expires.
    const isOfRenewal = this.#renewing && (error.code === "unauthenticated" || error.code === "permission_denied");
    if (isOfRenewal) this.#renewing = false;
    else if (FINAL_ERRORS.has(error.code) || !this.#session) this.#refusal = error;
    this.emit("error", error);
    if (this.#refusal && this.#state === "reconnecting") this.close();
  }

  /** Gets a new token and sends it on the open socket; streams go on meanwhile. */
  async #renew(): Promise<void> {
    if (!(await this.#fetchToken())) return;
    this.#renewing = this.#sendText({ type: "auth", token: this.#ticket?.token });
  }

  /** A new token for this session, which a resumption uses too. Without one, the present token is used to its end. */
  async #fetchToken(): Promise<boolean> {
    if (!this.#options.renew || !this.#session || !this.#ticket) return false;
    try {
      const token = await this.#options.renew(this.#session.session_id);
      this.#ticket = { ...this.#ticket, token };
      return true;
    } catch (error) {
      this.emit("error", new TalkupError("unauthenticated", `no new token: ${error instanceof Error ? error.message : "failed"}`));
      return false;
    }
  }

  #renewed(data: AuthenticatedData): void {
    this.#renewing = false;
    if (this.#session) {
      this.#session = { ...this.#session, resume_token: data.resume_token, expires_at: data.resume_expires_at };
    }
  }

  /** The token has expired and the gateway has closed the socket: resumes the session with a new one. */
  async #resumeWithNewToken(reason: string): Promise<void> {
    this.#renewedAfterClose = true;
    if (!(await this.#fetchToken()) || this.#state === "closed") return this.#finish(reason);
    this.#refusal = undefined;
    this.#tokenRefused = true;
    this.#open();
  }

  #canFallBack(): boolean {
    return this.#session !== undefined && this.#ticket?.token !== undefined && !this.#tokenRefused;
  }

  /** The session's own token has expired, or the gateway signs with another secret: asks again with the first one. */
  #fallBack(): void {
    this.#tokenRefused = true;
    this.#abandon();
    this.#open();
  }

  #opened(data: SessionData): void {
    const first = !this.#session;
    // A gateway that needs no credential opens a new session before it resumes ours.
    if (this.#session && data.session_id !== this.#session.session_id) return;
    this.#session = data;
    this.#attempt = 0;
    this.#refusal = undefined;
    this.#tokenRefused = false;
    this.#renewedAfterClose = false;
    this.#lostAt = undefined;
    this.#linked = true;
    const known = new Map(data.streams.map((state) => [state.stream_id, state]));
    for (const stream of [...this.#streams.values()]) {
      if (first) stream.open();
      else stream.resumed(known.get(stream.id));
    }
    // Listeners may start and end streams, so notify them only after the existing streams have resumed.
    this.#become("open");
    this.emit("session", data);
    this.#startHeartbeat();
    this.#opening?.resolve(data);
    this.#opening = undefined;
  }

  /**
   * A socket can be dead without being closed, so the client drops it when pings remain unanswered. Timers of hidden
   * tabs and of machines that slept fire late; silence counts only after a ping.
   */
  #startHeartbeat(): void {
    clearInterval(this.#heart);
    this.#heart = setInterval(() => {
      const now = this.#options.now();
      const unanswered = this.#askedAt > this.#heardAt;
      if (unanswered && now - this.#heardAt > 2 * this.#options.heartbeatMs) return this.#dropped(1006);
      if (!unanswered) this.#askedAt = now;
      this.#sendText({ type: "ping" });
    }, this.#options.heartbeatMs);
  }

  #dropped(code: number, reason = ""): void {
    this.#abandon();
    this.#lostAt ??= this.#options.now();
    const overdue = this.#options.now() - this.#lostAt > this.#options.resumeMs;
    if (!this.#session && this.#refusal?.code === "busy") return this.#retryBusy(this.#refusal);
    this.#renewing = false;
    if (code === 4401 && this.#options.renew && this.#session && !this.#renewedAfterClose) {
      this.#become("reconnecting");
      return void this.#resumeWithNewToken(reason);
    }
    if (FINAL_CLOSES.has(code)) return this.#finish(reason || `closed by the gateway (${code})`);
    if (overdue || !this.#session) return this.#finish("the gateway cannot be reached");
    this.#become("reconnecting");
    this.#retry = setTimeout(() => this.#open(), delayMs(this.#attempt++, this.#options.random));
  }

  /** The gateway has no room for the session: tries again when it says, or with growing pauses. */
  #retryBusy(refusal: TalkupError): void {
    const waitMs = refusal.retryAfterMs ?? delayMs(2 + this.#attempt++, this.#options.random);
    const waitedMs = this.#options.now() - (this.#lostAt ?? 0);
    if (waitedMs + waitMs > this.#options.busyMs) return this.#finish(refusal.message);
    this.#refusal = undefined;
    this.#retry = setTimeout(() => this.#open(), waitMs);
  }

  /** Abandons the socket without closing it, like a broken network: a close would end the streams. */
  #abandon(): void {
    this.#abandoned = this.#socket ?? this.#abandoned;
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearInterval(this.#heart);
    this.#socket = undefined;
    this.#linked = false;
    for (const waiter of this.#statusWaiters.splice(0)) waiter.reject(lost("the connection broke"));
  }

  #finish(reason: string): void {
    const error = this.#refusal ?? lost(reason);
    this.#become("closed");
    this.#opening?.reject(error);
    this.#opening = undefined;
    for (const stream of [...this.#streams.values()]) stream.lost(error.message);
    this.#streams.clear();
  }

  #become(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #sendText(message: object): boolean {
    return this.#send(JSON.stringify({ timestamp: this.#options.now(), ...message }));
  }

  #send(frame: string | Uint8Array<ArrayBuffer>): boolean {
    // OPEN is 1 in every implementation.
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(frame);
    return true;
  }
}

function lost(reason: string): TalkupError {
  return new TalkupError("connection_lost", reason, { retryable: true });
}

function withoutToken(url: string): string {
  const address = new URL(url);
  address.searchParams.delete("token");
  return address.href;
}
