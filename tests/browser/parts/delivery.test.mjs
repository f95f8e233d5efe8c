// The figures, the pitch line and the usual range of delivery, from frames alone.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../../gateway/web/delivery.js", import.meta.url), "utf8");
const { describe, nameOfEvent, pitchPath, usualRange } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const measure = (value, confidence = 1) => ({ value, confidence });
const frame = (second, hz) => ({ t0_ms: 1000 * second, t1_ms: 1000 * (second + 1), pitch_hz: hz && measure(hz) });

test("figures are rounded and have their units", () => {
  const figures = { words_per_minute: measure(141.6), pause_ms: 1400, loudness_lufs: measure(-22.6), pitch_hz: measure(118.2) };
  assert.deepEqual(describe(figures), { pace: "142 words a minute", pause: "1.4 s", level: "−23 LUFS", pitch: "118 Hz" });
});

test("what cannot be measured is no zero, and what is unsure is called so", () => {
  const figures = { words_per_minute: measure(90, 0.3), pause_ms: 0, loudness_lufs: null, pitch_hz: null };
  assert.deepEqual(describe(figures), { pace: "about 90 words a minute", pause: "none", level: "–", pitch: "–" });
  assert.equal(describe({ ...figures, pause_ms: null }).pause, "–");
});

test("the pitch line has a gap where there is no voice, and where a second is missing", () => {
  assert.equal(pitchPath([]), "");
  assert.equal(pitchPath([frame(0, null)]), "");
  const whole = pitchPath([frame(0, 100), frame(1, 100), frame(2, 100)]);
  assert.match(whole, /^M90\.00 (\S+)h0L95\.00 \1L100\.00 \1$/);
  for (const gap of [[frame(0, 100), frame(1, null), frame(2, 100)], [frame(0, 100), frame(2, 100)]]) {
    assert.equal(pitchPath(gap).match(/M/g).length, 2);
  }
});

test("an octave is as high everywhere, and what is off the scale stays on the chart", () => {
  const heights = pitchPath([100, 200, 400, 60, 500, 40, 900].map((hz, second) => frame(second, hz)));
  const [low, middle, high, ...ends] = [...heights.matchAll(/[ML]\S+ ([\d.]+)/g)].map(([, y]) => Number(y));
  assert.ok(Math.abs(low - middle - (middle - high)) < 0.02);
  assert.deepEqual(ends, [100, 0, 100, 0]);
});

test("only the last twenty seconds are drawn", () => {
  const frames = Array.from({ length: 30 }, (_, second) => frame(second, 150));
  assert.equal(pitchPath(frames).match(/[ML]/g).length, 20);
});

test("a usual range needs ten seconds; rare paces are not part of it", () => {
  assert.equal(usualRange(Array(9).fill(120)), undefined);
  assert.deepEqual(usualRange(Array(10).fill(120)), [120, 120]);
  assert.deepEqual(usualRange([10, ...Array(10).fill(100), ...Array(9).fill(140), 900]), [100, 140]);
});

test("every event has words", () => {
  assert.equal(nameOfEvent("trailing_off"), "softer sentence end");
  assert.equal(nameOfEvent("new_kind"), "new kind");
});
