// The microphone (or any MediaStream with sound) as a series of container slices, in order, as they come.

import { TalkupError } from "./errors.js";

const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

export interface RecorderOptions {
  sliceMs?: number;
}

/** `onSlice` is given each slice; MediaRecorder exists in browsers only. */
export class RecorderSource {
  readonly #recorder: MediaRecorder;
  readonly #sliceMs: number;
  #tail: Promise<void> = Promise.resolve();

  /** Throws TalkupError `unsupported_format` where the browser records nothing that the gateway takes. */
  constructor(stream: MediaStream, onSlice: (slice: ArrayBuffer) => void, options: RecorderOptions = {}) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    if (!mimeType) throw new TalkupError("unsupported_format", "this browser records no audio that the gateway takes");
    this.#sliceMs = options.sliceMs ?? 250;
    this.#recorder = new MediaRecorder(new MediaStream(stream.getAudioTracks()), { mimeType });
    // Blobs are read one after the other: read at once, a later slice can overtake an earlier one.
    this.#recorder.ondataavailable = ({ data }) => {
      this.#tail = this.#tail.then(async () => onSlice(await data.arrayBuffer()));
    };
  }

  /** For `stream_start`. */
  get format(): string {
    return this.#recorder.mimeType;
  }

  start(): void {
    this.#recorder.start(this.#sliceMs);
  }

  /** Resolves once the last slice was handed over. */
  async stop(): Promise<void> {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve, { once: true }));
      this.#recorder.stop();
      await stopped;
    }
    await this.#tail;
  }
}
