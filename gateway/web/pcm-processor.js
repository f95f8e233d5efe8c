// Generated from clients/typescript by `npm run page`.
// Posts slices of 16-bit PCM from the audio thread.
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
