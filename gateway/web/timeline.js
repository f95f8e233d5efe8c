// Speech, captions and events on one media clock, as a drawing and as a list.

const SVG = "http://www.w3.org/2000/svg";
const ROWS = { spoken: [14, 14], caption: [32, 10], said: [46, 10], seen: [60, 10] };
const AXIS_Y = 78;
const SHOWN_MS = 60_000;
const MAX_KEPT = 2000;
const LABEL_WIDTH = 36;
const MAX_LISTED = 200;
const STEPS_MS = [1000, 2000, 5000, 10_000];

// "01:02", or "1:01:02" after an hour.
export function shortClock(ms) {
  const [hours, minutes, seconds] = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60].map((part) => Math.max(0, Math.floor(part)));
  const rest = [minutes, seconds].map((part) => String(part).padStart(2, "0")).join(":");
  return hours ? `${hours}:${rest}` : rest;
}

export const clock = (ms) => {
  const whole = Math.max(0, Math.floor(ms / 100));
  return `${String(Math.floor(whole / 600)).padStart(2, "0")}:${String(Math.floor((whole % 600) / 10)).padStart(2, "0")}.${whole % 10}`;
};

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export class Timeline {
  #svg;
  #list;
  #spans = [];
  #end = 0;
  #wanted = false;

  constructor(svg, list) {
    [this.#svg, this.#list] = [svg, list];
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  clear() {
    this.#spans = [];
    this.#end = 0;
    this.#list.replaceChildren();
    this.#draw();
  }

  // A span of media time; without an end it lasts until `close`. Rows: spoken, caption, said, seen, line.
  span(row, from, to) {
    const added = { row, from, to };
    this.#spans.push(added);
    if (this.#spans.length > MAX_KEPT) this.#spans.shift();
    this.reach(to ?? from);
    return added;
  }

  close(span, to) {
    span.to = to;
    this.reach(to);
  }

  // Extends the timeline to at least this time.
  reach(ms) {
    this.#end = Math.max(this.#end, ms);
    if (this.#wanted) return;
    this.#wanted = true;
    requestAnimationFrame(() => this.#draw());
  }

  note(ms, text) {
    const item = document.createElement("li");
    item.dataset.ms = ms;
    const time = item.appendChild(document.createElement("time"));
    time.textContent = clock(ms);
    item.append(text);
    // Newest first; late entries are inserted in order.
    const older = [...this.#list.children].find((other) => Number(other.dataset.ms) <= ms);
    this.#list.insertBefore(item, older ?? null);
    if (this.#list.children.length > MAX_LISTED) this.#list.lastChild.remove();
  }

  #draw() {
    this.#wanted = false;
    const width = this.#svg.clientWidth || 600;
    const shown = Math.min(SHOWN_MS, Math.max(10_000, this.#end));
    const begin = Math.max(0, this.#end - shown);
    const x = (ms) => ((ms - begin) / shown) * width;
    const drawn = [element("line", { class: "axis", x1: 0, x2: width, y1: AXIS_Y, y2: AXIS_Y })];
    const step = STEPS_MS.find((each) => (each / shown) * width > 56) ?? 10_000;
    for (let ms = Math.ceil(begin / step) * step; x(ms) < width - LABEL_WIDTH; ms += step) {
      const label = element("text", { x: x(ms) + 2, y: AXIS_Y + 14 });
      label.textContent = clock(ms).slice(0, 5);
      drawn.push(label);
    }
    for (const { row, from, to = this.#end } of this.#spans) {
      if (to < begin) continue;
      if (row === "line") {
        drawn.push(element("line", { class: "line", x1: x(from), x2: x(from), y1: 8, y2: AXIS_Y }));
        continue;
      }
      const [y, height] = ROWS[row];
      const left = Math.max(0, x(from));
      drawn.push(element("rect", { class: row, x: left, y, height, rx: 3, width: Math.max(3, x(to) - left - 1) }));
    }
    this.#svg.replaceChildren(...drawn);
  }
}
