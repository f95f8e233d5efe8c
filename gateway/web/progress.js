// How much of a recording is transcribed, and how long the rest takes.

const SHOW_LEFT_AFTER_MS = 1000;

function left(ms) {
  if (ms < 90_000) return `about ${Math.max(1, Math.round(ms / 1000))} s left`;
  return `about ${Math.round(ms / 60_000)} min left`;
}

export class Progress {
  #place;
  #bar;
  #text;
  #startedAt = 0;
  #share = 0;

  constructor(place) {
    [this.#place, this.#bar, this.#text] = [place, place.querySelector("progress"), place.querySelector("span")];
  }

  start() {
    this.#startedAt = Date.now();
    this.#share = 0;
    this.#place.hidden = false;
    this.reach(0);
  }

  // `share`: 0 to 1, from captions and from commits; the larger one counts.
  reach(share) {
    if (!Number.isFinite(share)) return;
    this.#share = Math.min(1, Math.max(this.#share, share));
    const passed = Date.now() - this.#startedAt;
    const percent = Math.floor(100 * this.#share);
    const rest = this.#share > 0 && this.#share < 1 && passed > SHOW_LEFT_AFTER_MS;
    this.#bar.value = percent;
    this.#text.textContent = rest ? `${percent} %, ${left((passed * (1 - this.#share)) / this.#share)}` : `${percent} %`;
  }

  stop() {
    this.#place.hidden = true;
  }
}
