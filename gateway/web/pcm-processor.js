// Generated from clients/typescript by `npm run page`.
// Posts slices of 16-bit PCM from the audio thread.
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
