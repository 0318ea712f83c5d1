// Calls that are no longer wanted: what goes with them, and what does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import { open } from "../src/open.ts";
import { inTransaction, type Stage } from "../src/transaction.ts";
import { opened, rest, workerThat } from "./fake.ts";

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

/** Grants what `ops` names; other calls are never answered. */
function worker(ops: readonly string[]) {
  const { FakeWorker, heard } = workerThat(({ request: { op } }) => (ops.includes(op) ? { ok: undefined } : undefined));
  return { FakeWorker, ops: () => heard.map(({ request: { op } }) => op) };
}

const stopped = (message: RegExp) => ({ name: "DataSyncError", kind: "Aborted", message });

test("who_stops_a_transaction_is_told_whether_it_had_begun", async () => {
  const { FakeWorker, ops } = worker(["begin", "rollback"]);
  const client = new Client(new FakeWorker() as unknown as Worker, "");
  const stage: Stage = { client, integers: "auto", durability: "durable", inside: () => {} };
  const stop = new AbortController();
  const inside = inTransaction(stage, 1, (tx) => (stop.abort(), tx.exec("PUT ?", [1])), { signal: stop.signal });
  await assert.rejects(inside, stopped(/in mid-transaction; it is rolled back/));
  assert.deepEqual(ops(), ["begin", "rollback"]);
  const late = inTransaction(stage, 2, () => {}, { signal: stop.signal });
  await assert.rejects(late, stopped(/before it began; nothing was changed/));
  assert.deepEqual(ops(), ["begin", "rollback"]);
});

test("who_stops_an_opening_is_told_whether_it_had_begun", async (t) => {
  const { FakeWorker, ops } = worker([]);
  Object.assign(globalThis, { Worker: FakeWorker });
  t.after(() => delete (globalThis as { Worker?: unknown }).Worker);
  const stop = new AbortController();
  const opening = open({ name: "t", backend: "memory", signal: stop.signal });
  opening.catch(() => {});
  while (ops().length === 0) await rest();
  stop.abort();
  await assert.rejects(opening, stopped(/while it opened; what was acknowledged earlier is there/));
  await assert.rejects(open({ name: "t", signal: stop.signal }), stopped(/before it began; nothing was changed/));
  assert.deepEqual(ops(), ["open"]);
});
