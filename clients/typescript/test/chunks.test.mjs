// The buffer of uncommitted chunks: a gapless run, and nothing given up that the gateway has not received.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChunkBuffer } from "../dist/index.js";

const bytes = (size) => new Uint8Array(size);

test("numbers rise by one and committed chunks are forgotten", () => {
  const buffer = new ChunkBuffer(100);
  assert.deepEqual([1, 2, 3].map((size) => buffer.append(bytes(size)).sequence), [0, 1, 2]);
  buffer.acknowledge(2, 0);
  assert.equal(buffer.bytes, 5);
  assert.deepEqual(buffer.from(2).map(({ sequence }) => sequence), [2]);
});

test("bytes that the gateway has not received are counted", () => {
  const buffer = new ChunkBuffer(100);
  for (const size of [1, 2, 3]) buffer.append(bytes(size));
  assert.equal(buffer.unreceivedBytes, 6);
  buffer.acknowledge(1, -1);
  assert.equal(buffer.unreceivedBytes, 3);
  buffer.rewind(1);
  assert.equal(buffer.unreceivedBytes, 5);
});

test("a full buffer refuses what the gateway has not received, and forgets what it has", () => {
  const buffer = new ChunkBuffer(10);
  assert.ok(buffer.append(bytes(6)));
  assert.equal(buffer.append(bytes(6)), undefined);
  buffer.acknowledge(0, -1);
  assert.equal(buffer.append(bytes(6)).sequence, 1);
  assert.equal(buffer.bytes, 6);
});

test("what a gateway had and its successor has not is not given up", () => {
  const buffer = new ChunkBuffer(10);
  buffer.append(bytes(6));
  buffer.acknowledge(0, -1);
  assert.deepEqual(buffer.rewind(0).map(({ sequence }) => sequence), [0]);
  assert.equal(buffer.append(bytes(6)), undefined);
  assert.equal(buffer.bytes, 6);
});

test("whatever happens, the chunks kept are a gapless run within the bound", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const buffer = new ChunkBuffer(500);
  let received = -1;
  for (let step = 0; step < 5000; step += 1) {
    if (random(3)) buffer.append(bytes(random(60)));
    else {
      received = Math.min(buffer.nextSequence - 1, received + random(8));
      buffer.acknowledge(received, received - random(5));
    }
    const kept = buffer.from(0);
    kept.forEach(({ sequence }, index) => assert.equal(sequence, kept[0].sequence + index));
    if (kept.length) assert.equal(kept.at(-1).sequence, buffer.nextSequence - 1);
    assert.ok((kept[0]?.sequence ?? buffer.nextSequence) <= received + 1);
    assert.ok(buffer.bytes <= 500);
  }
});
