// The transcript on screen: one span per final word, tinted by confidence; the open segment in grey.

import { shortClock } from "./timeline.js";

// A silence at least this long on the media clock begins a new paragraph.
const PAUSE_MS = 1500;
// So does a final after this much speech.
const PARAGRAPH_MS = 30_000;
// Paragraphs on screen; downloads hold all of them.
const MAX_LINES = 500;
const LOW = 0.5;
const MID = 0.8;

const seconds = (ms) => (ms / 1000).toFixed(2);

function tint(confidence) {
  if (confidence < LOW) return "word low";
  return confidence < MID ? "word mid" : "word";
}

function wordSpan({ word, start_ms, end_ms, confidence }) {
  const span = document.createElement("span");
  span.className = tint(confidence);
  span.textContent = word.trim();
  span.dataset.tip = `${seconds(start_ms)} – ${seconds(end_ms)} s · ${Math.round(confidence * 100)} %`;
  return span;
}

// The words of a final with a space after each, so that finals form one text.
function segmentSpan(segment) {
  const place = document.createElement("span");
  place.dataset.segment = segment.segment_id;
  if (segment.words.length === 0) place.append(segment.text.trim(), " ");
  for (const word of segment.words) place.append(wordSpan(word), " ");
  return place;
}

// One floating label for all words: inside the scrolling box, labels would be cut off at the edges.
function watchHover(box, tip) {
  box.addEventListener("pointerover", ({ target }) => {
    tip.hidden = !target.dataset?.tip;
    if (tip.hidden) return;
    tip.textContent = target.dataset.tip;
    const word = target.getBoundingClientRect();
    const left = word.left + word.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(8, Math.min(innerWidth - tip.offsetWidth - 8, left))}px`;
    tip.style.top = `${word.top - tip.offsetHeight - 4}px`;
  });
  box.addEventListener("pointerleave", () => (tip.hidden = true));
}

// A paragraph with the time at which it begins.
function newParagraph(startMs) {
  const line = document.createElement("div");
  line.className = "paragraph";
  line.appendChild(document.createElement("time")).textContent = shortClock(startMs);
  line.appendChild(document.createElement("p"));
  return line;
}

export class Captions {
  #box;
  #finals;
  #interim;
  #empty;
  #startMs = 0;
  #endMs = 0;
  #paragraphs = [];

  constructor({ box, finals, interim, empty, tip }) {
    [this.#box, this.#finals, this.#interim, this.#empty] = [box, finals, interim, empty];
    watchHover(box, tip);
  }

  clear() {
    this.#finals.replaceChildren();
    this.#interim.textContent = "";
    this.#endMs = 0;
    this.#paragraphs = [];
    this.#empty.hidden = false;
  }

  // All of the text, one paragraph after the other, including those that are no longer on the screen.
  get text() {
    return this.#paragraphs.join("\n\n");
  }

  // The text shown instead of captions while there are none.
  explain(text) {
    this.#empty.textContent = text;
    this.#empty.hidden = this.#paragraphs.length > 0 || !text;
  }

  show(segment) {
    const following = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 80;
    this.#empty.hidden = true;
    if (segment.is_final) {
      if (segment.text.trim()) this.#append(segment);
      this.#interim.textContent = "";
    } else {
      this.#interim.textContent = segment.text;
    }
    if (following) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #append(segment) {
    const pause = segment.start_ms - this.#endMs >= PAUSE_MS || segment.start_ms - this.#startMs >= PARAGRAPH_MS;
    if (pause || this.#paragraphs.length === 0) {
      this.#startMs = segment.start_ms;
      this.#paragraphs.push("");
      this.#finals.append(newParagraph(segment.start_ms));
    }
    const place = segmentSpan(segment);
    this.#finals.lastElementChild.lastElementChild.append(place);
    this.#paragraphs.push(`${this.#paragraphs.pop()} ${place.textContent.trim()}`.trim());
    if (this.#finals.children.length > MAX_LINES) this.#finals.firstChild.remove();
    this.#endMs = segment.end_ms;
  }
}
