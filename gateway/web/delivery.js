// How something is said, second by second: pace, pause, level and pitch. Each second comes once its words are final.

// The pitch line shows this much.
const SHOWN_MS = 20_000;
// The ends of each scale: words a minute, milliseconds, LUFS, Hz.
const PACE = [0, 300];
const PAUSE = [0, 5000];
const LEVEL = [-60, 0];
const PITCH = [60, 500];
// The speaker's own usual pace: the middle four fifths of these seconds, once there are enough.
const USUAL_FROM = 10;
const USUAL_KEPT = 600;
const USUAL_SHARES = [0.1, 0.9];
// Below this confidence a figure is called approximate.
const SURE = 0.5;
const HEIGHT = 100;
const ABSENT = "–";

const NAMES = {
  long_pause: "pause of 2 s or longer",
  speaking_fast: "faster speech",
  speaking_slowly: "slower speech",
  trailing_off: "softer sentence end",
  monotone: "little change of pitch",
  talking_over: "both speak",
};

// What an event of delivery is called; the names describe and do not judge.
export const nameOfEvent = (type) => NAMES[type] ?? type.replaceAll("_", " ");

const digits = (value) => String(Math.round(value)).replace("-", "−");
const figure = (measure, unit) => (measure ? `${measure.confidence < SURE ? "about " : ""}${digits(measure.value)} ${unit}` : ABSENT);

// The figures of a second, as they are read.
export function describe({ words_per_minute, pause_ms, loudness_lufs, pitch_hz }) {
  return {
    pace: figure(words_per_minute, "words a minute"),
    pause: pause_ms === null ? ABSENT : pause_ms > 0 ? `${(pause_ms / 1000).toFixed(1)} s` : "none",
    level: figure(loudness_lufs, "LUFS"),
    pitch: figure(pitch_hz, "Hz"),
  };
}

// Where a value lies on a scale, 0 to 1.
const place = (value, [least, most]) => Math.min(1, Math.max(0, (value - least) / (most - least)));
// In octaves, as the ear has it.
const placeOfPitch = (hz) => place(Math.log2(hz), PITCH.map(Math.log2));

// The range in which most of the paces lie; undefined while there are too few.
export function usualRange(paces) {
  if (paces.length < USUAL_FROM) return undefined;
  const sorted = [...paces].sort((one, other) => one - other);
  return USUAL_SHARES.map((share) => sorted[Math.round(share * (sorted.length - 1))]);
}

/** The pitch line as an SVG path, 0 to 100 in both directions; it is interrupted where there was no voice or no second. */
export function pitchPath(frames) {
  const end = frames.at(-1)?.t1_ms ?? 0;
  let [path, before] = ["", undefined];
  for (const { t0_ms, t1_ms, pitch_hz } of frames) {
    if (!pitch_hz || t1_ms <= end - SHOWN_MS) continue;
    const x = 100 - (100 * (end - t1_ms)) / SHOWN_MS;
    const y = HEIGHT * (1 - placeOfPitch(pitch_hz.value));
    const point = `${x.toFixed(2)} ${y.toFixed(2)}`;
    // A lone second is a dot: a line without length, with round ends.
    path += before === t0_ms ? `L${point}` : `M${point}h0`;
    before = t1_ms;
  }
  return path;
}

function unmeasured() {
  const text = document.createElement("span");
  text.className = "unseen";
  text.textContent = "not measured";
  return text;
}

const move = (mark, name, value) => mark.style.setProperty(name, value.toFixed(4));

export class DeliveryStrip {
  #root;
  #frames = [];
  #paces = [];

  /** `root` holds an element of each class: at, pace, pause, level, pitch, latest and others; see index.html. */
  constructor(root) {
    this.#root = root;
    this.clear();
  }

  clear() {
    [this.#frames, this.#paces] = [[], []];
    for (const name of ["pace", "pause", "level", "pitch"]) this.#write(name, ABSENT);
    for (const name of ["at", "latest"]) this.#write(name, "");
    this.#find("line").setAttribute("d", "");
    for (const name of ["pace-track", "pause-track", "level-track"]) this.#track(name, undefined);
    this.#find("usual").hidden = true;
  }

  // One second; `at` is its time as text.
  show(frame, at) {
    const { t1_ms: end } = frame;
    this.#frames = [...this.#frames.filter(({ t1_ms }) => t1_ms > end - SHOWN_MS && t1_ms < end), frame];
    for (const [name, text] of Object.entries(describe(frame))) this.#write(name, text);
    this.#write("at", at);
    this.#find("line").setAttribute("d", pitchPath(this.#frames));
    this.#track("pause-track", frame.pause_ms === null ? undefined : place(frame.pause_ms, PAUSE));
    this.#track("level-track", frame.loudness_lufs && place(frame.loudness_lufs.value, LEVEL));
    this.#track("pace-track", frame.words_per_minute && place(frame.words_per_minute.value, PACE));
    if (frame.words_per_minute) this.#learn(frame.words_per_minute.value);
  }

  // The newest event.
  tell(text) {
    this.#write("latest", text);
  }

  #learn(pace) {
    this.#paces = [...this.#paces.slice(1 - USUAL_KEPT), pace];
    const range = usualRange(this.#paces);
    const usual = this.#find("usual");
    usual.hidden = !range;
    if (!range) return;
    const [from, to] = range.map((value) => place(value, PACE));
    move(usual, "--from", from);
    move(usual, "--to", to);
  }

  #track(name, at) {
    const track = this.#find(name);
    track.dataset.measured = typeof at === "number";
    move(track, "--at", at || 0);
  }

  // A screen reader does not read out a dash.
  #write(name, text) {
    const place = this.#find(name);
    place.textContent = text;
    if (text === ABSENT) place.append(unmeasured());
  }

  #find(name) {
    return this.#root.querySelector(`.${name}`);
  }
}
