// A recording from a file: its bytes go out as fast as the gateway takes them. What the workers cannot read, the browser
// decodes to samples, if it can.

import { indexFirst } from "./mp4.js";

const SLICE_BYTES = 64 * 1024;
const RATE = 16_000;
const MAX_DECODED_BYTES = 200 * 1024 * 1024;

// Shows the file in the player; its length in ms and whether it has pictures, as far as the browser knows.
async function preview(file, player) {
  player.src = URL.createObjectURL(file);
  await new Promise((resolve) => (player.onloadeddata = player.onerror = resolve));
  const { duration, videoWidth } = player;
  return { durationMs: Number.isFinite(duration) ? 1000 * duration : undefined, hasPicture: videoWidth > 0 };
}

// Samples between -1 and 1 as 16-bit PCM, the mean of all channels.
function toPcm(decoded) {
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, number) => decoded.getChannelData(number));
  const samples = new DataView(new ArrayBuffer(2 * decoded.length));
  for (let at = 0; at < decoded.length; at += 1) {
    const mean = channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length;
    samples.setInt16(2 * at, 32767 * Math.max(-1, Math.min(1, mean)), true);
  }
  return new Blob([samples.buffer]);
}

class Recording {
  format = "audio";
  mirrored = false;
  #file;
  #bytes;
  #player;
  #stopped = false;

  constructor(file, bytes, player, { durationMs, hasPicture }) {
    [this.#file, this.#bytes, this.#player] = [file, bytes, player];
    [this.durationMs, this.hasPicture] = [durationMs, hasPicture];
  }

  get size() {
    return this.#bytes.size;
  }

  /** Whether chunks up to `sequence` are the whole; else their share of it, 0 to 1. */
  share(sequence) {
    return Math.min(1, ((sequence + 1) * SLICE_BYTES) / Math.max(1, this.size));
  }

  /** Sends all of it; resolves when the gateway has taken the last slice, or early after `stop`. */
  async send(stream) {
    for (let at = 0; at < this.size && !this.#stopped; at += SLICE_BYTES) {
      const slice = await this.#bytes.slice(at, at + SLICE_BYTES).arrayBuffer();
      await stream.drained();
      if (!this.#stopped) stream.send(slice);
    }
  }

  /** Turns to samples that the browser decodes. Rejects if it cannot, or if the file is too large for its memory. */
  async decode() {
    if (this.#file.size > MAX_DECODED_BYTES) throw Object.assign(new RangeError(), { limit: "it is too large for the browser" });
    const context = new OfflineAudioContext(1, 1, RATE);
    this.#bytes = toPcm(await context.decodeAudioData(await this.#file.arrayBuffer()));
    this.format = `audio/pcm;rate=${RATE};channels=1;encoding=s16le`;
  }

  start() {}

  resume() {}

  stop() {
    this.#stopped = true;
    URL.revokeObjectURL(this.#player.src);
    this.#player.removeAttribute("src");
    this.#player.load();
  }
}

export async function openRecording(file, player) {
  const [bytes, facts] = await Promise.all([indexFirst(file), preview(file, player)]);
  return new Recording(file, bytes, player, facts);
}
