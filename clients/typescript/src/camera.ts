// Turns a video element into JPEG pictures, at the rate that the gateway suggests.

export interface CameraOptions {
  fps?: number;
  width?: number;
  quality?: number;
}

/** Calls `onPicture` with each picture and the time it was taken, in UNIX milliseconds. Browsers only. */
export class CameraSource {
  readonly #video: HTMLVideoElement;
  readonly #onPicture: (picture: ArrayBuffer, capturedAt: number) => void;
  readonly #canvas = document.createElement("canvas");
  readonly #quality: number;
  #width: number;
  #fps: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;

  constructor(
    video: HTMLVideoElement,
    onPicture: (picture: ArrayBuffer, capturedAt: number) => void,
    options: CameraOptions = {},
  ) {
    this.#video = video;
    this.#onPicture = onPicture;
    this.#fps = options.fps ?? 8;
    this.#width = options.width ?? 640;
    this.#quality = options.quality ?? 0.8;
  }

  /** The format for `stream_start`. */
  readonly format = "image/jpeg";

  /** Follows the suggestions of a `flow` message. */
  adapt(suggested: { suggested_fps?: number; suggested_size?: { width: number } }): void {
    if (suggested.suggested_fps) this.#fps = Math.min(30, Math.max(1, suggested.suggested_fps));
    if (suggested.suggested_size) this.#width = Math.max(160, suggested.suggested_size.width);
  }

  start(): void {
    this.#running = true;
    void this.#capture();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  async #capture(): Promise<void> {
    const begun = performance.now();
    const { videoWidth, videoHeight } = this.#video;
    if (videoWidth > 0 && !this.#video.paused) {
      const scale = Math.min(1, this.#width / videoWidth);
      this.#canvas.width = Math.round(videoWidth * scale);
      this.#canvas.height = Math.round(videoHeight * scale);
      const capturedAt = Date.now();
      this.#canvas.getContext("2d")?.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
      const encoded = (done: BlobCallback): void => this.#canvas.toBlob(done, "image/jpeg", this.#quality);
      const blob = await new Promise<Blob | null>(encoded);
      const picture = await blob?.arrayBuffer();
      if (this.#running && picture) this.#onPicture(picture, capturedAt);
    }
    if (!this.#running) return;
    this.#timer = setTimeout(() => void this.#capture(), Math.max(0, 1000 / this.#fps - (performance.now() - begun)));
  }
}
