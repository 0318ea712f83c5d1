// Calls that are no longer wanted: what goes with them, and what does not.

import assert from "node:assert/strict";
import { test } from "node:test";
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
