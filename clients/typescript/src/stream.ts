// One media stream. It sends numbered chunks and keeps them until committed; captions and signals arrive as events.

import { ChunkBuffer, type Chunk } from "./chunks.js";
import { Emitter } from "./emitter.js";
import { TalkupError } from "./errors.js";
import type {
  AcknowledgeData,
  AnalysisData,
  ErrorData,
  FlowData,
  ServerMessage,
  SpeechEventData,
  StreamEndedData,
  StreamStart,
  StreamState,
  TranscriptData,
} from "./messages.js";

/**
 * `keepBytes` bounds the memory for uncommitted chunks. A `live` stream never resends what the gateway missed.
 * `busyMs`: how long to wait for a free worker slot, in milliseconds.
 */
export interface StreamOptions extends Omit<StreamStart, "type" | "timestamp" | "framing"> {
  keepBytes?: number;
  live?: boolean;
  busyMs?: number;
}

export interface StreamEvents {
  transcript: TranscriptData;
  speech: SpeechEventData;
  analysis: AnalysisData;
  flow: FlowData;
  acknowledge: AcknowledgeData;
  ended: StreamEndedData;
  error: TalkupError;
}

/** `handle` names the stream in binary frames. */
export type Acceptance = Pick<StreamState, "next_sequence" | "stream_id"> & { handle?: number };

/** Sends over the socket. Both methods return whether the client is connected. */
export interface Link {
  sendText(message: object): boolean;
  sendBinary(frame: Uint8Array<ArrayBuffer>): boolean;
}

const KEEP_BYTES = 16 * 1024 * 1024;
const WINDOW_BYTES = 2 * 1024 * 1024;
const HEADER_BYTES = 8;

/** A binary frame: eight bytes with the stream's handle and the sequence, then the payload. */
export function taggedFrame(handle: number, sequence: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  const head = new DataView(frame.buffer);
  head.setUint8(0, 0x54);
  head.setUint8(1, 0x01);
  head.setUint16(2, handle);
  head.setUint32(4, sequence);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

export class TalkupStream extends Emitter<StreamEvents> {
  readonly id: string;
  /** Resolves once the gateway accepts the stream; rejects with TalkupError. */
  readonly accepted: Promise<Acceptance>;
  /** Resolves with the totals after the last caption; rejects when the stream is lost. */
  readonly ended: Promise<StreamEndedData>;
  readonly #options: StreamOptions;
  readonly #link: Link;
  readonly #chunks: ChunkBuffer;
  readonly #live: boolean;
  #accept!: (data: Acceptance) => void;
  #finish!: (data: StreamEndedData) => void;
  #refuse!: (error: TalkupError) => void;
  #fail!: (error: TalkupError) => void;
  readonly #flushes = new Map<number, { resolve: () => void; reject: (error: TalkupError) => void }>();
  #drains: (() => void)[] = [];
  #nextFlush = 0;
  #busyMsLeft: number;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #handle: number | undefined;
  #lastSegmentId = 0;
  #lastDelivery = -1;
  #ending = false;
  #over = false;

  constructor(id: string, options: StreamOptions, link: Link) {
    super();
    this.id = id;
    this.#options = options;
    this.#link = link;
    this.#live = options.live ?? false;
    this.#busyMsLeft = options.busyMs ?? 0;
    this.#chunks = new ChunkBuffer(options.keepBytes ?? KEEP_BYTES);
    this.accepted = new Promise((resolve, reject) => ((this.#accept = resolve), (this.#refuse = reject)));
    this.ended = new Promise((resolve, reject) => ((this.#finish = resolve), (this.#fail = reject)));
    for (const promise of [this.accepted, this.ended]) promise.catch(() => undefined);
  }

  /** The highest final segment that has arrived. */
  get lastSegmentId(): number {
    return this.#lastSegmentId;
  }

  /** The highest `frame_seq` of delivery that has arrived; -1: none. */
  get lastDelivery(): number {
    return this.#lastDelivery;
  }

  /** Bytes, sent or waiting, that the gateway may still ask for. */
  get uncommittedBytes(): number {
    return this.#chunks.bytes;
  }

  /** Whether the stream is over: no more events will arrive. */
  get over(): boolean {
    return this.#over;
  }

  /**
   * Sends the next chunk; without a connection, the chunk waits in the buffer. `capturedAt` is the time of recording in
   * UNIX milliseconds. Throws TalkupError `bad_state` after `end`, and `buffer_full` if too much is uncommitted.
   */
  send(payload: Uint8Array | ArrayBuffer, capturedAt?: number): void {
    if (this.#ending || this.#over) throw new TalkupError("bad_state", "the stream was ended");
    const bytes = payload instanceof Uint8Array ? payload : new Uint8Array(payload);
    if (bytes.length === 0) return;
    if (this.#live && this.#handle === undefined) return;
    const chunk = this.#chunks.append(bytes, capturedAt);
    if (!chunk) throw new TalkupError("buffer_full", "the gateway is too far behind", { retryable: true });
    if (this.#handle !== undefined) this.#transmit(chunk);
    if (this.#live) this.#chunks.clear();
  }

  /**
   * Resolves once the gateway has received all but `maxBytes` of what was sent. Wait for it before each `send` of a
   * file, so that you send no faster than the gateway reads. Rejects when the stream is lost.
   */
  async drained(maxBytes = WINDOW_BYTES): Promise<void> {
    while (!this.#over && this.#chunks.unreceivedBytes > maxBytes) {
      await new Promise<void>((resolve) => this.#drains.push(resolve));
    }
    if (this.#over) await this.ended;
  }

  /** Resolves once everything sent so far is final text. Rejects when the stream is lost first. */
  flush(): Promise<void> {
    if (this.#ending || this.#over) return this.ended.then(() => undefined);
    const flush_id = this.#nextFlush++;
    const done = new Promise<void>((resolve, reject) => this.#flushes.set(flush_id, { resolve, reject }));
    done.catch(() => undefined);
    if (this.#handle !== undefined) this.#sendFlush(flush_id);
    return done;
  }

  /** Says that no more chunks will follow; resolves with the totals after the last caption. */
  end(): Promise<StreamEndedData> {
    if (!this.#ending && !this.#over) {
      this.#ending = true;
      if (this.#handle !== undefined) this.#sendEnd();
    }
    return this.ended;
  }

  // The client calls the following methods.

  /** Sends `stream_start`. */
  open(): void {
    clearTimeout(this.#retry);
    const { keepBytes: _bytes, live: _live, busyMs: _busyMs, ...start } = this.#options;
    this.#link.sendText({ ...start, type: "stream_start", stream_id: this.id, framing: "tagged" });
  }

  /** Handles a message about this stream. */
  receive(message: ServerMessage): void {
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
  resumed(state: StreamState | undefined): void {
    if (this.#over) return;
    if (!state) return this.#handle === undefined ? this.open() : this.lost("the gateway no longer knows this stream");
    this.#handle = state.handle;
    this.#accept(state);
    if (state.state !== "open") return;
    if (this.#live) this.#chunks.clear(state.next_sequence);
    this.#resend(state.next_sequence);
  }

  /** The session is lost. */
  lost(reason: string): void {
    if (this.#over) return;
    const error = new TalkupError("connection_lost", reason);
    this.#close(error);
    this.emit("error", error);
  }

  #acknowledged(data: AcknowledgeData): void {
    if (data.handle !== undefined && this.#handle === undefined) {
      this.#handle = data.handle;
      this.#accept(data);
      this.#resend(data.next_sequence);
    }
    this.#chunks.acknowledge(data.received, data.committed);
    if (data.flush_id !== undefined) this.#flushed(data.flush_id);
    this.#checkDrains();
    this.emit("acknowledge", data);
  }

  /** Resends what the gateway has not received or not answered. */
  #resend(nextSequence: number): void {
    for (const chunk of this.#chunks.rewind(nextSequence)) this.#transmit(chunk);
    for (const flush_id of this.#flushes.keys()) this.#sendFlush(flush_id);
    if (this.#ending) this.#sendEnd();
  }

  #flushed(flush_id: number): void {
    this.#flushes.get(flush_id)?.resolve();
    this.#flushes.delete(flush_id);
  }

  #transcribed(data: TranscriptData): void {
    if (data.segment_id <= this.#lastSegmentId) return;
    if (data.is_final) this.#lastSegmentId = data.segment_id;
    this.emit("transcript", data);
  }

  #analyzed(data: AnalysisData): void {
    if (data.delivery) {
      if (data.frame_seq <= this.#lastDelivery) return;
      this.#lastDelivery = data.frame_seq;
    }
    this.emit("analysis", data);
  }

  #conclude(data: StreamEndedData): void {
    if (this.#over) return;
    this.#over = true;
    this.#chunks.clear();
    this.#checkDrains();
    for (const flush_id of [...this.#flushes.keys()]) this.#flushed(flush_id);
    this.#finish(data);
    this.emit("ended", data);
  }

  #failed(data: ErrorData): void {
    const error = TalkupError.from(data);
    if (this.#handle === undefined && !this.#retriesBusy(error)) this.#close(error);
    this.emit("error", error);
  }

  /** Every worker slot is taken: asks again when the gateway says, while `busyMs` lasts. */
  #retriesBusy(error: TalkupError): boolean {
    const waitMs = error.code === "busy" ? error.retryAfterMs : undefined;
    if (waitMs === undefined || waitMs > this.#busyMsLeft) return false;
    this.#busyMsLeft -= waitMs;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.open(), waitMs);
    return true;
  }

  #checkDrains(): void {
    for (const check of this.#drains.splice(0)) check();
  }

  #close(error: TalkupError): void {
    this.#over = true;
    clearTimeout(this.#retry);
    this.#chunks.clear();
    this.#checkDrains();
    this.#refuse(error);
    this.#fail(error);
    for (const { reject } of this.#flushes.values()) reject(error);
    this.#flushes.clear();
  }

  #transmit(chunk: Chunk): void {
    if (chunk.capturedAt === undefined) {
      this.#link.sendBinary(taggedFrame(this.#handle ?? 0, chunk.sequence, chunk.payload));
    } else {
      const { sequence, payload, capturedAt } = chunk;
      const data = base64(payload);
      this.#link.sendText({ type: "stream_chunk", stream_id: this.id, sequence, timestamp: capturedAt, data });
    }
  }

  #sendFlush(flush_id: number): void {
    this.#link.sendText({ type: "stream_flush", stream_id: this.id, flush_id });
  }

  #sendEnd(): void {
    this.#link.sendText({ type: "stream_end", stream_id: this.id });
  }
}
