// The worker that reads for another one, which waits: both sides, each on a thread of its own.
//
// This file is both: bundled, it starts itself a second time as the reading side, over a database that answers when
// a test says so.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMainThread, parentPort, Worker as Thread } from "node:worker_threads";
import { fileURLToPath } from "node:url";
import { Reader, serveReads } from "../src/reader.ts";

/** Where the shared memory says which extent is asked for. */
const FIRST = 1;

if (!isMainThread) {
  const scope = { onmessage: (_: unknown) => {}, postMessage: (word: string) => parentPort?.postMessage(word) };
  serveReads(scope as unknown as DedicatedWorkerGlobalScope, 50);
  // Listening for good: Node would end a thread that only waits for shared memory.
  parentPort?.on("message", (data: { memory: SharedArrayBuffer }) => {
    const head = new Int32Array(data.memory);
    const until = (so: () => boolean, then: () => void): void => void (so() ? then() : setTimeout(until, 1, so, then));
    const later = <T>(result: T, so: () => boolean) => {
      const request = { result, onsuccess: () => {}, onerror: () => {} };
      setTimeout(until, 0, so, () => request.onsuccess());
      return request;
    };
    // Extent 5 is found only once somebody has asked for another one, extent 6 never on the first connection.
    let connections = 0;
    const open = () => {
      const mine = (connections += 1);
      const found = (extent: number) => (extent !== 5 || head[FIRST] !== 5) && (extent !== 6 || mine > 1);
      const get = (extent: number) => later(new Uint8Array([extent]), () => found(extent));
      return later({ transaction: () => ({ objectStore: () => ({ get }) }), close: () => {} }, () => true);
    };
    Object.assign(globalThis, { indexedDB: { open } });
    scope.onmessage({ data });
  });
} else {
  const worker = { terminate: () => {} };

  /** Calls `use` with what both sides share, while the reading side runs. */
  const serving = async (use: (memory: SharedArrayBuffer, read: (first: number, count: number) => number[][]) => void) => {
    const memory = Reader.memory();
    const thread = new Thread(fileURLToPath(import.meta.url));
    try {
      const ready = new Promise((resolve) => thread.once("message", resolve));
      thread.postMessage({ memory, database: "t" });
      await ready;
      const patient = new Reader(worker, memory, 5_000);
      use(memory, (first, count) => patient.read(first, count).map((value) => [...(value ?? [])]));
    } finally {
      await thread.terminate();
    }
  };

  test("an_answer_that_came_too_late_is_no_answer_to_the_next_question", () =>
    serving((memory, read) => {
      const hasty = new Reader(worker, memory, 20);
      assert.throws(() => hasty.read(5, 1), { name: "TimeoutError" });
      assert.deepEqual(read(9, 1), [[9]], "not what extent 5 holds");
      assert.deepEqual(read(7, 2), [[7], [8]]);
    }));

  test("a_read_that_the_browser_never_answers_is_tried_on_a_new_connection", () =>
    serving((_, read) => {
      assert.deepEqual(read(6, 1), [[6]]);
      assert.deepEqual(read(7, 1), [[7]]);
    }));
}
