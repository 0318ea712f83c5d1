// Whole databases in and out, in pieces.
//
// Must not know what a database file means beyond its header. The rule it keeps: an import that fails or is
// stopped leaves the database as it was, and an export that is left early is freed.

import { checkFunction, checkKeys } from "./checks.ts";
import { aborted } from "./client.ts";
import { DataSyncError } from "./errors.ts";
import { callOn, type Port } from "./queries.ts";
import type { CallOptions, ImportOptions } from "./types.ts";

/** What can be imported. */
export type ImportSource = Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>;

/** Bytes in one message. */
const PIECE = 1 << 20;
const HEADER_BYTES = 100;
/** Where the header says how the schema is written, and the newest way that there is. */
const SCHEMA_FORMAT_AT = 44, SCHEMA_FORMAT = 4;
const MAGIC = "SQLite format 3\0";

/** The database as a stream of its plain file. */
export function exportStream(port: Port, options: CallOptions): ReadableStream<Uint8Array> {
  let total = -1, offset = 0, exporting = 0;
  const end = () => port.client.call("exportEnd", { exporting }).catch(() => undefined);
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (total < 0) ({ bytes: total, exporting } = await callOn(port, "exportStart", {}, options));
        if (offset >= total) {
          await end();
          controller.close();
          return;
        }
        try {
          const length = Math.min(PIECE, total - offset);
          const piece = await callOn(port, "exportRead", { exporting, offset, length }, options);
          offset += piece.byteLength;
          controller.enqueue(piece);
        } catch (error) {
          await end();
          throw error;
        }
      },
      async cancel() {
        if (total >= 0) await end();
      },
    },
    { highWaterMark: 1 },
  );
  // WebKit's streams cannot be iterated over by themselves.
  if (!(Symbol.asyncIterator in (stream as object))) {
    Object.defineProperty(stream, Symbol.asyncIterator, { value: () => read(stream.getReader()) });
  }
  return stream;
}

/** Everything that `stream` gives. Not by a `Response`: that has words of its own for what fails in it. */
export async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const reader = stream.getReader(), pieces: Uint8Array[] = [];
  for (let next = await reader.read(); !next.done; next = await reader.read()) pieces.push(next.value);
  const whole = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** Replaces the database by `source`. */
export async function importFrom(port: Port, id: number, source: ImportSource, options: ImportOptions): Promise<void> {
  checkKeys(options, ["onProgress", "signal"]);
  const { signal, onProgress } = options;
  if (onProgress !== undefined) checkFunction("onProgress", onProgress);
  const { pieces, total } = await open(source);
  const { client } = port;
  const own = { tx: id, signal };
  await client.call("importStart", { id, bytes: total }, { signal });
  try {
    let done = 0;
    for await (const piece of pieces) {
      if (signal?.aborted) throw aborted(signal);
      // A copy: what is sent is gone from here, and the bytes are the caller's.
      const bytes = piece.slice();
      await client.call("importWrite", { bytes }, { ...own, transfer: [bytes.buffer] });
      done += piece.byteLength;
      onProgress?.({ done, total });
    }
    if (done !== total) throw notADatabase(`it says that it is ${total} bytes long, and ends after ${done}`);
    await client.call("importEnd", {}, { tx: id });
  } catch (error) {
    if (!client.over) await client.call("importCancel", {}, { tx: id }).catch(() => undefined);
    throw error;
  }
}

/** The source in pieces, and how many bytes it will be. */
async function open(source: ImportSource): Promise<{ pieces: AsyncIterable<Uint8Array>; total: number }> {
  if (source instanceof ArrayBuffer) return open(new Uint8Array(source));
  if (source instanceof Uint8Array) {
    checkHeader(source);
    return { pieces: slices(source), total: source.byteLength };
  }
  if (typeof Blob !== "undefined" && source instanceof Blob) {
    checkHeader(new Uint8Array(await source.slice(0, HEADER_BYTES).arrayBuffer()));
    return { pieces: read(source.stream().getReader()), total: source.size };
  }
  if (source instanceof ReadableStream) return openStream(source);
  throw new DataSyncError("Misuse", "import takes a Uint8Array, an ArrayBuffer, a Blob (a File) or a ReadableStream.");
}

async function openStream(source: ReadableStream<Uint8Array>): Promise<{ pieces: AsyncIterable<Uint8Array>; total: number }> {
  const reader = source.getReader();
  const rest = read(reader);
  let begin = new Uint8Array(0);
  while (begin.byteLength < HEADER_BYTES) {
    const { value, done } = await rest.next();
    if (done) break;
    begin = join(begin, value);
  }
  try {
    checkHeader(begin);
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  const first = begin;
  const pieces = (async function* () {
    yield first;
    yield* rest;
  })();
  return { pieces, total: sizeByHeader(first) };
}

async function* read(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (!((value as unknown) instanceof Uint8Array)) {
        throw new DataSyncError("Misuse", "import takes a stream of bytes, each piece a Uint8Array. Nothing was changed.");
      }
      yield* slices(value);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.byteLength; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.byteLength + b.byteLength);
  both.set(a);
  both.set(b, a.byteLength);
  return both;
}

function checkHeader(bytes: Uint8Array): void {
  if (bytes.byteLength < HEADER_BYTES) throw notADatabase(`it is only ${bytes.byteLength} bytes long`);
  if (String.fromCharCode(...bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    throw notADatabase('it does not begin with "SQLite format 3"');
  }
  const format = new DataView(bytes.buffer, bytes.byteOffset).getUint32(SCHEMA_FORMAT_AT);
  if (format <= SCHEMA_FORMAT) return;
  // Such a database could not be opened again.
  throw new DataSyncError("Unsupported", `This database's schema is of format ${format}, and SQLite here knows ${SCHEMA_FORMAT}. Nothing was changed.`);
}

/** What the file's own header says about its length. */
function sizeByHeader(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pageSize = view.getUint16(16) === 1 ? 65536 : view.getUint16(16);
  const pages = view.getUint32(28);
  if (pages === 0 || view.getUint32(24) !== view.getUint32(92)) {
    throw new DataSyncError(
      "Misuse",
      "This file's header does not say how long it is, so it cannot be imported from a stream. Pass it as a Blob or as bytes.",
    );
  }
  return pages * pageSize;
}

function notADatabase(why: string): DataSyncError {
  return new DataSyncError("NotAStore", `This is no SQLite database: ${why}. Nothing was changed.`);
}
