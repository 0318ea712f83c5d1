// Imports whose source does not go on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import type { Call, ToWorker } from "../src/protocol.ts";
import { importFrom } from "../src/transfer.ts";

/** A page of a database file that says it has two. */
function firstPage(): Uint8Array {
  const page = new Uint8Array(4096);
  page.set(new TextEncoder().encode("SQLite format 3\0"));
  const view = new DataView(page.buffer);
  view.setUint16(16, 4096);
  view.setUint32(28, 2);
  return page;
}

/** An import from a stream that gives this and then says nothing. */
function importing(first: Uint8Array | undefined, refused?: string) {
  const heard: Call[] = [];
  const worker = {
    onmessage: undefined as ((event: unknown) => void) | undefined,
    terminate() {},
    postMessage(message: ToWorker) {
      if (message.type !== "calls") return;
      heard.push(...message.calls);
      const error = { kind: "Misuse", message: "no" };
      const answers = message.calls.map(({ id, request }) => (request.op === refused ? { id, error } : { id, ok: undefined }));
      setTimeout(() => worker.onmessage?.({ data: { type: "answers", answers } }));
    },
  };
  const client = new Client(worker as unknown as Worker, "");
  let cancelled = 0;
  const source = new ReadableStream<Uint8Array>({
    start: (to) => first && to.enqueue(first),
    cancel: () => void (cancelled += 1),
  });
  const port = { client, tx: undefined, integers: "auto", durability: undefined, check() {} } as const;
  const stop = new AbortController();
  const over = importFrom(port, 1, source, { signal: stop.signal });
  over.catch(() => {});
  const late = new Promise((resolve) => setTimeout(resolve, 2000)).then(() => Promise.reject(new Error("it still waits")));
  const told = () => Promise.race([over, late]);
  const ops = () => heard.map(({ request: { op } }) => op);
  return { client, stop, told, ops, cancelled: () => cancelled };
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

test("an_import_whose_source_says_nothing_can_be_stopped", async () => {
  for (const first of [undefined, firstPage()]) {
    const { stop, told, ops, cancelled } = importing(first);
    await soon();
    stop.abort();
    await assert.rejects(told(), { kind: "Aborted", message: /before all of it was there; nothing was changed/ });
    assert.deepEqual(ops(), first ? ["importStart", "importWrite", "importCancel"] : []);
    assert.equal(cancelled(), 1, "the source is told");
  }
});

test("an_import_whose_source_says_nothing_ends_with_its_worker", async () => {
  for (const first of [undefined, firstPage()]) {
    const { client, told, cancelled } = importing(first);
    await soon();
    client.terminate("it was terminated on purpose");
    await assert.rejects(told(), { kind: "Closed" });
    assert.equal(cancelled(), 1);
  }
});

test("an_import_that_is_refused_lets_its_source_go", async () => {
  for (const op of ["importStart", "importWrite"]) {
    const { told, cancelled } = importing(firstPage(), op);
    await assert.rejects(told(), { kind: "Misuse" });
    assert.equal(cancelled(), 1, op);
  }
});
