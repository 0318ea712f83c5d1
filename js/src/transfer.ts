// Whole databases in and out, in pieces.
//
// Must not know what a database file means beyond its header. The rule it keeps: an import that fails or is
// stopped leaves the database as it was, and an export that is left early is freed.

import { checkFunction, checkKeys } from "./checks.ts";
import { aborted, type Client } from "./client.ts";
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
  const { client } = port;
  const check = () => {
    if (client.over) throw client.over;
    if (signal?.aborted) throw aborted(signal, "before all of it was there; nothing was changed");
  };
  const given = await open(source, { signals: signal ? [client.ended, signal] : [client.ended], check });
  try {
    await importPieces(client, id, given, check, options);
  } finally {
    await given.end();
  }
}

async function importPieces(
  client: Client, id: number, { pieces, total }: Given, check: () => void, { signal, onProgress }: ImportOptions,
): Promise<void> {
  const own = { tx: id, signal };
  await client.call("importStart", { id, bytes: total }, { signal });
  try {
    let done = 0;
    for await (const piece of pieces) {
      check();
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

/** What is imported. */
interface Given {
  pieces: AsyncIterable<Uint8Array>;
  /** Bytes of all pieces. */
  total: number;
  /** Lets go of the source. */
  end(): Promise<unknown>;
}

/** What ends an import whose source says nothing: `check` throws once one of the signals was given. */
interface Stop {
  signals: readonly AbortSignal[];
  check(): void;
}

/** The source in pieces. */
async function open(source: ImportSource, stop: Stop): Promise<Given> {
  if (source instanceof ArrayBuffer) return open(new Uint8Array(source), stop);
  if (source instanceof Uint8Array) {
    checkHeader(source);
    return { pieces: slices(source), total: source.byteLength, end: async () => {} };
  }
  if (typeof Blob !== "undefined" && source instanceof Blob) {
    checkHeader(new Uint8Array(await source.slice(0, HEADER_BYTES).arrayBuffer()));
    const pieces = read(source.stream().getReader(), stop);
    return { pieces, total: source.size, end: () => pieces.return() };
  }
  if (source instanceof ReadableStream) return openStream(source, stop);
  throw new DataSyncError("Misuse", "import takes a Uint8Array, an ArrayBuffer, a Blob (a File) or a ReadableStream.");
}

async function openStream(source: ReadableStream<Uint8Array>, stop: Stop): Promise<Given> {
  const rest = read(source.getReader(), stop);
  let begin = new Uint8Array(0);
  try {
    while (begin.byteLength < HEADER_BYTES) {
      const { value, done } = await rest.next();
      if (done) break;
      begin = join(begin, value);
    }
    checkHeader(begin);
    const first = begin, total = sizeByHeader(first);
    const pieces = (async function* () {
      yield first;
      yield* rest;
    })();
    return { pieces, total, end: () => rest.return() };
  } catch (error) {
    await rest.return();
    throw error;
  }
}

async function* read(
  reader: ReadableStreamDefaultReader<Uint8Array>, { signals, check }: Stop = { signals: [], check() {} },
): AsyncGenerator<Uint8Array, void> {
  // Ends what is being read, too: a source may say nothing for ever.
  const cancel = () => reader.cancel().catch(() => {});
  for (const signal of signals) signal.addEventListener("abort", cancel);
  try {
    for (;;) {
      check();
      const { value, done } = await reader.read();
      check();
      if (done) return;
      if (!((value as unknown) instanceof Uint8Array)) {
        throw new DataSyncError("Misuse", "import takes a stream of bytes, each piece a Uint8Array. Nothing was changed.");
      }
      yield* slices(value);
    }
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", cancel);
    await cancel();
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
