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
  serveReads(scope as unknown as DedicatedWorkerGlobalScope);
  // Listening for good: Node would end a thread that only waits for shared memory.
  parentPort?.on("message", (data: { memory: SharedArrayBuffer }) => {
    const head = new Int32Array(data.memory);
    const until = (so: () => boolean, then: () => void): void => void (so() ? then() : setTimeout(until, 1, so, then));
    const later = <T>(result: T, so: () => boolean) => {
      const request = { result, onsuccess: () => {}, onerror: () => {} };
      setTimeout(until, 0, so, () => request.onsuccess());
      return request;
    };
    // Extent 5 is found only once somebody has asked for another one.
    const get = (extent: number) => later(new Uint8Array([extent]), () => extent !== 5 || head[FIRST] !== 5);
    const connection = { transaction: () => ({ objectStore: () => ({ get }) }), close: () => {} };
    Object.assign(globalThis, { indexedDB: { open: () => later(connection, () => true) } });
    scope.onmessage({ data });
  });
} else {
  test("an_answer_that_came_too_late_is_no_answer_to_the_next_question", async () => {
    const memory = Reader.memory();
    const thread = new Thread(fileURLToPath(import.meta.url));
    try {
      const ready = new Promise((resolve) => thread.once("message", resolve));
      thread.postMessage({ memory, database: "t" });
      await ready;
      const worker = { terminate: () => {} };
      const hasty = new Reader(worker, memory, 20), patient = new Reader(worker, memory, 10_000);
      assert.throws(() => hasty.read(5, 1), { name: "TimeoutError" });
      const read = (first: number, count: number) => patient.read(first, count).map((value) => [...(value ?? [])]);
      assert.deepEqual(read(9, 1), [[9]], "not what extent 5 holds");
      assert.deepEqual(read(7, 2), [[7], [8]]);
    } finally {
      await thread.terminate();
    }
  });
}
