// MP4 and QuickTime recordings whose index (moov) comes after the media, as phones write them: the index is put in
// front, so that a decoder can begin with the first bytes. Boxes as in ISO/IEC 14496-12; nothing is read but the index.

const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl"]);
const FIRST = new Set(["ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"]);
const HEADER_BYTES = 16;
const MAX_MOOV_BYTES = 256 * 1024 * 1024;

// A box at `at`: its kind, its size in all and that of its header. A size of 0 means: up to the end.
function readHeader(view, at, end) {
  if (at + 8 > view.byteLength) return undefined;
  const kind = String.fromCharCode(...[4, 5, 6, 7].map((offset) => view.getUint8(at + offset)));
  const short = view.getUint32(at);
  if (short === 1 && at + 16 > view.byteLength) return undefined;
  const size = short === 1 ? Number(view.getBigUint64(at + 8)) : short || end;
  return { kind, size, header: short === 1 ? 16 : 8 };
}

async function topBoxes(file) {
  const boxes = [];
  for (let at = 0; at + 8 <= file.size; ) {
    const head = new DataView(await file.slice(at, at + HEADER_BYTES).arrayBuffer());
    const box = readHeader(head, 0, file.size - at);
    if (!box || box.size < box.header || (boxes.length === 0 && !FIRST.has(box.kind))) break;
    boxes.push({ ...box, at });
    at += box.size;
  }
  return boxes;
}

// Adds to every chunk offset (stco, co64) what `shift` says of it. Throws RangeError where 32 bits do not hold it.
function shiftOffsets(view, begin, end, shift) {
  for (let at = begin; at < end; ) {
    const box = readHeader(view, at, end - at);
    if (!box || box.size < box.header || at + box.size > end) return;
    if (CONTAINERS.has(box.kind)) shiftOffsets(view, at + box.header, at + box.size, shift);
    if (box.kind === "stco" || box.kind === "co64") shiftTable(view, at + box.header, at + box.size, box.kind === "co64", shift);
    at += box.size;
  }
}

function shiftTable(view, at, end, wide, shift) {
  const width = wide ? 8 : 4;
  const count = Math.min(view.getUint32(at + 4), Math.floor((end - at - 8) / width));
  for (let place = at + 8; place < at + 8 + count * width; place += width) {
    const offset = wide ? Number(view.getBigUint64(place)) : view.getUint32(place);
    const moved = offset + shift(offset);
    if (wide) view.setBigUint64(place, BigInt(moved));
    else if (moved < 2 ** 32) view.setUint32(place, moved);
    else throw new RangeError("This recording is too large to be sent: save it with its index in front");
  }
}

/** The recording with its index in front: the file itself, if it is of another kind or needs no change. */
export async function indexFirst(file) {
  const boxes = await topBoxes(file);
  const media = boxes.find(({ kind }) => kind === "mdat");
  const index = boxes.find(({ kind }) => kind === "moov");
  const fragmented = boxes.some(({ kind }) => kind === "moof");
  if (media && !index && !fragmented) throw new Error("This recording has no index: its recorder did not finish the file");
  if (!media || !index || fragmented || index.at < media.at || index.size > MAX_MOOV_BYTES) return file;
  const end = index.at + index.size;
  const moov = await file.slice(index.at, end).arrayBuffer();
  const view = new DataView(moov);
  if (moov.byteLength !== index.size) return file;
  if (view.getUint32(0) === 0) view.setUint32(0, index.size);
  shiftOffsets(view, 0, index.size, (offset) => (offset >= media.at && offset < index.at ? index.size : 0));
  return new Blob([file.slice(0, media.at), moov, file.slice(media.at, index.at), file.slice(end)]);
}
