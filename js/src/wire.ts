// Chunks: rows as bytes, the same both ways between TypeScript and the wasm.
//
// Little-endian. Eight u32: magic, columns, rows, flags (1 = the statement ended), bytes of text, bytes of
// blobs, 0, 0; then one tag byte for every cell, padded to a multiple of 8; then eight bytes for every cell
// that is not null (i64; f64; text: u32 UTF-8 bytes and u32 UTF-16 units; blob: u32 bytes and 0); then all
// text end to end; then all blobs. So one decoder call reads all text of a chunk.
//
// Must not know SQL or messages. The rule it keeps: a value that SQLite would change on the way in is refused,
// and a chunk that is not what it says is an error, never values.

import { DataSyncError } from "./errors.ts";
import type { Bindable, Integers, Row, SqlValue } from "./types.ts";

const MAGIC = 0x44533031;
const HEADER_BYTES = 32;
const DONE = 1;
const NULL = 0, INTEGER = 1, REAL = 2, TEXT = 3, BLOB = 4;
const INT64_MIN = -(2n ** 63n), INT64_MAX = 2n ** 63n - 1n;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A value ready for SQLite: no booleans, no views other than bytes. */
export function normalize(value: Bindable | undefined, where: string): SqlValue {
  switch (typeof value) {
    case "string":
      // Half of a pair is no character: what is stored would be another text.
      if ((value as { isWellFormed?(): boolean }).isWellFormed?.() === false) {
        throw misuse(`${where} is no well-formed Unicode: half of a surrogate pair. Pass value.toWellFormed(), or bytes.`);
      }
      return value;
    case "number":
      if (Number.isNaN(value)) {
        throw misuse(`${where} is NaN, which SQLite would store as NULL. Pass null if that is meant.`);
      }
      return value;
    case "bigint":
      if (value < INT64_MIN || value > INT64_MAX) {
        throw misuse(`${where} is ${value}, which does not fit SQLite's 64-bit integers. Store it as text.`);
      }
      return value;
    case "boolean":
      return value ? 1 : 0;
    case "object":
      if (value === null || value instanceof Uint8Array) return value;
      if (value instanceof ArrayBuffer) return new Uint8Array(value);
      if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      if ((value as unknown) instanceof Date) {
        throw misuse(`${where} is a Date. SQLite has no dates: pass date.toISOString() or date.getTime().`);
      }
      throw misuse(`${where} is an object. Pass JSON.stringify(value) to store it as JSON text.`);
    case "undefined":
      throw misuse(`${where} is undefined. Pass null for NULL.`);
    default:
      throw misuse(`${where} is a ${typeof value}. Pass null, a number, a bigint, a string or a Uint8Array.`);
  }
}

function misuse(message: string): DataSyncError {
  return new DataSyncError("Misuse", message);
}

function tagOf(value: SqlValue): number {
  if (value === null) return NULL;
  if (typeof value === "string") return TEXT;
  if (typeof value === "bigint") return INTEGER;
  if (typeof value === "number") return Number.isSafeInteger(value) ? INTEGER : REAL;
  return BLOB;
}

/** Bytes with the view that numbers are put into them by. */
interface Room {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
}

function room(size: number): Room {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** For parameters of one call: to make and to collect four buffers cost as much as all that is put into them. */
const lent = room(4096);

/** One row as a chunk that holds until the next call. */
export function encodeRow(row: readonly SqlValue[]): Uint8Array<ArrayBuffer> {
  return put([row], row.length, (size) => (size <= lent.bytes.byteLength ? lent : room(size)));
}

/** Rows, all with `columns` values, as one chunk. */
export function encode(rows: readonly (readonly SqlValue[])[], columns: number): Uint8Array<ArrayBuffer> {
  const bytes = put(rows, columns, room);
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
}

function put(
  rows: readonly (readonly SqlValue[])[], columns: number, roomFor: (size: number) => Room,
): Uint8Array<ArrayBuffer> {
  const cells = rows.length * columns;
  const tagsEnd = HEADER_BYTES + ((cells + 7) & ~7);
  let values = 0, units = 0, blobBytes = 0;
  for (const row of rows) {
    if (row.length !== columns) {
      throw misuse(`a row has ${row.length} values where the first has ${columns}. Give every row the same number.`);
    }
    for (const value of row) {
      if (value === null) continue;
      values += 1;
      if (typeof value === "string") units += value.length;
      else if (typeof value === "object") blobBytes += value.byteLength;
    }
  }
  const textStart = tagsEnd + values * 8;
  // A UTF-16 unit is at most three bytes of UTF-8; what is too much is cut off at the end.
  const { bytes, view } = roomFor(textStart + units * 3 + blobBytes);
  bytes.fill(0, 0, tagsEnd);
  const blobs: Uint8Array[] = [];
  let tag = HEADER_BYTES, at = tagsEnd, text = textStart;
  for (const row of rows) {
    for (const value of row) {
      const kind = tagOf(value);
      bytes[tag++] = kind;
      if (value === null) continue;
      if (typeof value === "string") {
        const { written } = encoder.encodeInto(value, bytes.subarray(text));
        view.setUint32(at, written, true);
        view.setUint32(at + 4, value.length, true);
        text += written;
      } else if (typeof value === "object") {
        view.setUint32(at, value.byteLength, true);
        view.setUint32(at + 4, 0, true);
        blobs.push(value);
      } else if (kind === INTEGER) {
        view.setBigInt64(at, BigInt(value), true);
      } else {
        view.setFloat64(at, value as number, true);
      }
      at += 8;
    }
  }
  let end = text;
  for (const blob of blobs) {
    bytes.set(blob, end);
    end += blob.byteLength;
  }
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, columns, true);
  view.setUint32(8, rows.length, true);
  view.setUint32(16, text - textStart, true);
  view.setUint32(20, blobBytes, true);
  return bytes.subarray(0, end);
}

/** What the header of a chunk says. */
export interface ChunkHead {
  columns: number;
  rows: number;
  done: boolean;
}

/** The header of `chunk`. */
export function head(chunk: Uint8Array): ChunkHead {
  if (chunk.byteLength < HEADER_BYTES || word(chunk, 0) !== MAGIC) {
    throw new DataSyncError("Misuse", "bytes that should be rows are not. Are the worker and the page of one version?");
  }
  return { columns: word(chunk, 4), rows: word(chunk, 8), done: (word(chunk, 12) & DONE) !== 0 };
}

/** The u32 at `at`. Without a view: every call looks at a head twice, and views are what is collected then. */
function word(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number];
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

/** The rows of `chunk`, each as an array of its values. */
export function decodeArrays(chunk: Uint8Array, integers: Integers = "auto"): SqlValue[][] {
  const { columns, rows } = head(chunk);
  const next = cells(chunk, rows * columns, integers);
  const out = new Array<SqlValue[]>(rows);
  for (let r = 0; r < rows; r += 1) {
    const row = new Array<SqlValue>(columns);
    for (let c = 0; c < columns; c += 1) row[c] = next();
    out[r] = row;
  }
  return out;
}

/** The rows of `chunk`, each as an object with these column names. */
export function decodeObjects(chunk: Uint8Array, names: readonly string[], integers: Integers = "auto"): Row[] {
  const { columns, rows } = head(chunk);
  if (names.length !== columns) {
    throw new DataSyncError("Misuse", `rows of ${columns} columns came with ${names.length} names.`);
  }
  const next = cells(chunk, rows * columns, integers);
  const out = new Array<Row>(rows);
  for (let r = 0; r < rows; r += 1) {
    const row: Row = {};
    for (let c = 0; c < columns; c += 1) {
      const name = names[c] as string;
      if (name === "__proto__") {
        Object.defineProperty(row, name, { value: next(), enumerable: true, writable: true, configurable: true });
      } else {
        row[name] = next();
      }
    }
    out[r] = row;
  }
  return out;
}

/** A function that returns the chunk's values one after the other. */
function cells(chunk: Uint8Array, count: number, integers: Integers): () => SqlValue {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const textBytes = view.getUint32(16, true), blobBytes = view.getUint32(20, true);
  const blobStart = chunk.byteLength - blobBytes, textStart = blobStart - textBytes;
  const tagsEnd = HEADER_BYTES + ((count + 7) & ~7);
  let values = 0;
  for (let tag = HEADER_BYTES; tag < HEADER_BYTES + count; tag += 1) if (chunk[tag] !== NULL) values += 1;
  if (textStart !== tagsEnd + values * 8) {
    throw new DataSyncError("Misuse", "a chunk of rows is not as long as it says.");
  }
  const text = textBytes === 0 ? "" : decoder.decode(chunk.subarray(textStart, blobStart));
  let tag = HEADER_BYTES, at = tagsEnd, unit = 0, blob = blobStart;
  return () => {
    switch (chunk[tag++]) {
      case NULL:
        return null;
      case INTEGER: {
        const value = integer(view, at, integers);
        at += 8;
        return value;
      }
      case REAL: {
        const value = view.getFloat64(at, true);
        at += 8;
        return value;
      }
      case TEXT: {
        const end = unit + view.getUint32(at + 4, true);
        const value = text.slice(unit, end);
        unit = end;
        at += 8;
        return value;
      }
      case BLOB: {
        const end = blob + view.getUint32(at, true);
        const value = chunk.slice(blob, end);
        blob = end;
        at += 8;
        return value;
      }
      default:
        throw new DataSyncError("Misuse", "a chunk of rows holds an unknown type. Are worker and page of one version?");
    }
  };
}

function integer(view: DataView, at: number, integers: Integers): number | bigint {
  if (integers === "bigint") return view.getBigInt64(at, true);
  const value = view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
  if (integers === "number" || Number.isSafeInteger(value)) return value;
  return view.getBigInt64(at, true);
}
