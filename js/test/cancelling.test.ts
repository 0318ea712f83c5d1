// Calls that are no longer wanted: what goes with them, and what does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import { open } from "../src/open.ts";
import type { ToWorker } from "../src/protocol.ts";
import { inTransaction, type Stage } from "../src/transaction.ts";
import { opened, rest } from "./fake.ts";

test("a_batch_that_is_stopped_in_a_transaction_takes_nothing_else_with_it", async () => {
  const { session, run, call, send, number, mailbox } = await opened();
  await call({ op: "begin", id: 1 });
  await run("PUT ?", ["mine"], { tx: 1 });
  const items = ["INSERT ?", "SELECT; INSERT ?"].map((sql, at) => ({ sql, params: [at] }));
  const batch = number({ op: "batch", items, mode: "immediate" }, { tx: 1 });
  const step = session.step.bind(session);
  session.step = (id, rows) => {
    if (session.wordOf(id) === "SELECT") mailbox.hear({ type: "cancel", id: batch.id });
    return step(id, rows);
  };
  await assert.rejects(send(batch)[0] as Promise<unknown>, { kind: "Aborted" });
  assert.deepEqual([session.inTransaction(), session.values], [true, ["mine"]]);
  await call({ op: "commit", id: 1 }, { tx: 1 });
  assert.deepEqual([session.commits, session.values], [1, ["mine"]]);
});

test("a_transaction_that_nobody_waits_for_any_more_may_sleep", async () => {
  const { session, run, call, send, number, mailbox } = await opened();
  await call({ op: "begin", id: 1, idleMs: 30 });
  await run("PUT ?", ["mine"], { tx: 1 });
  const other = number({ op: "run", sql: "GET", params: undefined, keep: "nothing" });
  const [waits] = send(other);
  await rest();
  mailbox.hear({ type: "cancel", id: other.id });
  await assert.rejects(waits as Promise<unknown>, { kind: "Aborted" });
  await rest(60);
  await call({ op: "commit", id: 1 }, { tx: 1 });
  assert.deepEqual([session.commits, session.values], [1, ["mine"]]);
});

/** A worker that starts, and grants what `grants` names; other calls it never answers. */
function worker(grants: readonly string[]) {
  const heard: string[] = [];
  class FakeWorker {
    onmessage: ((event: unknown) => void) | undefined;
    constructor() {
      setTimeout(() => this.onmessage?.({ data: { type: "ready", alive: "" } }));
    }
    postMessage(message: ToWorker): void {
      if (message.type !== "calls") return;
      heard.push(...message.calls.map(({ request: { op } }) => op));
      const answers = message.calls.filter(({ request: { op } }) => grants.includes(op)).map(({ id }) => ({ id, ok: undefined }));
      setTimeout(() => this.onmessage?.({ data: { type: "answers", answers } }));
    }
    terminate(): void {}
  }
  return { FakeWorker, heard };
}

const stopped = (message: RegExp) => ({ name: "DataSyncError", kind: "Aborted", message });

test("who_stops_a_transaction_is_told_whether_it_had_begun", async () => {
  const { FakeWorker, heard } = worker(["begin", "rollback"]);
  const client = new Client(new FakeWorker() as unknown as Worker, "");
  const stage: Stage = { client, integers: "auto", durability: "durable", inside: () => {} };
  const stop = new AbortController();
  const inside = inTransaction(stage, 1, (tx) => (stop.abort(), tx.exec("PUT ?", [1])), { signal: stop.signal });
  await assert.rejects(inside, stopped(/in mid-transaction; it is rolled back/));
  assert.deepEqual(heard, ["begin", "rollback"]);
  const late = inTransaction(stage, 2, () => {}, { signal: stop.signal });
  await assert.rejects(late, stopped(/before it began; nothing was changed/));
  assert.deepEqual(heard, ["begin", "rollback"]);
});

test("who_stops_an_opening_is_told_whether_it_had_begun", async (t) => {
  const { FakeWorker, heard } = worker([]);
  Object.assign(globalThis, { Worker: FakeWorker });
  t.after(() => delete (globalThis as { Worker?: unknown }).Worker);
  const stop = new AbortController();
  const opening = open({ name: "t", backend: "memory", signal: stop.signal });
  opening.catch(() => {});
  while (heard.length === 0) await rest();
  stop.abort();
  await assert.rejects(opening, stopped(/while it opened; what was acknowledged earlier is there/));
  await assert.rejects(open({ name: "t", signal: stop.signal }), stopped(/before it began; nothing was changed/));
  assert.deepEqual(heard, ["open"]);
});
