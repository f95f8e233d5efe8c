// Shows the level of the sound that is being sent.

const FLOOR_DB = -60;

export class Meter {
  #place;
  #bar;
  #context;
  #frame = 0;

  constructor(place) {
    this.#place = place;
    this.#bar = place.firstElementChild;
  }

  start(media) {
    if (!media?.getAudioTracks().length) return;
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(media).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      this.#show(Math.max(0, 1 - (10 * Math.log10(power + 1e-9)) / FLOOR_DB));
      this.#frame = requestAnimationFrame(look);
    };
    look();
  }

  // Browsers may let sound through only after a tap.
  resume() {
    if (this.#context?.state !== "running") void this.#context?.resume().catch(() => undefined);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    void this.#context?.close();
    this.#context = undefined;
    this.#show(0);
  }

  #show(level) {
    this.#bar.style.transform = `scaleX(${Math.min(1, level).toFixed(3)})`;
    this.#place.setAttribute("aria-valuenow", Math.round(level * 100));
  }
}
