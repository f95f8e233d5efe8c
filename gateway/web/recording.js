// A recording from a file, sent as fast as the gateway reads it, whether the browser can play it or not.

import { indexFirst } from "./mp4.js";

const SLICE_BYTES = 64 * 1024;
const PREVIEW_MS = 5000;

// Shows the file in the player; its length in ms and whether it has pictures, as far as the browser knows.
async function preview(file, player) {
  player.src = URL.createObjectURL(file);
  await new Promise((resolve) => {
    player.onloadedmetadata = player.onerror = resolve;
    setTimeout(resolve, PREVIEW_MS);
  });
  const { duration, videoWidth } = player;
  return { durationMs: Number.isFinite(duration) ? 1000 * duration : undefined, hasPicture: videoWidth > 0 };
}

class Recording {
  format = "audio";
  mirrored = false;
  #bytes;
  #player;
  #stopped = false;

  constructor(bytes, player, { durationMs, hasPicture }) {
    [this.#bytes, this.#player] = [bytes, player];
    [this.durationMs, this.hasPicture] = [durationMs, hasPicture];
  }

  get size() {
    return this.#bytes.size;
  }

  /** The share of the whole, 0 to 1, that the chunks up to `sequence` are. */
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
  return new Recording(bytes, player, facts);
}
