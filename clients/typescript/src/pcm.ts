// The microphone (or any MediaStream with sound) as raw 16-bit samples, straight from the audio thread: no encoder
// stands between a word and its first caption. The AudioContext resamples to the rate that speech models hear.

import { TalkupError } from "./errors.js";

// 16 kHz: the rate of the recogniser; a browser that cannot resample a microphone (Firefox) sends its own rate.
const RATE = 16_000;
const SLICE_MS = 100;
// What the audio thread still holds is asked for at the end; a closed context never answers.
const TAIL_MS = 500;

/**
 * The audio thread's half, as the text of an AudioWorklet module: collects `samples` at a time, little-endian, and
 * posts them; asked by any message, it posts what is left and then null. Serve it yourself and pass `processorUrl`
 * where a Content-Security-Policy forbids scripts from `blob:`.
 */
export const PCM_PROCESSOR = `// 16-bit PCM in slices, out of the audio thread.
registerProcessor("talkup-pcm", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { samples } }) {
    super();
    this.samples = samples;
    this.slice = new DataView(new ArrayBuffer(2 * samples));
    this.filled = 0;
    this.ended = false;
    this.port.onmessage = () => {
      this.ended = true;
      if (this.filled) this.hand(this.slice.buffer.slice(0, 2 * this.filled));
      this.port.postMessage(null);
    };
  }
  process([[channel]]) {
    for (const sample of (!this.ended && channel) || []) {
      const level = Math.max(-1, Math.min(1, sample));
      this.slice.setInt16(2 * this.filled++, level * 32767, true);
      if (this.filled < this.samples) continue;
      this.hand(this.slice.buffer);
      this.slice = new DataView(new ArrayBuffer(2 * this.samples));
      this.filled = 0;
    }
    return !this.ended;
  }
  hand(buffer) {
    this.port.postMessage(buffer, [buffer]);
  }
});
`;

/** `processorUrl`: where `PCM_PROCESSOR` is served, if not from a blob. */
export interface PcmOptions {
  sliceMs?: number;
  processorUrl?: string;
}

export class PcmSource {
  readonly #context: AudioContext;
  readonly #microphone: MediaStreamAudioSourceNode;
  readonly #processor: AudioWorkletNode;
  #ended: Promise<void>;

  private constructor(
    context: AudioContext,
    microphone: MediaStreamAudioSourceNode,
    onSlice: (slice: ArrayBuffer) => void,
    sliceMs: number,
  ) {
    [this.#context, this.#microphone] = [context, microphone];
    const samples = Math.max(1, Math.round((context.sampleRate * sliceMs) / 1000));
    this.#processor = new AudioWorkletNode(context, "talkup-pcm", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { samples },
    });
    this.#ended = new Promise((resolve) => {
      this.#processor.port.onmessage = ({ data }: MessageEvent<ArrayBuffer | null>) => (data ? onSlice(data) : resolve());
    });
  }

  /** Whether this browser has an AudioWorklet (pages over plain http, other than localhost, have none). */
  static get supported(): boolean {
    return typeof AudioWorkletNode !== "undefined";
  }

  /**
   * Makes a source of a stream's sound; `onSlice` is given each slice after `start`. Throws TalkupError
   * `unsupported_format` where there is no sound, no AudioWorklet, or the processor may not be loaded.
   */
  static async open(
    stream: MediaStream,
    onSlice: (slice: ArrayBuffer) => void,
    options: PcmOptions = {},
  ): Promise<PcmSource> {
    if (!PcmSource.supported) throw new TalkupError("unsupported_format", "this browser has no AudioWorklet here");
    const tracks = stream.getAudioTracks();
    if (tracks.length === 0) throw new TalkupError("unsupported_format", "the stream has no sound");
    const [context, microphone] = listen(new MediaStream(tracks));
    try {
      await load(context, options.processorUrl);
      return new PcmSource(context, microphone, onSlice, options.sliceMs ?? SLICE_MS);
    } catch {
      void context.close();
      throw new TalkupError("unsupported_format", "the audio processor cannot be loaded: pass processorUrl");
    }
  }

  /** For `stream_start`. */
  get format(): string {
    return `audio/pcm;rate=${this.#context.sampleRate};channels=1;encoding=s16le`;
  }

  /** Resolves once sound is being taken. A context made without a click of the user's waits for one. */
  async start(): Promise<void> {
    await this.#context.resume();
    this.#microphone.connect(this.#processor);
  }

  /** Resolves once the last slice was handed over. */
  async stop(): Promise<void> {
    if (this.#context.state === "closed") return;
    this.#microphone.disconnect();
    const late = new Promise<void>((resolve) => setTimeout(resolve, TAIL_MS));
    this.#processor.port.postMessage("end");
    await Promise.race([this.#ended, late]);
    await this.#context.close();
  }
}

/** A context at the recogniser's rate, or at the microphone's own where the browser cannot join the two. */
function listen(sound: MediaStream): [AudioContext, MediaStreamAudioSourceNode] {
  const wanted = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  try {
    return [wanted, wanted.createMediaStreamSource(sound)];
  } catch {
    void wanted.close();
    const own = new AudioContext({ latencyHint: "interactive" });
    return [own, own.createMediaStreamSource(sound)];
  }
}

async function load(context: AudioContext, url?: string): Promise<void> {
  if (url !== undefined) return context.audioWorklet.addModule(url);
  const blob = URL.createObjectURL(new Blob([PCM_PROCESSOR], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(blob);
  } finally {
    URL.revokeObjectURL(blob);
  }
}
