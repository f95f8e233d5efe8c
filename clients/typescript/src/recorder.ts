// Records a microphone, or any MediaStream with sound, in slices of a container format, delivered in order.

import { TalkupError } from "./errors.js";

const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

export interface RecorderOptions {
  sliceMs?: number;
}

/** Calls `onSlice` with each slice. Browsers only, since it uses MediaRecorder. */
export class RecorderSource {
  readonly #recorder: MediaRecorder;
  readonly #sliceMs: number;
  #tail: Promise<void> = Promise.resolve();

  /** Throws TalkupError `unsupported_format` if the browser records no format that the gateway accepts. */
  constructor(stream: MediaStream, onSlice: (slice: ArrayBuffer) => void, options: RecorderOptions = {}) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    if (!mimeType) throw new TalkupError("unsupported_format", "this browser records no audio format that the gateway accepts");
    this.#sliceMs = options.sliceMs ?? 250;
    this.#recorder = new MediaRecorder(new MediaStream(stream.getAudioTracks()), { mimeType });
    // Read blobs one after the other: in parallel, a later slice could overtake an earlier one.
    this.#recorder.ondataavailable = ({ data }) => {
      this.#tail = this.#tail.then(async () => onSlice(await data.arrayBuffer()));
    };
  }

  /** The format for `stream_start`. */
  get format(): string {
    return this.#recorder.mimeType;
  }

  start(): void {
    this.#recorder.start(this.#sliceMs);
  }

  /** Resolves once `onSlice` has received the last slice. */
  async stop(): Promise<void> {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve, { once: true }));
      this.#recorder.stop();
      await stopped;
    }
    await this.#tail;
  }
}
