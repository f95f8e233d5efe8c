// Made from clients/typescript by `npm run page`.
// 16-bit PCM in slices, out of the audio thread.
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
