// Raw 16-bit samples of a microphone, or of any MediaStream with sound, straight from the audio thread: no encoder
// delays the captions. The AudioContext resamples to the rate that speech models use.

import { TalkupError } from "./errors.js";

// 16 kHz is the recogniser's rate. A browser that cannot resample a microphone (Firefox) sends its own rate, which the
// processor divides until it is no higher than 48 kHz: sound cards record at up to 192 kHz.
const RATE = 16_000;
const MAX_RATE = 48_000;
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

/** "suspended" and "interrupted": the browser or the phone holds the sound back, so nothing is sent. */
export type PcmState = AudioContextState | "interrupted";

/**
 * `processorUrl`: the URL at which you serve `PCM_PROCESSOR`; without it, the client loads it from a blob. `onState`
 * receives each new state.
 */
export interface PcmOptions {
  sliceMs?: number;
  onState?: (state: PcmState) => void;
  processorUrl?: string;
}

export class PcmSource {
  readonly #context: AudioContext;
  readonly #microphone: MediaStreamAudioSourceNode;
  readonly #processor: AudioWorkletNode;
  readonly #rate: number;
  #ended: Promise<void>;

  private constructor(
    context: AudioContext,
    microphone: MediaStreamAudioSourceNode,
    onSlice: (slice: ArrayBuffer) => void,
    { sliceMs = SLICE_MS, onState }: PcmOptions,
  ) {
    [this.#context, this.#microphone] = [context, microphone];
    const divisor = divisorOf(Math.round(context.sampleRate));
    this.#rate = Math.round(context.sampleRate) / divisor;
    const samples = Math.max(1, Math.round((this.#rate * sliceMs) / 1000));
    this.#processor = new AudioWorkletNode(context, "talkup-pcm", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { samples, divisor },
    });
    this.#ended = new Promise((resolve) => {
      this.#processor.port.onmessage = ({ data }: MessageEvent<ArrayBuffer | null>) => (data ? onSlice(data) : resolve());
    });
    context.onstatechange = () => {
      onState?.(context.state);
      // After a telephone call, some phones resume by themselves, and some need a tap: see `resume`.
      if (context.state !== "running" && context.state !== "closed") void context.resume().catch(() => undefined);
    };
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
      return new PcmSource(context, microphone, onSlice, options);
    } catch {
      void context.close();
      throw new TalkupError("unsupported_format", "the audio processor cannot be loaded: pass processorUrl");
    }
  }

  /** The format for `stream_start`. */
  get format(): string {
    return `audio/pcm;rate=${this.#rate};channels=1;encoding=s16le`;
  }

  /** Whether the browser lets the sound through. */
  get state(): PcmState {
    return this.#context.state;
  }

  /** Resolves once recording has begun. A context created without a user gesture waits for one: call `resume` in it. */
  async start(): Promise<void> {
    this.#microphone.connect(this.#processor);
    await this.#context.resume();
  }

  /** Lets the sound through again. Browsers may demand that you call it in a click or a tap. */
  async resume(): Promise<void> {
    if (this.#context.state !== "closed") await this.#context.resume();
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

/** The smallest divisor that gives a whole rate of at most 48 kHz. */
function divisorOf(rate: number): number {
  let divisor = 1;
  while (rate / divisor > MAX_RATE || rate % divisor) divisor += 1;
  return divisor;
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
