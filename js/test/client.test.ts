import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import type { FromWorker, ToWorker } from "../src/protocol.ts";

class FakeWorker {
  sent: ToWorker[] = [];
  ended = false;
  onmessage: ((event: { data: FromWorker }) => void) | undefined;
  onerror: ((event: unknown) => void) | undefined;
  postMessage(message: ToWorker): void {
    structuredClone(message);
    this.sent.push(message);
  }
  terminate(): void {
    this.ended = true;
  }
  answer(...answers: { id: number; ok: unknown }[]): void {
    this.onmessage?.({ data: { type: "answers", answers } });
  }
}

function started() {
  const worker = new FakeWorker();
  const client = new Client(worker as unknown as Worker, "");
  const calls = () => worker.sent.flatMap((message) => (message.type === "calls" ? message.calls : []));
  return { worker, client, calls };
}

const put = { sql: "INSERT INTO t VALUES (1)", params: undefined, keep: "nothing" } as const;

test("calls_of_one_turn_are_one_message_and_settle_by_their_ids", async () => {
  const { worker, client } = started();
  const [a, b] = [client.call("run", put), client.call("stats", {})];
  await Promise.resolve();
  assert.equal(worker.sent.length, 1);
  worker.answer({ id: 2, ok: "b" }, { id: 1, ok: "a" });
  assert.deepEqual(await Promise.all([a, b]), ["a", "b"]);
});

test("when_the_worker_dies_every_promise_settles_and_says_what_is_known", async () => {
  const { worker, client } = started();
  const change = client.call("run", put);
  const inTransaction = client.call("run", put, { tx: 3 });
  const notAwaited = client.call("run", put, { tx: 1 });
  const commit = client.call("commit", { id: 1 }, { tx: 1 });
  const imported = client.call("importEnd", {}, { tx: 2 });
  const changes = client.call("apply", { changes: new Uint8Array(1), onConflict: "abort" });
  const numbers = client.call("stats", {});
  await Promise.resolve();
  const unsent = client.call("run", put);
  worker.onerror?.({ message: "out of memory", preventDefault() {} });
  await assert.rejects(change, { kind: "Indeterminate" });
  await assert.rejects(inTransaction, { kind: "Closed" });
  await assert.rejects(commit, { kind: "Indeterminate" });
  await assert.rejects(notAwaited, { kind: "Indeterminate" }, "it stays if its transaction does");
  await assert.rejects(imported, { kind: "Indeterminate" });
  await assert.rejects(changes, { kind: "Indeterminate" });
  await assert.rejects(numbers, { kind: "Closed" });
  await assert.rejects(unsent, { kind: "Closed" }, "it was never sent, so nothing of it stays");
  await assert.rejects(client.call("stats", {}), { kind: "Closed" });
  assert.ok(worker.ended);
});

test("a_call_that_is_aborted_before_it_was_sent_never_is", async () => {
  const { worker, client, calls } = started();
  const stop = new AbortController();
  const call = client.call("run", put, { signal: stop.signal });
  stop.abort();
  await assert.rejects(call, { kind: "Aborted" });
  await Promise.resolve();
  assert.deepEqual(calls(), []);
  const late = client.call("run", put, { signal: AbortSignal.abort() });
  await assert.rejects(late, { kind: "Aborted" });
  assert.equal(worker.sent.length, 0);
});

test("every_promise_settles_on_abort", async () => {
  // At each moment of a call: before it is sent, while the worker has it, when its answer is there; and for each
  // word that the worker can give. Nobody is left waiting, and nothing settles twice.
  const words: { word: { ok: unknown } | { error: unknown } | undefined; kind: string | undefined }[] = [
    { word: { ok: "done" }, kind: undefined },
    { word: { error: { kind: "Aborted", message: "stopped" } }, kind: "Aborted" },
    { word: { error: { kind: "Indeterminate", message: "a barrier failed" } }, kind: "Indeterminate" },
    { word: undefined, kind: "Indeterminate" },
  ];
  for (const { word, kind } of words) {
    for (const moment of ["unsent", "sent", "answered"]) {
      const { worker, client } = started();
      const stop = new AbortController();
      let settled = 0;
      const call = client.call("run", put, { signal: stop.signal });
      const other = client.call("run", put);
      for (const promise of [call, other]) promise.then(() => (settled += 1), () => (settled += 1));
      if (moment === "unsent") stop.abort();
      await Promise.resolve();
      if (moment === "sent") stop.abort();
      const give = (id: number) => {
        if (word === undefined) worker.onerror?.({ message: "gone", preventDefault() {} });
        else worker.onmessage?.({ data: { type: "answers", answers: [{ id, ...word }] } as FromWorker });
      };
      give(1);
      give(2);
      if (moment === "answered") stop.abort();
      const ends = await Promise.race([
        Promise.allSettled([call, other]),
        new Promise<never>((_, reject) => setTimeout(reject, 1000, new Error(`${moment}: somebody still waits`))),
      ]);
      const kinds = ends.map((end) => (end.status === "fulfilled" ? undefined : (end.reason as { kind: string }).kind));
      assert.deepEqual(kinds, [moment === "unsent" ? "Aborted" : kind, kind], `${moment}, ${JSON.stringify(word)}`);
      assert.equal(settled, 2, "once each");
    }
  }
});

test("a_call_that_is_aborted_later_settles_by_the_workers_word", async () => {
  const { worker, client } = started();
  const stop = new AbortController();
  const call = client.call("run", put, { signal: stop.signal });
  await Promise.resolve();
  stop.abort();
  assert.deepEqual(worker.sent.at(-1), { type: "cancel", id: 1 });
  worker.answer({ id: 1, ok: "it had run" });
  assert.equal(await call, "it had run");
});

test("what_cannot_be_sent_is_an_error_of_that_call", async () => {
  const { client } = started();
  await assert.rejects(client.call("run", { ...put, sql: (() => {}) as never }), { kind: "Misuse" });
});
