// Wire chunks, written and read from their description in wasm/src/wire.rs alone.

const equal = (a, b) => { if (a !== b) throw new Error(`${a} is not ${b}`); };

/** Values as a wire chunk: rows of cells. */
export function encode(rows) {
  const columns = rows[0]?.length ?? 0;
  const cells = rows.flat();
  const utf8 = new TextEncoder();
  const texts = [], blobs = [], words = [];
  const tags = cells.map((cell) => {
    const word = new DataView(new ArrayBuffer(8));
    let tag = 0;
    if (cell === null) return 0;
    if (typeof cell === "bigint") { word.setBigInt64(0, cell, true); tag = 1; }
    else if (typeof cell === "number") { word.setFloat64(0, cell, true); tag = 2; }
    else if (typeof cell === "string") {
      const bytes = utf8.encode(cell);
      texts.push(bytes); word.setUint32(0, bytes.length, true); word.setUint32(4, cell.length, true); tag = 3;
    } else { blobs.push(cell); word.setUint32(0, cell.length, true); tag = 4; }
    words.push(new Uint8Array(word.buffer));
    return tag;
  });
  const size = (parts) => parts.reduce((sum, part) => sum + part.length, 0);
  const header = new Uint32Array([0x44533031, columns, rows.length, 0, size(texts), size(blobs), 0, 0]);
  const padded = new Uint8Array(Math.ceil(tags.length / 8) * 8);
  padded.set(tags);
  return joined([new Uint8Array(header.buffer), padded, ...words, ...texts, ...blobs]);
}

/** A wire chunk as rows of values. */
export function decode(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [magic, columns, rows, flags, textBytes] = [0, 4, 8, 12, 16].map((at) => view.getUint32(at, true));
  equal(magic, 0x44533031);
  const count = columns * rows;
  let at = 32 + Math.ceil(count / 8) * 8;
  const tags = bytes.subarray(32, 32 + count);
  const textStart = at + 8 * tags.filter((tag) => tag !== 0).length;
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(textStart, textStart + textBytes));
  let [unit, blob] = [0, textStart + textBytes];
  const cells = Array.from(tags, (tag) => {
    if (tag === 0) return null;
    const from = at;
    at += 8;
    if (tag === 1) return view.getBigInt64(from, true);
    if (tag === 2) return view.getFloat64(from, true);
    if (tag === 3) { const units = view.getUint32(from + 4, true); return text.slice(unit, (unit += units)); }
    const length = view.getUint32(from, true);
    return bytes.slice(blob, (blob += length));
  });
  const table = Array.from({ length: rows }, (_, row) => cells.slice(row * columns, (row + 1) * columns));
  return { rows: table, done: (flags & 1) === 1 };
}

/** Bytes, one array behind the other. */
export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
