// Reads extents of a database for a worker that waits for them: where wasm cannot be suspended but memory can be
// shared (a cross-origin isolated page), a second worker has a connection of its own.
//
// Both sides are here. They talk through shared memory alone: a state, what is asked, and the answer. The rule it
// keeps: whoever waits is told, also of a failure, and does not wait for ever.

import { INDEXEDDB_PREFIX } from "./places.ts";
import { connectionOf, inTime, resultOf } from "./waiting.ts";

/** What the reading worker is called: the same file, told by this name what it is. */
export const READER = "datasync-reader";

/** Most extents of one answer, and the bytes of one at most (`VALUE_PAGES` of the wasm). */
const MOST = 16;
const VALUE_BYTES = 15 * 4096;

// The head of the shared memory, in words: state, first extent (two words), how many, then a length for each.
const STATE = 0, FIRST = 1, COUNT = 3, LENGTHS = 4;
const HEAD_BYTES = 4 * (LENGTHS + MOST);
// The two low bits of the state; above them is the number of the question, so that an answer which comes after its
// question was given up is never taken for the next one's.
const ASKED = 1, ANSWERED = 2, FAILED = 3, KIND = 3, QUESTION = 4;
/** The length of what is not there. */
const ABSENT = -1;

/** The reading worker has so long to start, and to answer, ms; it tries twice. */
const START_MS = 5_000;
const ANSWER_MS = 30_000;
const READ_MS = 12_000;

interface Shared {
  head: Int32Array;
  data: Uint8Array;
}

function viewsOf(memory: SharedArrayBuffer): Shared {
  return { head: new Int32Array(memory, 0, LENGTHS + MOST), data: new Uint8Array(memory, HEAD_BYTES) };
}

/** The waiting side. */
export class Reader {
  readonly #worker: Pick<Worker, "terminate">;
  readonly #shared: Shared;
  readonly #patienceMs: number;

  /** Over a worker that serves this `memory`. */
  constructor(worker: Pick<Worker, "terminate">, memory: SharedArrayBuffer, patienceMs = ANSWER_MS) {
    this.#worker = worker;
    this.#shared = viewsOf(memory);
    this.#patienceMs = patienceMs;
  }

  /** What both sides share. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(HEAD_BYTES + MOST * VALUE_BYTES);
  }

  /** Starts the other worker, where that can work; undefined where it cannot. */
  static async start(name: string): Promise<Reader | undefined> {
    if (globalThis.crossOriginIsolated !== true || !("waitAsync" in Atomics) || typeof Worker === "undefined") return undefined;
    const memory = Reader.memory();
    // Fails where this worker came from a copy inside the package, whose address is gone by now.
    let worker: Worker;
    try {
      worker = new Worker(globalThis.location.href, { type: "module", name: READER });
    } catch {
      return undefined;
    }
    const ready = await new Promise<boolean>((resolve) => {
      worker.onmessage = () => resolve(true);
      worker.onerror = (event) => {
        event.preventDefault();
        resolve(false);
      };
      setTimeout(resolve, START_MS, false);
      worker.postMessage({ memory, database: INDEXEDDB_PREFIX + encodeURIComponent(name) });
    });
    if (ready) return new Reader(worker, memory);
    worker.terminate();
    return undefined;
  }

  /** Waits for `count` extents from `first` on. What it returns is valid until the next call. */
  readonly read = (first: number, count: number): (Uint8Array | undefined)[] => {
    const { head, data } = this.#shared;
    if (count > MOST) return [...this.read(first, MOST).map((value) => value?.slice()), ...this.read(first + MOST, count - MOST)];
    head[FIRST] = first % 2 ** 32;
    head[FIRST + 1] = first / 2 ** 32;
    head[COUNT] = count;
    const asked = ((Atomics.load(head, STATE) & ~KIND) + QUESTION + ASKED) | 0;
    Atomics.store(head, STATE, asked);
    Atomics.notify(head, STATE);
    const end = performance.now() + this.#patienceMs;
    // Woken by the late answer to an earlier question, it waits on.
    while (Atomics.load(head, STATE) === asked) {
      if (Atomics.wait(head, STATE, asked, Math.max(0, end - performance.now())) === "timed-out") {
        throw new DOMException("the worker that reads for this one has not answered for a long time", "TimeoutError");
      }
    }
    if ((Atomics.load(head, STATE) & KIND) === FAILED) {
      const [kind = "", ...words] = textOf(data.slice(0, head[LENGTHS])).split(": ");
      throw new DOMException(words.join(": "), kind);
    }
    return Array.from({ length: count }, (_, at) => {
      const bytes = head[LENGTHS + at] ?? ABSENT;
      return bytes === ABSENT ? undefined : data.subarray(at * VALUE_BYTES, at * VALUE_BYTES + bytes);
    });
  };

  /** Ends the other worker. */
  close(): void {
    this.#worker.terminate();
  }
}

function textOf(bytes: Uint8Array<ArrayBuffer>): string {
  return new TextDecoder().decode(bytes);
}

/** The reading side: answers until its worker is ended. */
export function serveReads(scope: DedicatedWorkerGlobalScope, readMs = READ_MS): void {
  scope.onmessage = ({ data: { memory, database } }: MessageEvent<{ memory: SharedArrayBuffer; database: string }>) => {
    const shared = viewsOf(memory);
    const records = new Records(database, readMs);
    void answer(shared, records);
    scope.postMessage("ready");
  };
}

async function answer({ head, data }: Shared, records: Records): Promise<never> {
  for (;;) {
    const state = Atomics.load(head, STATE);
    if ((state & KIND) !== ASKED) {
      await waitAsync(head, STATE, state);
      continue;
    }
    const say = (kind: number) => Atomics.compareExchange(head, STATE, state, (state & ~KIND) | kind);
    try {
      const first = ((head[FIRST] ?? 0) >>> 0) + (head[FIRST + 1] ?? 0) * 2 ** 32;
      const values = await records.read(first, head[COUNT] ?? 0);
      values.forEach((value, at) => {
        head[LENGTHS + at] = value?.length ?? ABSENT;
        if (value) data.set(value, at * VALUE_BYTES);
      });
      say(ANSWERED);
    } catch (error) {
      const { name, message } = error as Error;
      const words = new TextEncoder().encode(`${name}: ${message}`).subarray(0, VALUE_BYTES);
      head[LENGTHS] = words.length;
      data.set(words);
      say(FAILED);
    }
    Atomics.notify(head, STATE);
  }
}

/** Waits, with the event loop running, until the word at `at` is no longer `value`. */
async function waitAsync(words: Int32Array, at: number, value: number): Promise<void> {
  const { waitAsync } = Atomics as unknown as {
    waitAsync(words: Int32Array, at: number, value: number): { async: boolean; value: unknown };
  };
  const waited = waitAsync(words, at, value);
  if (waited.async) await waited.value;
}

/** The object store of `base.db`, over a connection that is opened when it is needed. */
class Records {
  readonly #name: string;
  readonly #readMs: number;
  #connection: IDBDatabase | undefined;

  constructor(name: string, readMs: number) {
    this.#name = name;
    this.#readMs = readMs;
  }

  async read(first: number, count: number): Promise<(Uint8Array | undefined)[]> {
    try {
      return await inTime(this.#readMs, this.#read(first, count));
    } catch (error) {
      // Browsers drop connections, or forget them; once more with a new one.
      if (!["InvalidStateError", "AbortError", "UnknownError", "TimeoutError"].includes((error as Error).name)) throw error;
      this.#connection?.close();
      this.#connection = undefined;
      return inTime(this.#readMs, this.#read(first, count));
    }
  }

  async #read(first: number, count: number): Promise<(Uint8Array | undefined)[]> {
    this.#connection ??= await this.#open();
    const store = this.#connection.transaction("base", "readonly").objectStore("base");
    const wanted = Array.from({ length: count }, (_, at) => resultOf<unknown>(store.get(first + at)));
    const values = await Promise.all(wanted);
    return values.map((value) => (value instanceof Uint8Array ? value.subarray(0, VALUE_BYTES) : undefined));
  }

  async #open(): Promise<IDBDatabase> {
    const request = indexedDB.open(this.#name);
    // It was there a moment ago: none is made in its place.
    request.onupgradeneeded = () => request.transaction?.abort();
    const connection = await connectionOf(request, this.#readMs);
    const drop = () => {
      connection.close();
      if (this.#connection === connection) this.#connection = undefined;
    };
    connection.onversionchange = drop;
    connection.onclose = drop;
    return connection;
  }
}
