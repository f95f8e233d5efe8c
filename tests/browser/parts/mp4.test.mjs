// The index of an MP4 in front: its offsets still point at the same bytes; everything else stays as it is.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../../gateway/web/mp4.js", import.meta.url), "utf8");
const { indexFirst } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const join = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));

function box(kind, content, { wide = false } = {}) {
  const head = Buffer.alloc(wide ? 16 : 8);
  head.writeUInt32BE(wide ? 1 : 8 + content.length, 0);
  head.write(kind, 4, "latin1");
  if (wide) head.writeBigUInt64BE(BigInt(16 + content.length), 8);
  return join(head, content);
}

function table(kind, offsets) {
  const width = kind === "co64" ? 8 : 4;
  const content = Buffer.alloc(8 + width * offsets.length);
  content.writeUInt32BE(offsets.length, 4);
  offsets.forEach((offset, at) =>
    kind === "co64" ? content.writeBigUInt64BE(BigInt(offset), 8 + 8 * at) : content.writeUInt32BE(offset, 8 + 4 * at),
  );
  return box(kind, content);
}

const movie = (...tables) =>
  box("moov", join(box("mvhd", Buffer.alloc(8)), ...tables.map((each) => box("trak", box("mdia", box("minf", box("stbl", each)))))));

const FTYP = box("ftyp", "qt  0000");

async function reordered(...parts) {
  const file = new Blob(parts);
  const made = await indexFirst(file);
  return [made === file, Buffer.from(await made.arrayBuffer())];
}

test("both kinds of offsets follow their bytes, in a file with a wide media box and media behind the index", async () => {
  const media = box("mdat", "first-second", { wide: true });
  const begin = FTYP.length + box("wide", "").length + 16;
  const late = begin + "first-second".length + movie(table("stco", [0, 0]), table("co64", [0])).length + 8;
  const moov = movie(table("stco", [begin, late]), table("co64", [begin + 6]));
  const [same, made] = await reordered(FTYP, box("wide", ""), media, moov, box("mdat", "third"), box("free", "end"));
  assert.equal(same, false);
  assert.deepEqual(made.subarray(0, FTYP.length), FTYP);
  assert.equal(made.toString("latin1", begin - 16 + 4, begin - 16 + 8), "moov");
  const at = (kind, index) => {
    const place = made.indexOf(kind) + 4 + 8;
    return kind === "co64" ? Number(made.readBigUInt64BE(place + 8 * index)) : made.readUInt32BE(place + 4 * index);
  };
  assert.equal(made.toString("latin1", at("stco", 0), at("stco", 0) + 5), "first");
  assert.equal(made.toString("latin1", at("stco", 1), at("stco", 1) + 5), "third");
  assert.equal(made.toString("latin1", at("co64", 0), at("co64", 0) + 6), "second");
  assert.equal(made.length, FTYP.length + 8 + media.length + moov.length + 13 + 11);
});

test("an index that runs to the end of the file gets its size", async () => {
  const open = Buffer.from(movie(table("stco", [FTYP.length + 8])));
  open.writeUInt32BE(0, 0);
  const [, made] = await reordered(FTYP, box("mdat", "first"), open);
  assert.equal(made.readUInt32BE(FTYP.length), open.length);
  assert.equal(made.toString("latin1", made.length - 9), "mdatfirst");
});

test("what needs no change, or cannot be understood, is sent as it is", async () => {
  const moov = movie(table("stco", [100]));
  for (const parts of [
    [FTYP, moov, box("mdat", "first")],
    [FTYP, box("moof", "x"), box("mdat", "first"), moov],
    [FTYP, box("mdat", "first"), moov.subarray(0, 20)],
    ["RIFF1234WAVE", box("mdat", "first"), moov],
    ["\u0000\u0000\u0000\u0003ftyp", box("mdat", "first"), moov],
    [""],
  ]) {
    const [same] = await reordered(...parts);
    assert.ok(same);
  }
});

test("a recording whose recorder was killed before it wrote the index is named", async () => {
  await assert.rejects(indexFirst(new Blob([FTYP, box("mdat", "first")])), /has no index/);
});

test("offsets that 32 bits cannot hold are refused", async () => {
  const size = 2 ** 32;
  const head = Buffer.alloc(16);
  head.writeUInt32BE(1, 0);
  head.write("mdat", 4, "latin1");
  head.writeBigUInt64BE(BigInt(size), 8);
  const moov = movie(table("stco", [size - 10]));
  // A file of four gigabytes, of which only the headers are read.
  const parts = new Map([[0, FTYP], [FTYP.length, head], [FTYP.length + size, moov]]);
  const file = { size: FTYP.length + size + moov.length, slice: (begin, end) => new Blob([parts.get(begin).subarray(0, end - begin)]) };
  await assert.rejects(indexFirst(file), RangeError);
});
