// The state of the call, in one line above the captions. Facts arrive one by one; the line shows the most urgent one.

const ENDED = { idle: "", stopped: "Stopped" };

function describe({ phase, network, waiting, sound, file, opened }) {
  if (phase in ENDED) return [ENDED[phase], "ended"];
  if (network === "reconnecting" || network === "suspended") {
    return [file ? "Connection lost, the recording continues when it is back" : "Connection lost, your speech is being kept", "trouble"];
  }
  if (waiting === "worker") return [file ? "Workers are starting" : "Workers are starting, your speech is being kept", "trouble"];
  if (waiting === "slot") return ["Every worker is busy, waiting for a free one", "trouble"];
  if (phase === "finishing" && !file) return ["Finishing: the last words are on their way", "busy"];
  if (network !== "open") return ["Connecting…", "busy"];
  if (file) return [`Transcribing ${file}`, "busy"];
  if (!opened) return ["Waiting for the microphone: allow it if the browser asks", "busy"];
  if (sound === "muted") return ["Your device has muted the microphone", "trouble"];
  if (sound !== "running") return ["The microphone is paused: tap anywhere to continue", "trouble"];
  return ["Listening: speak now", "listening"];
}

const NOTHING = { phase: "idle", network: "idle", waiting: "", sound: "running", file: "", opened: false };

export class StateLine {
  #place;
  #facts = NOTHING;

  constructor(place) {
    this.#place = place;
  }

  get facts() {
    return this.#facts;
  }

  begin(facts) {
    this.#facts = NOTHING;
    this.note({ phase: "live", ...facts });
  }

  note(facts) {
    this.#facts = { ...this.#facts, ...facts };
    const [text, mood] = describe(this.#facts);
    this.#place.dataset.mood = mood;
    this.#place.hidden = !text;
    if (this.#place.textContent !== text) this.#place.textContent = text;
  }
}
