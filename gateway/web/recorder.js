// The microphone as a series of container slices: the bytes of a MediaRecorder, in order, as they come.

const SLICE_MS = 250;
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

export class Recorder {
  #stream;
  #recorder;
  #tail = Promise.resolve();

  // Asks for the microphone; rejects when there is none or it is refused. `onSlice` gets ArrayBuffers.
  static async open(onSlice) {
    const self = new Recorder();
    self.#stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } });
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    self.#recorder = new MediaRecorder(self.#stream, mimeType ? { mimeType } : {});
    // Blobs are read one after the other: read at once, a later slice can overtake an earlier one.
    self.#recorder.ondataavailable = ({ data }) => {
      self.#tail = self.#tail.then(() => data.arrayBuffer()).then(onSlice);
    };
    return self;
  }

  get mimeType() { return this.#recorder.mimeType; }

  start() { this.#recorder.start(SLICE_MS); }

  // Resolves once the last slice was handed over.
  async stop() {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve, { once: true }));
      this.#recorder.stop();
      await stopped;
    }
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#tail;
  }
}
