// Pauses grow, stay under their cap and are spread by the random number.
import assert from "node:assert/strict";
import { test } from "node:test";
import { delayMs } from "../dist/backoff.js";

test("pauses grow up to eight seconds", () => {
  assert.deepEqual([0, 1, 2, 3, 20, 2000].map((attempt) => delayMs(attempt, () => 1)), [250, 500, 1000, 2000, 8000, 8000]);
});

test("full jitter", () => {
  assert.equal(delayMs(5, () => 0), 0);
  assert.equal(delayMs(1, () => 0.5), 250);
});
