// Generated from clients/typescript by `npm run page`.

// dist/camera.js
var CameraSource = class {
  #video;
  #onPicture;
  #canvas = document.createElement("canvas");
  #quality;
  #width;
  #fps;
  #timer;
  #running = false;
  constructor(video, onPicture, options = {}) {
    this.#video = video;
    this.#onPicture = onPicture;
    this.#fps = options.fps ?? 8;
    this.#width = options.width ?? 640;
    this.#quality = options.quality ?? 0.8;
  }
  /** The format for `stream_start`. */
  format = "image/jpeg";
  /** Follows the suggestions of a `flow` message. */
  adapt(suggested) {
    if (suggested.suggested_fps)
      this.#fps = Math.min(30, Math.max(1, suggested.suggested_fps));
    if (suggested.suggested_size)
      this.#width = Math.max(160, suggested.suggested_size.width);
  }
  start() {
    this.#running = true;
    void this.#capture();
  }
  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }
  async #capture() {
    const begun = performance.now();
    const { videoWidth, videoHeight } = this.#video;
    if (videoWidth > 0 && !this.#video.paused) {
      const scale = Math.min(1, this.#width / videoWidth);
      this.#canvas.width = Math.round(videoWidth * scale);
      this.#canvas.height = Math.round(videoHeight * scale);
      const capturedAt = Date.now();
      this.#canvas.getContext("2d")?.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
      const encoded = (done) => this.#canvas.toBlob(done, "image/jpeg", this.#quality);
      const blob = await new Promise(encoded);
      const picture = await blob?.arrayBuffer();
      if (this.#running && picture)
        this.#onPicture(picture, capturedAt);
    }
    if (!this.#running)
      return;
    this.#timer = setTimeout(() => void this.#capture(), Math.max(0, 1e3 / this.#fps - (performance.now() - begun)));
  }
};

// dist/chunks.js
var ChunkBuffer = class {
  #maxBytes;
  #kept = [];
  #bytes = 0;
  #next = 0;
  #received = -1;
  constructor(maxBytes) {
    this.#maxBytes = maxBytes;
  }
  /** Bytes kept. */
  get bytes() {
    return this.#bytes;
  }
  /** Bytes kept that the gateway has not received. */
  get unreceivedBytes() {
    return this.from(this.#received + 1).reduce((sum, { payload }) => sum + payload.length, 0);
  }
  /** The number that the next chunk gets. */
  get nextSequence() {
    return this.#next;
  }
  /** Numbers and keeps a chunk; undefined when there is no room for it. */
  append(payload, capturedAt) {
    while (this.#bytes + payload.length > this.#maxBytes && (this.#kept[0]?.sequence ?? Infinity) <= this.#received) {
      this.#forgetOldest();
    }
    if (this.#bytes + payload.length > this.#maxBytes)
      return void 0;
    const chunk = { sequence: this.#next++, payload, capturedAt };
    this.#kept.push(chunk);
    this.#bytes += payload.length;
    return chunk;
  }
  /** The gateway has everything up to `received`, and will never ask again for anything up to `committed`. */
  acknowledge(received, committed) {
    this.#received = Math.max(this.#received, received);
    while ((this.#kept[0]?.sequence ?? Infinity) <= committed)
      this.#forgetOldest();
  }
  /** The kept chunks from `sequence` on. */
  from(sequence) {
    return this.#kept.filter((chunk) => chunk.sequence >= sequence);
  }
  /** The chunks to resend to a gateway, perhaps another one, that has none from `sequence` on. */
  rewind(sequence) {
    this.#received = sequence - 1;
    return this.from(sequence);
  }
  /** Forgets all chunks. Numbering continues at `next`. */
  clear(next = this.#next) {
    this.#kept = [];
    this.#bytes = 0;
    this.#next = next;
  }
  #forgetOldest() {
    this.#bytes -= this.#kept.shift()?.payload.length ?? 0;
  }
};

// dist/backoff.js
var BASE_MS = 250;
var CAP_MS = 8e3;
function delayMs(attempt, random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
}

// dist/emitter.js
var Emitter = class {
  #listeners = /* @__PURE__ */ new Map();
  /** Adds a listener; returns a function that removes it. */
  on(name, listener) {
    const known = this.#listeners.get(name) ?? /* @__PURE__ */ new Set();
    this.#listeners.set(name, known.add(listener));
    return () => void known.delete(listener);
  }
  emit(name, value) {
    for (const listener of [...this.#listeners.get(name) ?? []])
      listener(value);
  }
};

// dist/error-codes.js
var ERROR_CODES = {
  bad_json: { closeCode: null, retryable: false, endsSession: false },
  bad_message: { closeCode: null, retryable: false, endsSession: false },
  unknown_type: { closeCode: null, retryable: false, endsSession: false },
  unsupported_version: { closeCode: null, retryable: false, endsSession: false },
  unauthenticated: { closeCode: 4401, retryable: false, endsSession: true },
  permission_denied: { closeCode: 4403, retryable: false, endsSession: true },
  unknown_stream: { closeCode: null, retryable: false, endsSession: false },
  stream_exists: { closeCode: null, retryable: false, endsSession: false },
  too_many_streams: { closeCode: null, retryable: true, endsSession: false },
  unsupported_format: { closeCode: null, retryable: false, endsSession: false },
  bad_payload: { closeCode: null, retryable: false, endsSession: false },
  payload_too_large: { closeCode: 1009, retryable: false, endsSession: false },
  gap: { closeCode: null, retryable: false, endsSession: false },
  orphan_chunk: { closeCode: null, retryable: false, endsSession: false },
  media_error: { closeCode: null, retryable: false, endsSession: false },
  rate_limited: { closeCode: 1008, retryable: true, endsSession: false },
  media_limit: { closeCode: null, retryable: false, endsSession: false },
  busy: { closeCode: 1013, retryable: true, endsSession: false },
  no_worker: { closeCode: null, retryable: true, endsSession: false },
  worker_failed: { closeCode: null, retryable: false, endsSession: false },
  deadline_exceeded: { closeCode: null, retryable: true, endsSession: false },
  session_expired: { closeCode: null, retryable: false, endsSession: true },
  superseded: { closeCode: 1e3, retryable: false, endsSession: true },
  internal: { closeCode: 1011, retryable: true, endsSession: false }
};

// dist/errors.js
var TalkupError = class _TalkupError extends Error {
  code;
  retryable;
  field;
  retryAfterMs;
  constructor(code, message, options = {}) {
    super(message);
    this.name = "TalkupError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
  }
  static from(data) {
    const { code, message, retryable, field, retry_after_ms: retryAfterMs } = data;
    return new _TalkupError(code, message, { retryable, field, retryAfterMs });
  }
};

// dist/stream.js
var KEEP_BYTES = 16 * 1024 * 1024;
var WINDOW_BYTES = 2 * 1024 * 1024;
var HEADER_BYTES = 8;
function taggedFrame(handle, sequence, payload) {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  const head = new DataView(frame.buffer);
  head.setUint8(0, 84);
  head.setUint8(1, 1);
  head.setUint16(2, handle);
  head.setUint32(4, sequence);
  frame.set(payload, HEADER_BYTES);
  return frame;
}
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768)
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}
var TalkupStream = class extends Emitter {
  id;
  /** Resolves once the gateway accepts the stream; rejects with TalkupError. */
  accepted;
  /** Resolves with the totals after the last caption; rejects when the stream is lost. */
  ended;
  #options;
  #link;
  #chunks;
  #live;
  #accept;
  #finish;
  #refuse;
  #fail;
  #flushes = /* @__PURE__ */ new Map();
  #drains = [];
  #nextFlush = 0;
  #busyMsLeft;
  #retry;
  #handle;
  #lastSegmentId = 0;
  #lastDelivery = -1;
  #ending = false;
  #over = false;
  constructor(id, options, link) {
    super();
    this.id = id;
    this.#options = options;
    this.#link = link;
    this.#live = options.live ?? false;
    this.#busyMsLeft = options.busyMs ?? 0;
    this.#chunks = new ChunkBuffer(options.keepBytes ?? KEEP_BYTES);
    this.accepted = new Promise((resolve, reject) => (this.#accept = resolve, this.#refuse = reject));
    this.ended = new Promise((resolve, reject) => (this.#finish = resolve, this.#fail = reject));
    for (const promise of [this.accepted, this.ended])
      promise.catch(() => void 0);
  }
  /** The highest final segment that has arrived. */
  get lastSegmentId() {
    return this.#lastSegmentId;
  }
  /** The highest `frame_seq` of delivery that has arrived; -1: none. */
  get lastDelivery() {
    return this.#lastDelivery;
  }
  /** Bytes, sent or waiting, that the gateway may still ask for. */
  get uncommittedBytes() {
    return this.#chunks.bytes;
  }
  /** Whether the stream is over: no more events will arrive. */
  get over() {
    return this.#over;
  }
  /**
   * Sends the next chunk; without a connection, the chunk waits in the buffer. `capturedAt` is the time of recording in
   * UNIX milliseconds. Throws TalkupError `bad_state` after `end`, and `buffer_full` if too much is uncommitted.
   */
  send(payload, capturedAt) {
    if (this.#ending || this.#over)
      throw new TalkupError("bad_state", "the stream was ended");
    const bytes = payload instanceof Uint8Array ? payload : new Uint8Array(payload);
    if (bytes.length === 0)
      return;
    if (this.#live && this.#handle === void 0)
      return;
    const chunk = this.#chunks.append(bytes, capturedAt);
    if (!chunk)
      throw new TalkupError("buffer_full", "the gateway is too far behind", { retryable: true });
    if (this.#handle !== void 0)
      this.#transmit(chunk);
    if (this.#live)
      this.#chunks.clear();
  }
  /**
   * Resolves once the gateway has received all but `maxBytes` of what was sent. Wait for it before each `send` of a
   * file, so that you send no faster than the gateway reads. Rejects when the stream is lost.
   */
  async drained(maxBytes = WINDOW_BYTES) {
    while (!this.#over && this.#chunks.unreceivedBytes > maxBytes) {
      await new Promise((resolve) => this.#drains.push(resolve));
    }
    if (this.#over)
      await this.ended;
  }
  /** Resolves once everything sent so far is final text. Rejects when the stream is lost first. */
  flush() {
    if (this.#ending || this.#over)
      return this.ended.then(() => void 0);
    const flush_id = this.#nextFlush++;
    const done = new Promise((resolve, reject) => this.#flushes.set(flush_id, { resolve, reject }));
    done.catch(() => void 0);
    if (this.#handle !== void 0)
      this.#sendFlush(flush_id);
    return done;
  }
  /** Says that no more chunks will follow; resolves with the totals after the last caption. */
  end() {
    if (!this.#ending && !this.#over) {
      this.#ending = true;
      if (this.#handle !== void 0)
        this.#sendEnd();
    }
    return this.ended;
  }
  // The client calls the following methods.
  /** Sends `stream_start`. */
  open() {
    clearTimeout(this.#retry);
    const { keepBytes: _bytes, live: _live, busyMs: _busyMs, ...start } = this.#options;
    this.#link.sendText({ ...start, type: "stream_start", stream_id: this.id, framing: "tagged" });
  }
  /** Handles a message about this stream. */
  receive(message) {
    switch (message.type) {
      case "acknowledge":
        return this.#acknowledged(message.data);
      case "transcript_update":
        return this.#transcribed(message.data);
      case "speech_event":
        return this.emit("speech", message.data);
      case "analysis_result":
        return this.#analyzed(message.data);
      case "flow":
        return this.emit("flow", message.data);
      case "stream_ended":
        return this.#conclude(message.data);
      case "error":
        return this.#failed(message.data);
      default:
        return;
    }
  }
  /** Continues over a new socket; `state` is the stream's state at the gateway, undefined if it does not know it. */
  resumed(state) {
    if (this.#over)
      return;
    if (!state)
      return this.#handle === void 0 ? this.open() : this.lost("the gateway no longer knows this stream");
    this.#handle = state.handle;
    this.#accept(state);
    if (state.state !== "open")
      return;
    if (this.#live)
      this.#chunks.clear(state.next_sequence);
    this.#resend(state.next_sequence);
  }
  /** The session is lost. */
  lost(reason) {
    if (this.#over)
      return;
    const error = new TalkupError("connection_lost", reason);
    this.#close(error);
    this.emit("error", error);
  }
  #acknowledged(data) {
    if (data.handle !== void 0 && this.#handle === void 0) {
      this.#handle = data.handle;
      this.#accept(data);
      this.#resend(data.next_sequence);
    }
    this.#chunks.acknowledge(data.received, data.committed);
    if (data.flush_id !== void 0)
      this.#flushed(data.flush_id);
    this.#checkDrains();
    this.emit("acknowledge", data);
  }
  /** Resends what the gateway has not received or not answered. */
  #resend(nextSequence) {
    for (const chunk of this.#chunks.rewind(nextSequence))
      this.#transmit(chunk);
    for (const flush_id of this.#flushes.keys())
      this.#sendFlush(flush_id);
    if (this.#ending)
      this.#sendEnd();
  }
  #flushed(flush_id) {
    this.#flushes.get(flush_id)?.resolve();
    this.#flushes.delete(flush_id);
  }
  #transcribed(data) {
    if (data.segment_id <= this.#lastSegmentId)
      return;
    if (data.is_final)
      this.#lastSegmentId = data.segment_id;
    this.emit("transcript", data);
  }
  #analyzed(data) {
    if (data.delivery) {
      if (data.frame_seq <= this.#lastDelivery)
        return;
      this.#lastDelivery = data.frame_seq;
    }
    this.emit("analysis", data);
  }
  #conclude(data) {
    if (this.#over)
      return;
    this.#over = true;
    this.#chunks.clear();
    this.#checkDrains();
    for (const flush_id of [...this.#flushes.keys()])
      this.#flushed(flush_id);
    this.#finish(data);
    this.emit("ended", data);
  }
  #failed(data) {
    const error = TalkupError.from(data);
    if (this.#handle === void 0 && !this.#retriesBusy(error))
      this.#close(error);
    this.emit("error", error);
  }
  /** Every worker slot is taken: asks again when the gateway says, while `busyMs` lasts. */
  #retriesBusy(error) {
    const waitMs = error.code === "busy" ? error.retryAfterMs : void 0;
    if (waitMs === void 0 || waitMs > this.#busyMsLeft)
      return false;
    this.#busyMsLeft -= waitMs;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.open(), waitMs);
    return true;
  }
  #checkDrains() {
    for (const check of this.#drains.splice(0))
      check();
  }
  #close(error) {
    this.#over = true;
    clearTimeout(this.#retry);
    this.#chunks.clear();
    this.#checkDrains();
    this.#refuse(error);
    this.#fail(error);
    for (const { reject } of this.#flushes.values())
      reject(error);
    this.#flushes.clear();
  }
  #transmit(chunk) {
    if (chunk.capturedAt === void 0) {
      this.#link.sendBinary(taggedFrame(this.#handle ?? 0, chunk.sequence, chunk.payload));
    } else {
      const { sequence, payload, capturedAt } = chunk;
      const data = base64(payload);
      this.#link.sendText({ type: "stream_chunk", stream_id: this.id, sequence, timestamp: capturedAt, data });
    }
  }
  #sendFlush(flush_id) {
    this.#link.sendText({ type: "stream_flush", stream_id: this.id, flush_id });
  }
  #sendEnd() {
    this.#link.sendText({ type: "stream_end", stream_id: this.id });
  }
};

// dist/client.js
var SUBPROTOCOL = "talkup.v1";
var FINAL_ERRORS = new Set(Object.keys(ERROR_CODES).filter((code) => ERROR_CODES[code]?.endsSession));
var FINAL_CLOSES = /* @__PURE__ */ new Set([1008, ...[...FINAL_ERRORS].map((code) => ERROR_CODES[code]?.closeCode)]);
var TalkupClient = class extends Emitter {
  #options;
  #streams = /* @__PURE__ */ new Map();
  #ticket;
  #session;
  #socket;
  #abandoned;
  #state = "idle";
  // Whether streams may send: not until the gateway has said where each of them continues.
  #linked = false;
  #attempt = 0;
  #lostAt;
  #retry;
  #deadline;
  #heart;
  #heardAt = 0;
  #askedAt = 0;
  #refusal;
  // Whether the gateway refused the session's own token, so that the one it was opened with is tried.
  #tokenRefused = false;
  // Whether a new token was sent and the gateway has not answered yet.
  #renewing = false;
  #renewedAfterClose = false;
  #opening;
  #statusWaiters = [];
  #streamNumber = 0;
  constructor(options) {
    super();
    const defaults = { resumeMs: 12e4, busyMs: 3e4, openMs: 1e4, heartbeatMs: 15e3, random: Math.random, now: Date.now };
    this.#options = { ...defaults, webSocket: options.webSocket ?? globalThis.WebSocket, ...options };
  }
  get state() {
    return this.#state;
  }
  /** The session, as in the gateway's last `session` message. */
  get session() {
    return this.#session;
  }
  /** The token that opened this session; it also gives access to the transcript over HTTP. */
  get token() {
    return this.#ticket?.token;
  }
  /** Bytes in the socket that the network has not yet taken. */
  get bufferedBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }
  /** Opens the session. Rejects with TalkupError when the gateway refuses or does not answer. */
  async connect() {
    if (this.#state !== "idle")
      throw new TalkupError("bad_state", "the client was connected before");
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
    const opened = new Promise((resolve, reject) => this.#opening = { resolve, reject });
    this.#open();
    return opened;
  }
  /** Starts a stream at once. You may send chunks before the gateway has accepted it (`stream.accepted`). */
  stream(options) {
    if (this.#state === "closed")
      throw new TalkupError("bad_state", "the client is closed");
    const id = options.stream_id ?? `stream-${++this.#streamNumber}`;
    const stream = new TalkupStream(id, { busyMs: this.#options.busyMs, ...options }, {
      sendText: (message) => this.#linked && this.#sendText(message),
      sendBinary: (frame) => this.#linked && this.#send(frame)
    });
    this.#streams.set(id, stream);
    const forget = () => void this.#streams.delete(id);
    stream.ended.then(forget, forget);
    if (this.#state === "open")
      stream.open();
    return stream;
  }
  /** The status of gateway, session and services. */
  status() {
    if (!this.#sendText({ type: "status" }))
      return Promise.reject(lost("there is no connection"));
    return new Promise((resolve, reject) => this.#statusWaiters.push({ resolve, reject }));
  }
  /** Simulates a network failure until `restore`; for demonstrations and tests. */
  suspend() {
    if (this.#state !== "open" && this.#state !== "reconnecting")
      return;
    this.#lostAt ??= this.#options.now();
    this.#abandon();
    this.#become("suspended");
  }
  /** Ends what `suspend` started: reconnects at once. */
  restore() {
    if (this.#state !== "suspended")
      return;
    this.#become("reconnecting");
    this.#open();
  }
  /** Closes the session. Streams that are still open end as by `end`. */
  close() {
    if (this.#state === "closed")
      return;
    this.#abandon();
    this.#abandoned?.close(1e3);
    this.#finish("the client was closed");
  }
  #open() {
    const { url = "", token } = this.#ticket ?? {};
    const credential = token !== void 0 && !this.#session ? [`bearer.${token}`] : [];
    const address = this.#session ? withoutToken(url) : url;
    let socket;
    try {
      socket = new this.#options.webSocket(address, [SUBPROTOCOL, ...credential]);
    } catch {
      return this.#finish("the gateway's address is not a WebSocket URL");
    }
    this.#socket = socket;
    this.#heardAt = this.#options.now();
    this.#deadline = setTimeout(() => this.#dropped(1006), this.#options.openMs);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket === this.#socket ? this.#resume() : socket.close(1e3);
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket || typeof data !== "string")
        return;
      this.#heardAt = this.#options.now();
      this.#receive(JSON.parse(data));
      if (this.#linked)
        clearTimeout(this.#deadline);
    };
    socket.onerror = () => void 0;
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket)
        this.#dropped(code, reason);
    };
  }
  #resume() {
    if (!this.#session)
      return;
    const streams = [...this.#streams.values()];
    this.#sendText({
      type: "session_resume",
      session_id: this.#session.session_id,
      token: this.#tokenRefused && this.#ticket?.token || this.#session.resume_token,
      streams: streams.map(({ id, lastSegmentId, lastDelivery }) => ({
        stream_id: id,
        last_segment_id: lastSegmentId,
        last_delivery: lastDelivery
      }))
    });
  }
  #receive(message) {
    this.emit("message", message);
    if (message.type === "session")
      return this.#opened(message.data);
    if (message.type === "auth_expiring")
      return void this.#renew();
    if (message.type === "authenticated")
      return this.#renewed(message.data);
    if (message.type === "status")
      return this.#statusWaiters.shift()?.resolve(message.data);
    const id = "stream_id" in message ? message.stream_id : void 0;
    const stream = id === void 0 ? void 0 : this.#streams.get(id);
    if (stream)
      return stream.receive(message);
    if (message.type !== "error" || id !== void 0)
      return;
    const error = TalkupError.from(message.data);
    if (error.code === "unauthenticated" && this.#state === "reconnecting" && this.#canFallBack())
      return this.#fallBack();
    const isOfRenewal = this.#renewing && (error.code === "unauthenticated" || error.code === "permission_denied");
    if (isOfRenewal)
      this.#renewing = false;
    else if (FINAL_ERRORS.has(error.code) || !this.#session)
      this.#refusal = error;
    this.emit("error", error);
    if (this.#refusal && this.#state === "reconnecting")
      this.close();
  }
  /** Gets a new token and sends it on the open socket; streams go on meanwhile. */
  async #renew() {
    if (!await this.#fetchToken())
      return;
    this.#renewing = this.#sendText({ type: "auth", token: this.#ticket?.token });
  }
  /** A new token for this session, which a resumption uses too. Without one, the present token is used to its end. */
  async #fetchToken() {
    if (!this.#options.renew || !this.#session || !this.#ticket)
      return false;
    try {
      const token = await this.#options.renew(this.#session.session_id);
      this.#ticket = { ...this.#ticket, token };
      return true;
    } catch (error) {
      this.emit("error", new TalkupError("unauthenticated", `no new token: ${error instanceof Error ? error.message : "failed"}`));
      return false;
    }
  }
  #renewed(data) {
    this.#renewing = false;
    if (this.#session) {
      this.#session = { ...this.#session, resume_token: data.resume_token, expires_at: data.resume_expires_at };
    }
  }
  /** The token has expired and the gateway has closed the socket: resumes the session with a new one. */
  async #resumeWithNewToken(reason) {
    this.#renewedAfterClose = true;
    if (!await this.#fetchToken() || this.#state === "closed")
      return this.#finish(reason);
    this.#refusal = void 0;
    this.#tokenRefused = true;
    this.#open();
  }
  #canFallBack() {
    return this.#session !== void 0 && this.#ticket?.token !== void 0 && !this.#tokenRefused;
  }
  /** The session's own token has expired, or the gateway signs with another secret: asks again with the first one. */
  #fallBack() {
    this.#tokenRefused = true;
    this.#abandon();
    this.#open();
  }
  #opened(data) {
    const first = !this.#session;
    if (this.#session && data.session_id !== this.#session.session_id)
      return;
    this.#session = data;
    this.#attempt = 0;
    this.#refusal = void 0;
    this.#tokenRefused = false;
    this.#renewedAfterClose = false;
    this.#lostAt = void 0;
    this.#linked = true;
    const known = new Map(data.streams.map((state) => [state.stream_id, state]));
    for (const stream of [...this.#streams.values()]) {
      if (first)
        stream.open();
      else
        stream.resumed(known.get(stream.id));
    }
    this.#become("open");
    this.emit("session", data);
    this.#startHeartbeat();
    this.#opening?.resolve(data);
    this.#opening = void 0;
  }
  /**
   * A socket can be dead without being closed, so the client drops it when pings remain unanswered. Timers of hidden
   * tabs and of machines that slept fire late; silence counts only after a ping.
   */
  #startHeartbeat() {
    clearInterval(this.#heart);
    this.#heart = setInterval(() => {
      const now = this.#options.now();
      const unanswered = this.#askedAt > this.#heardAt;
      if (unanswered && now - this.#heardAt > 2 * this.#options.heartbeatMs)
        return this.#dropped(1006);
      if (!unanswered)
        this.#askedAt = now;
      this.#sendText({ type: "ping" });
    }, this.#options.heartbeatMs);
  }
  #dropped(code, reason = "") {
    this.#abandon();
    this.#lostAt ??= this.#options.now();
    const overdue = this.#options.now() - this.#lostAt > this.#options.resumeMs;
    if (!this.#session && this.#refusal?.code === "busy")
      return this.#retryBusy(this.#refusal);
    this.#renewing = false;
    if (code === 4401 && this.#options.renew && this.#session && !this.#renewedAfterClose) {
      this.#become("reconnecting");
      return void this.#resumeWithNewToken(reason);
    }
    if (FINAL_CLOSES.has(code))
      return this.#finish(reason || `closed by the gateway (${code})`);
    if (overdue || !this.#session)
      return this.#finish("the gateway cannot be reached");
    this.#become("reconnecting");
    this.#retry = setTimeout(() => this.#open(), delayMs(this.#attempt++, this.#options.random));
  }
  /** The gateway has no room for the session: tries again when it says, or with growing pauses. */
  #retryBusy(refusal) {
    const waitMs = refusal.retryAfterMs ?? delayMs(2 + this.#attempt++, this.#options.random);
    const waitedMs = this.#options.now() - (this.#lostAt ?? 0);
    if (waitedMs + waitMs > this.#options.busyMs)
      return this.#finish(refusal.message);
    this.#refusal = void 0;
    this.#retry = setTimeout(() => this.#open(), waitMs);
  }
  /** Abandons the socket without closing it, like a broken network: a close would end the streams. */
  #abandon() {
    this.#abandoned = this.#socket ?? this.#abandoned;
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearInterval(this.#heart);
    this.#socket = void 0;
    this.#linked = false;
    for (const waiter of this.#statusWaiters.splice(0))
      waiter.reject(lost("the connection broke"));
  }
  #finish(reason) {
    const error = this.#refusal ?? lost(reason);
    this.#become("closed");
    this.#opening?.reject(error);
    this.#opening = void 0;
    for (const stream of [...this.#streams.values()])
      stream.lost(error.message);
    this.#streams.clear();
  }
  #become(state) {
    if (this.#state === state)
      return;
    this.#state = state;
    this.emit("state", state);
  }
  #sendText(message) {
    return this.#send(JSON.stringify({ timestamp: this.#options.now(), ...message }));
  }
  #send(frame) {
    if (this.#socket?.readyState !== 1)
      return false;
    this.#socket.send(frame);
    return true;
  }
};
function lost(reason) {
  return new TalkupError("connection_lost", reason, { retryable: true });
}
function withoutToken(url) {
  const address = new URL(url);
  address.searchParams.delete("token");
  return address.href;
}

// dist/pcm.js
var RATE = 16e3;
var MAX_RATE = 48e3;
var SLICE_MS = 100;
var TAIL_MS = 500;
var PCM_PROCESSOR = `// Posts slices of 16-bit PCM from the audio thread.
registerProcessor("talkup-pcm", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { samples, divisor = 1 } }) {
    super();
    this.samples = samples;
    // A windowed sinc as low-pass filter: only every divisor-th sample is kept.
    const half = divisor > 1 ? 8 * divisor : 0;
    const weight = (at) => {
      const x = (Math.PI * at) / divisor;
      return (at ? Math.sin(x) / x : 1) * (0.5 + 0.5 * Math.cos((Math.PI * at) / (half + 1)));
    };
    this.taps = Float32Array.from({ length: 2 * half + 1 }, (_, at) => weight(at - half));
    const sum = this.taps.reduce((total, tap) => total + tap, 0);
    this.taps.forEach((tap, at) => (this.taps[at] = tap / sum));
    this.recent = new Float32Array(this.taps.length);
    this.divisor = divisor;
    this.heard = 0;
    this.slice = new DataView(new ArrayBuffer(2 * samples));
    this.filled = 0;
    this.ended = false;
    this.port.onmessage = () => {
      this.ended = true;
      if (this.filled) this.postSlice(this.slice.buffer.slice(0, 2 * this.filled));
      this.port.postMessage(null);
    };
  }
  process([[channel]]) {
    for (const sample of (!this.ended && channel) || []) {
      this.recent[this.heard % this.recent.length] = sample;
      this.heard += 1;
      if (this.heard % this.divisor) continue;
      const level = Math.max(-1, Math.min(1, this.divisor > 1 ? this.filtered() : sample));
      this.slice.setInt16(2 * this.filled++, level * 32767, true);
      if (this.filled < this.samples) continue;
      this.postSlice(this.slice.buffer);
      this.slice = new DataView(new ArrayBuffer(2 * this.samples));
      this.filled = 0;
    }
    return !this.ended;
  }
  filtered() {
    const { taps, recent } = this;
    return taps.reduce((sum, tap, at) => sum + tap * recent[(this.heard + at) % taps.length], 0);
  }
  postSlice(buffer) {
    this.port.postMessage(buffer, [buffer]);
  }
});
`;
var PcmSource = class _PcmSource {
  #context;
  #microphone;
  #processor;
  #rate;
  #ended;
  constructor(context, microphone, onSlice, { sliceMs = SLICE_MS, onState }) {
    [this.#context, this.#microphone] = [context, microphone];
    const divisor = divisorOf(Math.round(context.sampleRate));
    this.#rate = Math.round(context.sampleRate) / divisor;
    const samples = Math.max(1, Math.round(this.#rate * sliceMs / 1e3));
    this.#processor = new AudioWorkletNode(context, "talkup-pcm", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { samples, divisor }
    });
    this.#ended = new Promise((resolve) => {
      this.#processor.port.onmessage = ({ data }) => data ? onSlice(data) : resolve();
    });
    context.onstatechange = () => {
      onState?.(context.state);
      if (context.state !== "running" && context.state !== "closed")
        void context.resume().catch(() => void 0);
    };
  }
  /** Whether this page has an AudioWorklet; over plain HTTP only localhost has one. */
  static get supported() {
    return typeof AudioWorkletNode !== "undefined";
  }
  /**
   * Creates a source from a stream's sound; after `start`, it calls `onSlice` with each slice. Throws TalkupError
   * `unsupported_format` if there is no sound, no AudioWorklet, or the processor cannot be loaded.
   */
  static async open(stream, onSlice, options = {}) {
    if (!_PcmSource.supported)
      throw new TalkupError("unsupported_format", "this page has no AudioWorklet");
    const tracks = stream.getAudioTracks();
    if (tracks.length === 0)
      throw new TalkupError("unsupported_format", "the stream has no sound");
    const [context, microphone] = openContext(new MediaStream(tracks));
    try {
      await loadProcessor(context, options.processorUrl);
      return new _PcmSource(context, microphone, onSlice, options);
    } catch {
      void context.close();
      throw new TalkupError("unsupported_format", "the audio processor cannot be loaded: pass processorUrl");
    }
  }
  /** The format for `stream_start`. */
  get format() {
    return `audio/pcm;rate=${this.#rate};channels=1;encoding=s16le`;
  }
  /** Whether the browser lets the sound through. */
  get state() {
    return this.#context.state;
  }
  /** Resolves once recording has begun. A context created without a user gesture waits for one: call `resume` in it. */
  async start() {
    this.#microphone.connect(this.#processor);
    await this.#context.resume();
  }
  /** Lets the sound through again. Browsers may demand that you call it in a click or a tap. */
  async resume() {
    if (this.#context.state !== "closed")
      await this.#context.resume();
  }
  /** Resolves once `onSlice` has received the last slice. */
  async stop() {
    if (this.#context.state === "closed")
      return;
    this.#microphone.disconnect();
    const late = new Promise((resolve) => setTimeout(resolve, TAIL_MS));
    this.#processor.port.postMessage("end");
    await Promise.race([this.#ended, late]);
    await this.#context.close();
  }
};
function divisorOf(rate) {
  let divisor = 1;
  while (rate / divisor > MAX_RATE || rate % divisor)
    divisor += 1;
  return divisor;
}
function openContext(sound) {
  const wanted = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  try {
    return [wanted, wanted.createMediaStreamSource(sound)];
  } catch {
    void wanted.close();
    const own = new AudioContext({ latencyHint: "interactive" });
    return [own, own.createMediaStreamSource(sound)];
  }
}
async function loadProcessor(context, url) {
  if (url !== void 0)
    return context.audioWorklet.addModule(url);
  const blob = URL.createObjectURL(new Blob([PCM_PROCESSOR], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(blob);
  } finally {
    URL.revokeObjectURL(blob);
  }
}

// dist/recorder.js
var TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
var RecorderSource = class {
  #recorder;
  #sliceMs;
  #tail = Promise.resolve();
  /** Throws TalkupError `unsupported_format` if the browser records no format that the gateway accepts. */
  constructor(stream, onSlice, options = {}) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    if (!mimeType)
      throw new TalkupError("unsupported_format", "this browser records no audio format that the gateway accepts");
    this.#sliceMs = options.sliceMs ?? 250;
    this.#recorder = new MediaRecorder(new MediaStream(stream.getAudioTracks()), { mimeType });
    this.#recorder.ondataavailable = ({ data }) => {
      this.#tail = this.#tail.then(async () => onSlice(await data.arrayBuffer()));
    };
  }
  /** The format for `stream_start`. */
  get format() {
    return this.#recorder.mimeType;
  }
  start() {
    this.#recorder.start(this.#sliceMs);
  }
  /** Resolves once `onSlice` has received the last slice. */
  async stop() {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve, { once: true }));
      this.#recorder.stop();
      await stopped;
    }
    await this.#tail;
  }
};
export {
  CameraSource,
  ChunkBuffer,
  PCM_PROCESSOR,
  PcmSource,
  RecorderSource,
  TalkupClient,
  TalkupError,
  TalkupStream,
  taggedFrame
};
