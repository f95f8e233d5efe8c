// The transcript on screen: finals as spans a word, tinted by confidence; the open segment in grey.

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

// Words stand in a final with single spaces between, so that its text is the segment's text.
function paragraph(segment) {
  const line = document.createElement("p");
  line.dataset.segment = segment.segment_id;
  if (segment.words.length === 0) line.append(segment.text.trim());
  segment.words.forEach((word, index) => line.append(index ? " " : "", wordSpan(word)));
  return line;
}

export class Captions {
  #box;
  #finals;
  #interim;
  #empty;

  constructor({ box, finals, interim, empty }) {
    [this.#box, this.#finals, this.#interim, this.#empty] = [box, finals, interim, empty];
  }

  clear() {
    this.#finals.replaceChildren();
    this.#interim.textContent = "";
    this.#empty.hidden = false;
  }

  show(segment) {
    const following = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 80;
    this.#empty.hidden = true;
    if (segment.is_final) {
      if (segment.text.trim()) this.#finals.append(paragraph(segment));
      this.#interim.textContent = "";
    } else {
      this.#interim.textContent = segment.text;
    }
    if (following) this.#box.scrollTop = this.#box.scrollHeight;
  }
}
