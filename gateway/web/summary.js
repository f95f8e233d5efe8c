// The figures of a session, computed from its messages.

import { shortClock } from "./timeline.js";

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const MAX_DELAYS = 500;
const NEAR_MS = 1200;
const share = (measured) => (measured ? `${Math.round(100 * measured.value)} %` : "–");
const shown = (ms) => (ms === undefined ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// A list of terms and values.
export function fillFigures(list, figures) {
  list.replaceChildren(
    ...Object.entries(figures).map(([name, value]) => {
      const pair = document.createElement("div");
      pair.appendChild(document.createElement("dt")).textContent = name;
      pair.appendChild(document.createElement("dd")).textContent = value;
      return pair;
    }),
  );
}

// Delivery so far. The windows do not overlap; the whole call takes their place at the end.
class DeliveryTotals {
  #windows = [];
  #whole;

  add(window) {
    if (window.whole_session) this.#whole = window;
    else this.#windows.push(window);
  }

  get figures() {
    const windows = this.#whole ? [this.#whole] : this.#windows;
    const longest = Math.max(...windows.map(({ pause_longest_ms }) => pause_longest_ms?.value ?? 0));
    return {
      "words per minute": paceOf(windows),
      pauses: windows.length ? windows.reduce((sum, { pauses }) => sum + pauses, 0) : "–",
      "longest pause": longest > 0 ? `${(longest / 1000).toFixed(1)} s` : "–",
      "time speaking": speakingOf(windows),
    };
  }
}

function paceOf(windows) {
  const paced = windows.filter(({ words_per_minute }) => words_per_minute?.value > 0);
  const minutes = paced.reduce((sum, { words, words_per_minute }) => sum + words / words_per_minute.value, 0);
  return minutes > 0 ? Math.round(paced.reduce((sum, { words }) => sum + words, 0) / minutes) : "–";
}

function speakingOf(windows) {
  const heard = windows.filter(({ speech_ratio }) => speech_ratio);
  const ms = heard.reduce((sum, { t0_ms, t1_ms }) => sum + t1_ms - t0_ms, 0);
  const spoken = heard.reduce((sum, { t0_ms, t1_ms, speech_ratio }) => sum + (t1_ms - t0_ms) * speech_ratio.value, 0);
  return ms > 0 ? `${Math.round((100 * spoken) / ms)} %` : "–";
}

export class Summary {
  #place;
  #counts;
  #delays;
  #words = 0;
  #finals = 0;
  #confidence = 0;
  #spokenMs = 0;
  #endMs = 0;
  #resumed = 0;
  #window;
  #watched = false;
  #delivery;
  #sent = { interim: [], final: [], end: [] };
  #lastFinal = { end: -Infinity, came: 0 };
  #lastSpeech;

  constructor({ place, counts, delays }) {
    [this.#place, this.#counts, this.#delays] = [place, counts, delays];
    this.#show();
  }

  clear() {
    this.#words = this.#finals = this.#confidence = this.#spokenMs = this.#endMs = this.#resumed = 0;
    this.#sent = { interim: [], final: [], end: [] };
    this.#lastFinal = { end: -Infinity, came: 0 };
    this.#lastSpeech = this.#window = this.#delivery = undefined;
    this.#watched = false;
    this.#show();
  }

  // What the call measures besides words: the figures are shown, empty, before their values come.
  begin({ delivery, camera }) {
    this.#watched = camera;
    this.#delivery = delivery ? new DeliveryTotals() : undefined;
    this.#show();
  }

  // Sums over the last seconds of pictures; at the end, over the whole call.
  seen(window) {
    this.#window = window;
    this.#show();
  }

  // Delivery of ten seconds, or at the end of the whole call.
  said(window) {
    this.#delivery?.add(window);
    this.#show();
  }

  // `now` is the time of arrival on the media clock; undefined if it was not sent as it was spoken.
  segment({ is_final, text, confidence, start_ms, end_ms }, now) {
    this.#endMs = Math.max(this.#endMs, end_ms);
    if (now !== undefined) this.#measure(is_final ? "final" : "interim", now - end_ms);
    if (is_final) {
      if (now !== undefined) this.#lastFinal = { end: end_ms, came: now };
      this.#pair();
      const count = text.split(/\s+/).filter(Boolean).length;
      this.#words += count;
      this.#finals += 1;
      this.#confidence += confidence * count;
      this.#spokenMs += end_ms - start_ms;
    }
    this.#show();
  }

  speechEnded(ms) {
    this.#lastSpeech = ms;
    this.#pair();
    this.#show();
  }

  // The end of speech and the final with its last word may arrive in either order.
  #pair() {
    if (this.#lastSpeech === undefined || Math.abs(this.#lastFinal.end - this.#lastSpeech) > NEAR_MS) return;
    this.#measure("end", this.#lastFinal.came - this.#lastSpeech);
    this.#lastSpeech = undefined;
  }

  #measure(kind, ms) {
    const delays = this.#sent[kind];
    delays.push(Math.max(0, ms));
    if (delays.length > MAX_DELAYS) delays.shift();
  }

  resumed() {
    this.#resumed += 1;
    this.#show();
  }

  #show() {
    const minutes = this.#spokenMs / 60_000;
    const figures = {
      words: this.#words,
      "words per minute": minutes > 0.05 ? Math.round(this.#words / minutes) : "–",
      transcribed: shortClock(this.#endMs),
      "average confidence": this.#words ? `${Math.round((this.#confidence / this.#words) * 100)} %` : "–",
    };
    Object.assign(figures, this.#delivery?.figures);
    if (this.#watched || this.#window) {
      figures["time in the picture"] = share(this.#window?.presence_ratio);
      figures["time facing the camera"] = share(this.#window?.facing_camera_ratio);
    }
    fillFigures(this.#place, figures);
    fillFigures(this.#counts, { "final captions": this.#finals, reconnections: this.#resumed });
    for (const kind of ["interim", "final", "end"]) this.#delays[kind].textContent = shown(median(this.#sent[kind]));
  }
}
