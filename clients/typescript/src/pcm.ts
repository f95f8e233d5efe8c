// Raw 16-bit samples of a microphone, or of any MediaStream with sound, straight from the audio thread: no encoder
// delays the captions. The AudioContext resamples to the rate that speech models use.

import { TalkupError } from "./errors.js";

// 16 kHz is the recogniser's rate. A browser that cannot resample a microphone (Firefox) sends its own rate.
const RATE = 16_000;
const SLICE_MS = 100;
// How long `stop` waits for the audio thread's last samples; a closed context never answers.
const TAIL_MS = 500;

/**
 * The part that runs in the audio thread, as the source of an AudioWorklet module. It collects `samples` samples at a
 * time, little-endian, and posts them. After any message it posts the rest, and then null. If a
 * Content-Security-Policy forbids scripts from `blob:`, serve this text as a file and pass its URL as `processorUrl`.
 */
export const PCM_PROCESSOR = `// Posts slices of 16-bit PCM from the audio thread.
registerProcessor("talkup-pcm", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { samples } }) {
    super();
    this.samples = samples;
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
      const level = Math.max(-1, Math.min(1, sample));
      this.slice.setInt16(2 * this.filled++, level * 32767, true);
      if (this.filled < this.samples) continue;
      this.postSlice(this.slice.buffer);
      this.slice = new DataView(new ArrayBuffer(2 * this.samples));
      this.filled = 0;
    }
    return !this.ended;
  }
  postSlice(buffer) {
    this.port.postMessage(buffer, [buffer]);
  }
});
`;

/** `processorUrl`: the URL at which you serve `PCM_PROCESSOR`; without it, the client loads it from a blob. */
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

  /** Whether this page has an AudioWorklet; over plain HTTP only localhost has one. */
  static get supported(): boolean {
    return typeof AudioWorkletNode !== "undefined";
  }

  /**
   * Creates a source from a stream's sound; after `start`, it calls `onSlice` with each slice. Throws TalkupError
   * `unsupported_format` if there is no sound, no AudioWorklet, or the processor cannot be loaded.
   */
  static async open(
    stream: MediaStream,
    onSlice: (slice: ArrayBuffer) => void,
    options: PcmOptions = {},
  ): Promise<PcmSource> {
    if (!PcmSource.supported) throw new TalkupError("unsupported_format", "this page has no AudioWorklet");
    const tracks = stream.getAudioTracks();
    if (tracks.length === 0) throw new TalkupError("unsupported_format", "the stream has no sound");
    const [context, microphone] = openContext(new MediaStream(tracks));
    try {
      await loadProcessor(context, options.processorUrl);
      return new PcmSource(context, microphone, onSlice, options.sliceMs ?? SLICE_MS);
    } catch {
      void context.close();
      throw new TalkupError("unsupported_format", "the audio processor cannot be loaded: pass processorUrl");
    }
  }

  /** The format for `stream_start`. */
  get format(): string {
    return `audio/pcm;rate=${this.#context.sampleRate};channels=1;encoding=s16le`;
  }

  /** Resolves once recording has begun. A context created without a user gesture waits for one. */
  async start(): Promise<void> {
    await this.#context.resume();
    this.#microphone.connect(this.#processor);
  }

  /** Resolves once `onSlice` has received the last slice. */
  async stop(): Promise<void> {
    if (this.#context.state === "closed") return;
    this.#microphone.disconnect();
    const late = new Promise<void>((resolve) => setTimeout(resolve, TAIL_MS));
    this.#processor.port.postMessage("end");
    await Promise.race([this.#ended, late]);
    await this.#context.close();
  }
}

/** A context at the recogniser's rate, or at the microphone's own rate if the browser cannot resample. */
function openContext(sound: MediaStream): [AudioContext, MediaStreamAudioSourceNode] {
  const wanted = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  try {
    return [wanted, wanted.createMediaStreamSource(sound)];
  } catch {
    void wanted.close();
    const own = new AudioContext({ latencyHint: "interactive" });
    return [own, own.createMediaStreamSource(sound)];
  }
}

async function loadProcessor(context: AudioContext, url?: string): Promise<void> {
  if (url !== undefined) return context.audioWorklet.addModule(url);
  const blob = URL.createObjectURL(new Blob([PCM_PROCESSOR], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(blob);
  } finally {
    URL.revokeObjectURL(blob);
  }
}
