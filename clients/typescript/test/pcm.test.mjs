// The audio thread's half of PcmSource: every sample once, in order, in slices; the last of them when asked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PCM_PROCESSOR } from "../dist/index.js";

const QUANTUM = 128;

class Scope {
  posted = [];
  processor;

  constructor(samples, divisor) {
    const { posted } = this;
    class AudioWorkletProcessor {
      port = { postMessage: (slice) => posted.push(slice) };
    }
    const register = (name, Processor) => {
      assert.equal(name, "talkup-pcm");
      this.processor = new Processor({ processorOptions: { samples, divisor } });
    };
    new Function("AudioWorkletProcessor", "registerProcessor", PCM_PROCESSOR)(AudioWorkletProcessor, register);
  }

  end() {
    this.processor.port.onmessage({ data: "end" });
  }

  samples() {
    const slices = this.posted.filter(Boolean);
    return slices.flatMap((slice) => Array.from({ length: slice.byteLength / 2 }, (_, at) => new DataView(slice).getInt16(2 * at, true)));
  }
}

test("every sample comes once and in order, whatever the slices' length", () => {
  for (const length of [1, 100, 128, 1600]) {
    const scope = new Scope(length);
    const heard = Float32Array.from({ length: 25 * QUANTUM }, (_, at) => Math.sin(at / 7));
    for (let at = 0; at < heard.length; at += QUANTUM) {
      assert.equal(scope.processor.process([[heard.subarray(at, at + QUANTUM)]]), true);
    }
    scope.end();
    assert.deepEqual(scope.samples(), Array.from(heard, (sample) => (sample * 32767) | 0));
    assert.ok(scope.posted.slice(0, -2).every((slice) => slice.byteLength === 2 * length));
  }
});

test("too loud is as loud as can be, and without a microphone there is nothing", () => {
  const scope = new Scope(4);
  scope.processor.process([[Float32Array.of(2, -2, 1, -1)]]);
  scope.processor.process([[]]);
  assert.deepEqual(scope.samples(), [32767, -32767, 32767, -32767]);
});

test("after its end it says so, takes nothing more and may be forgotten", () => {
  const scope = new Scope(4);
  scope.processor.process([[Float32Array.of(0.5)]]);
  scope.end();
  assert.equal(scope.posted.at(-1), null);
  assert.equal(scope.processor.process([[Float32Array.of(0.5)]]), false);
  assert.equal(scope.samples().length, 1);
});

test("high rates are divided: speech keeps its level, and what the lower rate cannot hold does not come back", () => {
  const level = (rate, divisor, hertz) => {
    const scope = new Scope(480, divisor);
    const heard = Float32Array.from({ length: 100 * QUANTUM }, (_, at) => 0.5 * Math.sin((2 * Math.PI * hertz * at) / rate));
    for (let at = 0; at < heard.length; at += QUANTUM) scope.processor.process([[heard.subarray(at, at + QUANTUM)]]);
    scope.end();
    const samples = scope.samples();
    assert.equal(samples.length, Math.floor(heard.length / divisor));
    return Math.max(...samples.slice(100, -100).map(Math.abs)) / 16383;
  };
  for (const [rate, divisor] of [[96_000, 2], [192_000, 4], [176_400, 4]]) {
    assert.ok(Math.abs(level(rate, divisor, 1000) - 1) < 0.02);
    // Without a filter, these would be heard at 8 kHz.
    assert.ok(level(rate, divisor, rate / divisor - 8000) < 0.01);
  }
});
