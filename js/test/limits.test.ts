// How long things may take, and when nobody's work is done: by timers that the tests advance.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { SyncTimer } from "../src/autosync.ts";
import { gate, opened, rest, settled } from "./fake.ts";

/** Timers of this test; the clock moves when it is told to, and what it woke has then run. */
function timers(t: TestContext): (ms: number) => Promise<void> {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  return async (ms) => {
    await settled();
    t.mock.timers.tick(ms);
    await settled();
  };
}

test("a_transaction_that_takes_too_long_is_rolled_back", async (t) => {
  const pass = timers(t);
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1, timeoutMs: 20 });
  await run("PUT ?", ["gone"], { tx: 1 });
  const other = run("PUT ?", ["other"]);
  await pass(19);
  assert.deepEqual(session.values, ["gone"]);
  await pass(1);
  await other;
  assert.deepEqual(session.values, ["other"]);
  await assert.rejects(run("GET", undefined, { tx: 1 }), { kind: "Expired", message: /20 ms/ });
});

test("a_transaction_that_sleeps_while_others_wait_is_rolled_back_and_told_why", async (t) => {
  const pass = timers(t);
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1, idleMs: 20 });
  await pass(60);
  await run("PUT ?", ["mine"], { tx: 1 });
  const other = run("PUT ?", ["other"]);
  await pass(19);
  assert.deepEqual(session.values, ["mine"], "nobody waited at first, so the sleep was no harm");
  await pass(1);
  await other;
  assert.deepEqual(session.values, ["other"]);
  await assert.rejects(call({ op: "commit", id: 1 }, { tx: 1 }), { kind: "Expired", message: /use tx/ });
});

test("a_transaction_does_not_sleep_while_it_waits_for_a_barrier", async (t) => {
  const pass = timers(t);
  const { session, run, call } = await opened();
  const barrier = gate();
  session.barrier = barrier.wait;
  const first = run("PUT ?", ["first"]);
  await settled();
  const begun = call({ op: "begin", id: 1, idleMs: 20 });
  await settled();
  const other = run("PUT ?", ["other"]);
  await pass(60);
  session.barrier = undefined;
  barrier.open();
  await Promise.all([first, begun]);
  await run("PUT ?", ["mine"], { tx: 1 });
  await call({ op: "commit", id: 1 }, { tx: 1 });
  await other;
  assert.deepEqual(session.values, ["first", "mine", "other"]);
});

test("a_call_of_the_transaction_that_runs_for_long_is_no_sleep", async (t) => {
  const pass = timers(t);
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1, idleMs: 20 });
  await run("PUT ?", ["mine"], { tx: 1 });
  const tending = gate(), running = gate();
  let tends = 0;
  session.tend = () => (tends += 1) === 1 ? (tending.wait().then(() => false) as never) : false;
  // Once for the calls that have disturbed its sleep.
  for (let nap = 0; nap < 2; nap += 1) await pass(20);
  assert.equal(tends, 1);
  const step = session.step.bind(session);
  session.step = (id, rows) => running.wait().then(() => step(id, rows)) as never;
  // Both are heard while the worker tends.
  const long = run("PUT ?", ["long"], { tx: 1 }), other = run("PUT ?", ["other"]);
  tending.open();
  await pass(60);
  assert.deepEqual(session.values, ["mine"]);
  running.open();
  await long;
  session.step = step;
  await call({ op: "commit", id: 1 }, { tx: 1 });
  await other;
  assert.deepEqual(session.values, ["mine", "long", "other"]);
});

test("calls_that_keep_coming_wait_for_no_fold_and_files_are_made_ready_all_the_same", async (t) => {
  const pass = timers(t);
  const { session, clock, run } = await opened();
  let refills = 0;
  session.refill = async () => (refills += 1) === 0;
  const tends = session.tends;
  for (let n = 0; n < 20; n += 1) {
    clock.ms += 50;
    await run("PUT ?", [n]);
    await pass(10);
  }
  assert.deepEqual([session.tends - tends, refills], [0, 4]);
  for (let nap = 0; nap < 2; nap += 1) await pass(20);
  assert.equal(session.tends - tends, 1, "when they cease it looks whether there is something to fold");
});

test("a_limit_that_no_timer_counts_to_is_none", async () => {
  // With timers of the machine: others forget that they cannot count so far.
  const { session, run, call } = await opened();
  for (const ms of [Infinity, 2 ** 31]) {
    await call({ op: "begin", id: ms, timeoutMs: ms, idleMs: ms });
    const other = run("PUT ?", ["other"]);
    await rest();
    await run("PUT ?", ["mine"], { tx: ms });
    await call({ op: "commit", id: ms }, { tx: ms });
    await other;
  }
  assert.deepEqual(session.values, ["mine", "other", "mine", "other"]);
  const timer = new SyncTimer({ intervalMs: Infinity, debounceMs: 2 ** 31, maxDirty: Infinity });
  let synced = 0;
  timer.start(() => (synced += 1));
  timer.dirty(1e6);
  await rest();
  assert.equal(synced, 0);
});
