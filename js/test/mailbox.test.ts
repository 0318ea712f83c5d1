import assert from "node:assert/strict";
import { test } from "node:test";
import { Mailbox } from "../src/mailbox.ts";
import type { Call, FromWorker } from "../src/protocol.ts";
import { decodeArrays } from "../src/wire.ts";
import { gate, opened, rest } from "./fake.ts";

test("answers_of_one_turn_leave_together_after_one_barrier", async () => {
  const { session, posted, send, number } = await opened();
  const put = (n: number) => number({ op: "run", sql: "PUT ?", params: [n], keep: "nothing" });
  await Promise.all(send(put(1), put(2), put(3)));
  assert.equal(session.settles, 1);
  assert.equal(posted.filter((message) => message.type === "answers").length, 1);
});

test("no_answer_leaves_before_what_it_tells_is_durable", async () => {
  const { session, run } = await opened();
  const barrier = gate();
  session.barrier = barrier.wait;
  let answered = 0;
  void run("PUT ?", [1]).then(() => (answered += 1));
  await rest();
  void run("GET").then(() => (answered += 1));
  await rest();
  assert.equal(answered, 0, "neither the change nor the rows that show it");
  assert.deepEqual(session.values, [1], "though both were executed");
  barrier.open();
  await rest();
  assert.equal(answered, 2);
});

test("commits_that_come_while_a_barrier_is_under_way_share_the_next_one", async () => {
  const { session, run } = await opened();
  const first = gate();
  session.barrier = first.wait;
  const answers = [run("PUT ?", [0])];
  await rest();
  for (let n = 1; n < 10; n += 1) answers.push(run("PUT ?", [n]));
  await rest();
  session.barrier = async () => {};
  first.open();
  await Promise.all(answers);
  assert.equal(session.settles, 2);
});

test("a_barrier_that_fails_makes_every_answer_that_waited_an_error", async () => {
  const { session, run } = await opened();
  session.barrier = () => Promise.reject(Object.assign(new Error("lost"), { kind: "Indeterminate", commit: "1.7" }));
  await assert.rejects(run("PUT ?", [1]), { kind: "Indeterminate", commit: "1.7" });
});

test("a_barrier_in_which_the_wasm_traps_answers_nobody", async () => {
  for (const how of ["at once", "later"]) {
    const { session, posted, run } = await opened();
    const trap = new WebAssembly.RuntimeError("unreachable");
    if (how === "later") session.barrier = () => Promise.reject(trap);
    else session.settleNow = () => { throw trap; };
    let answered = 0;
    void run("PUT ?", [1]).then(() => (answered += 1), () => (answered += 1));
    await rest();
    void run("PUT ?", [2]).then(() => (answered += 1), () => (answered += 1));
    await rest();
    // The page then says of each call that its outcome is not known.
    assert.deepEqual(posted, [{ type: "died", message: "unreachable" }], how);
    assert.equal(answered, 0, how);
  }
});

test("what_a_deposed_tab_reads_is_fenced_and_not_called_damage", async () => {
  const { session, run } = await opened();
  await assert.rejects(run("DAMAGED"), { kind: "Corrupt" }, "nobody else has the database");
  session.owned = () => Promise.reject(Object.assign(new Error("the browser refuses"), { kind: "Io" }));
  await assert.rejects(run("DAMAGED"), { kind: "Corrupt" }, "nobody knows better");
  session.owned = () => Promise.reject(Object.assign(new Error("another tab took it"), { kind: "Fenced" }));
  await assert.rejects(run("DAMAGED"), { kind: "Fenced", message: /another tab/ });
});

test("raw_files_and_a_report_of_a_deposed_tab_are_an_error_and_no_mixture", async () => {
  const { session, call } = await opened();
  assert.deepEqual(await call({ op: "exportStore" }), [{ name: "base.db", bytes: new Uint8Array([1, 2, 3]) }]);
  session.owned = () => Promise.reject(Object.assign(new Error("another tab took it"), { kind: "Fenced" }));
  assert.deepEqual(await call({ op: "verify" }), { ok: true });
  session.report = { ok: false };
  await assert.rejects(call({ op: "verify" }), { kind: "Fenced" });
  await assert.rejects(call({ op: "exportStore" }), { kind: "Fenced" });
});

test("applied_answers_do_not_wait_and_are_synced_soon", async () => {
  const { session, run, call } = await opened("applied");
  await run("PUT ?", [1]);
  assert.equal(session.settles, 0);
  await call({ op: "sync" });
  assert.equal(session.settles, 1);
  for (let n = 0; n < 100; n += 1) await run("PUT ?", [n]);
  await rest();
  assert.equal(session.settles, 2, "at a hundred undurable ones, without being asked");
});

test("only_what_may_have_committed_counts_as_undurable", async () => {
  const { session, run, call } = await opened("applied");
  await run("PUT ?", [1]);
  for (let n = 0; n < 100; n += 1) await run("SELECT");
  await call({ op: "begin", id: 1 });
  for (let n = 0; n < 100; n += 1) await run("PUT ?", [n], { tx: 1 });
  await call({ op: "commit", id: 1 }, { tx: 1 });
  const items = Array.from({ length: 100 }, (_, n) => ({ sql: "PUT ?", params: [n] }));
  await call({ op: "batch", items, mode: "immediate" });
  for (let n = 0; n < 95; n += 1) await run("PUT ?", [n]);
  await call({ op: "importStart", id: 2, bytes: 1 });
  await call({ op: "importWrite", bytes: new Uint8Array(1) }, { tx: 2 });
  await call({ op: "importEnd" }, { tx: 2 });
  await call({ op: "storage" });
  await rest();
  assert.equal(session.settles, 0, "99 calls: one each for the transaction, the batch, and the import");
  await run("PUT ?", [1]);
  await rest();
  assert.equal(session.settles, 1);
});

test("a_witnessed_commit_is_asked_for_once_and_taken_back", async () => {
  const { session, run } = await opened();
  await run("PUT ?", [1], { durability: "witnessed" });
  await run("PUT ?", [2], { durability: "witnessed" });
  await run("PUT ?", [3]);
  assert.deepEqual(session.pragmas, ["PRAGMA datasync_durability = witnessed", "PRAGMA datasync_durability = applied"]);
});

test("an_import_is_witnessed_as_its_session_and_so_is_what_comes_after_it", async () => {
  const { session, run, call } = await opened("witnessed");
  await run("PUT ?", [1]);
  await call({ op: "importStart", id: 1, bytes: 1 });
  await call({ op: "importWrite", bytes: new Uint8Array(1) }, { tx: 1 });
  await call({ op: "importEnd" }, { tx: 1 });
  await run("PUT ?", [2]);
  const witnessed = "PRAGMA datasync_durability = witnessed";
  assert.deepEqual(session.pragmas, [witnessed, "import, witnessed: true", witnessed]);
});

test("an_export_that_an_import_ended_never_goes_on_as_another_one", async () => {
  const { run, call } = await opened();
  for (const n of [1, 2]) await run("PUT ?", [n]);
  const first = await call({ op: "exportStart" });
  assert.deepEqual(await call({ op: "exportRead", offset: 0, length: 1, ...first }), new Uint8Array([1]));
  await call({ op: "importStart", id: 1, bytes: 2 });
  await call({ op: "importWrite", bytes: new Uint8Array([8, 9]) }, { tx: 1 });
  await call({ op: "importEnd" }, { tx: 1 });
  const second = await call({ op: "exportStart" });
  await assert.rejects(call({ op: "exportRead", offset: 1, length: 1, ...first }), { kind: "Expired", message: /again/ });
  await call({ op: "exportEnd", ...first });
  await assert.rejects(call({ op: "exportStart" }), { kind: "Misuse", message: /cancel its stream/ }, "nobody else's is in the way");
  assert.deepEqual(await call({ op: "exportRead", offset: 1, length: 1, ...second }), new Uint8Array([9]));
});

test("a_deposed_tab_is_told_fenced_as_often_as_it_asks", async () => {
  const { session, run } = await opened();
  session.owned = () => Promise.reject(Object.assign(new Error("another tab took it"), { kind: "Fenced" }));
  session.step = () => { throw Object.assign(new Error("an earlier failure ended this opening"), { kind: "Poisoned" }); };
  for (let time = 0; time < 2; time += 1) await assert.rejects(run("PUT ?", [1]), { kind: "Fenced" });
});

test("calls_of_others_wait_until_the_transaction_is_over", async () => {
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1 });
  let other = false;
  void run("PUT ?", ["other"]).then(() => (other = true));
  await run("PUT ?", ["mine"], { tx: 1 });
  await rest();
  assert.equal(other, false);
  await call({ op: "commit", id: 1 }, { tx: 1 });
  await rest();
  assert.deepEqual(session.values, ["mine", "other"]);
});

test("a_transaction_that_sqlite_rolled_back_never_goes_on_without_one", async () => {
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1 });
  await run("PUT ?", ["gone"], { tx: 1 });
  await assert.rejects(run("ABORT", undefined, { tx: 1 }), { kind: "Full" });
  await assert.rejects(run("PUT ?", ["stray"], { tx: 1 }), { kind: "TransactionLost" });
  await assert.rejects(call({ op: "commit", id: 1 }, { tx: 1 }), { kind: "TransactionLost" });
  assert.deepEqual(session.values, []);
});

test("a_statement_that_would_end_its_transaction_is_refused", async () => {
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1 });
  await run("PUT ?", [1], { tx: 1 });
  for (const sql of ["COMMIT", " ; rollback", "-- note\nBEGIN"]) {
    const refused = { kind: "Misuse", message: /commits when its function|syntax/ };
    await assert.rejects(run(sql, undefined, { tx: 1 }), refused);
    await assert.rejects(call({ op: "cursor", sql, params: undefined, maxRows: 10 }, { tx: 1 }), refused);
  }
  await call({ op: "rollback", id: 1 }, { tx: 1 });
  assert.deepEqual(session.values, []);
});

test("what_a_sync_has_made_durable_is_not_called_full_for_what_comes_behind_it", async () => {
  const { session, send, number } = await opened();
  const full = Object.assign(new Error("no space or quota left"), { kind: "Full" });
  const ends = [Promise.resolve(), Promise.reject(full)];
  ends[1]!.catch(() => {});
  session.barrier = () => ends.shift()!;
  const put = (n: number) => number({ op: "run", sql: "PUT ?", params: [n], keep: "nothing" });
  const [x, sync, y] = send(put(1), number({ op: "sync" }), put(2));
  const told = await Promise.all([x, sync, y].map((answer) => answer!.then(() => "ok", (error: { kind: string }) => error.kind)));
  // The first barrier, which began after X was committed, succeeded.
  assert.equal(session.durable, 1);
  assert.deepEqual(told, ["ok", "ok", "Full"]);
});

test("a_batch_is_all_or_nothing", async () => {
  const { session, call } = await opened();
  const items = [{ sql: "PUT ?", params: [1] }, { sql: "FAIL", params: undefined }];
  await assert.rejects(call({ op: "batch", items, mode: "immediate" }), { kind: "Constraint", message: /^Item 1: UNIQUE/ });
  assert.deepEqual(session.values, []);
  await call({ op: "batch", items: items.slice(0, 1), mode: "immediate" });
  assert.deepEqual(session.values, [1]);
});

test("a_batch_in_a_transaction_is_a_part_of_it_or_nothing", async () => {
  const { session, run, call } = await opened();
  const batch = (...values: unknown[]) =>
    call({ op: "batch", items: values.map((value) => ({ sql: "INSERT ?", params: [value] })), mode: "immediate" } as never, { tx: 1 });
  await call({ op: "begin", id: 1 });
  await run("PUT ?", ["mine"], { tx: 1 });
  await batch(1, 2);
  await assert.rejects(batch(3, "taken"), { kind: "Constraint", message: /^Item 1: UNIQUE/ });
  assert.deepEqual([session.inTransaction(), session.values], [true, ["mine", 1, 2]]);
  await call({ op: "commit", id: 1 }, { tx: 1 });
  assert.deepEqual([session.commits, session.durable], [1, 3]);
  await call({ op: "begin", id: 1 });
  await run("PUT ?", ["mine"], { tx: 1 });
  session.stuck = Object.assign(new Error("the disk is gone"), { kind: "Io" });
  await assert.rejects(batch(4, "taken"), { kind: "Constraint" });
  await assert.rejects(call({ op: "commit", id: 1 }, { tx: 1 }), { kind: "TransactionLost" }, "half of it must not be committed");
  assert.deepEqual(session.values, ["mine", 1, 2]);
});

test("changes_are_one_commit_or_none_and_a_part_of_the_transaction_they_come_in", async () => {
  const { session, call } = await opened();
  const apply = (changes: number[], more = {}) =>
    call({ op: "apply", changes: Uint8Array.from(changes), onConflict: "abort" }, more);
  const before = session.settles;
  assert.deepEqual(await apply([1, 2]), { conflicts: 0 });
  assert.deepEqual([session.settles - before, session.durable], [1, 2], "answered when durable");
  await assert.rejects(apply([]), { kind: "Conflict" });
  assert.equal(session.inTransaction(), false, "nothing is left open");
  await call({ op: "begin", id: 7 });
  await apply([3], { tx: 7 });
  assert.equal(session.inTransaction(), true);
  await call({ op: "rollback", id: 7 }, { tx: 7 });
  assert.deepEqual(session.values, [1, 2]);
});

test("a_script_that_fails_leaves_no_transaction_that_it_began", async () => {
  const { session, call, run } = await opened();
  await assert.rejects(run("BEGIN; PUT ?; FAIL", [1]), { kind: "Constraint" });
  assert.deepEqual([session.inTransaction(), session.values], [false, []]);
  await run("PUT ?", [2]);
  await run("BEGIN");
  await assert.rejects(run("PUT ?; FAIL", [3]), { kind: "Constraint" });
  assert.equal(session.inTransaction(), true, "it was not the script's");
  await run("COMMIT");
  await call({ op: "begin", id: 1 });
  await assert.rejects(run("PUT ?; FAIL", [4], { tx: 1 }), { kind: "Constraint" });
  await call({ op: "commit", id: 1 }, { tx: 1 });
  assert.deepEqual(session.values, [2, 3, 4]);
});

test("every_statement_of_several_runs", async () => {
  const { session, run } = await opened();
  const { statements, steps } = await run("PUT ?; PUT ?;\n GET; PUT ?;", [1, 2, 3]);
  assert.equal(statements, 4);
  assert.deepEqual(session.values, [1, 2, 3]);
  assert.deepEqual(decodeArrays(steps[0].rows.chunks[0]), [[1], [2]]);
});

test("parameters_are_counted_before_a_statement_runs", async () => {
  const { session, run } = await opened();
  await assert.rejects(run("PUT ?", []), { kind: "Misuse" });
  await assert.rejects(run("PUT ?", [1, 2]), { kind: "Misuse" });
  await assert.rejects(run("PUT :a", { names: ["b"], values: [1] } as never), { kind: "Misuse", message: /:a/ });
  await assert.rejects(run("PUT :a", { names: ["a", "b"], values: [1, 2] } as never), { kind: "Misuse", message: /no parameter b/ });
  assert.deepEqual(session.values, []);
  await run("PUT :a", { names: ["a"], values: [7] } as never);
  assert.deepEqual(session.values, [7]);
});

test("rows_of_a_cursor_come_in_chunks_and_leaving_early_frees_it", async () => {
  const { run, call } = await opened();
  for (let n = 0; n < 5; n += 1) await run("PUT ?", [n]);
  const first = await call({ op: "cursor", sql: "GET", params: undefined, maxRows: 2 });
  assert.deepEqual(decodeArrays(first.chunk), [[0], [1]]);
  assert.equal(first.done, false);
  await call({ op: "uncursor", cursor: first.cursor });
  await assert.rejects(call({ op: "fetch", cursor: first.cursor, maxRows: 2 }), { kind: "Expired" });
  await call({ op: "close" });
});

test("a_message_out_of_order_is_an_error_and_changes_nothing", async () => {
  const { session, call, run, mailbox, posted } = await opened();
  await assert.rejects(call({ op: "open", options: { name: "t" }, module: undefined }), { kind: "Misuse" });
  await assert.rejects(call({ op: "commit", id: 9 }), { kind: "Misuse" });
  await assert.rejects(run("PUT ?", [1], { tx: 9 }), { kind: "TransactionLost" });
  await assert.rejects(call({ op: "nonsense" } as never), { kind: "Misuse", message: /nonsense/ });
  mailbox.hear({ type: "gibberish" } as never);
  assert.ok(posted.some((message) => message.type === "event" && message.event.name === "error"));
  assert.deepEqual(session.values, []);
});

test("calls_that_come_while_it_closes_are_told_so", async () => {
  const { session, run, call, send, number } = await opened();
  const closing = gate();
  session.closed = closing.wait;
  await call({ op: "begin", id: 1 });
  const [closed] = send(number({ op: "close" }));
  await rest();
  const late = [run("PUT ?", [1]), run("PUT ?", [2], { tx: 1 }), call({ op: "importStart", id: 2, bytes: 4096 })];
  late.forEach((answer) => answer.catch(() => {}));
  closing.open();
  await closed;
  await assert.rejects(late[1]!, { kind: "Closed", message: /rolled back/ });
  for (const answer of late) await assert.rejects(answer, { kind: "Closed" });
  assert.deepEqual(session.values, []);
});

test("what_is_cancelled_before_it_began_changes_nothing", async () => {
  const { session, send, number, call, mailbox } = await opened();
  await call({ op: "begin", id: 1 });
  const waits = number({ op: "run", sql: "PUT ?", params: [1], keep: "nothing" });
  const [answer] = send(waits);
  mailbox.hear({ type: "cancel", id: waits.id });
  await assert.rejects(answer as Promise<unknown>, { kind: "Aborted" });
  await call({ op: "rollback", id: 1 }, { tx: 1 });
  assert.deepEqual(session.values, []);
});

test("an_import_of_raw_files_that_is_cancelled_stops_between_two_pieces", async () => {
  const posted: FromWorker[] = [];
  let breaths = 0;
  const world = {
    post: (message: FromWorker) => void posted.push(message),
    now: () => 0,
    begin: async (call: Call, _: unknown, breathe: () => Promise<void>) => {
      for (; breaths < 5; breaths += 1) {
        if (breaths === 3) mailbox.hear({ type: "cancel", id: call.id });
        await breathe();
      }
    },
  };
  const mailbox = new Mailbox(world as never);
  mailbox.hear({ type: "calls", calls: [{ id: 1, request: { op: "importStore", options: { name: "t" }, module: undefined, files: [] } }] });
  await rest();
  const told = posted.flatMap((message) => (message.type === "answers" ? message.answers : []));
  assert.deepEqual([breaths, told.length, "error" in told[0]! && told[0].error.kind], [3, 1, "Aborted"]);
});

test("a_call_that_has_committed_is_not_stopped_and_said_to_leave_nothing", async () => {
  const { session, run, send, number, mailbox } = await opened();
  for (const end of ["COMMIT", "RELEASE one"]) {
    await run(end === "COMMIT" ? "BEGIN" : "SAVEPOINT one");
    await run("PUT ?", ["kept"]);
    const ends = number({ op: "run", sql: `${end}; GET`, keep: "nothing" });
    const step = session.step.bind(session);
    session.step = (id, rows) => {
      mailbox.hear({ type: "cancel", id: ends.id });
      return step(id, rows);
    };
    await send(ends)[0];
    session.step = step;
  }
  assert.deepEqual(session.values, ["kept", "kept"]);
});

test("closing_rolls_back_a_transaction_that_is_not_over", async () => {
  const { session, run, call } = await opened();
  await call({ op: "begin", id: 1 });
  await run("PUT ?", ["gone"], { tx: 1 });
  await call({ op: "close" });
  assert.deepEqual(session.values, []);
});

test("a_close_that_fails_gives_the_place_back_all_the_same", async () => {
  const { session, call } = await opened();
  let closed = 0;
  session.closed = async () => void (closed += 1);
  session.close = () => {
    throw Object.assign(new Error("no room to fold"), { kind: "Full" });
  };
  await assert.rejects(call({ op: "close" }), { kind: "Full" });
  assert.equal(closed, 1);
});

test("a_close_that_was_sent_while_a_transaction_begins_does_not_wait_for_it", async () => {
  const { session, run, send, number } = await opened();
  const [begun, closed] = send(number({ op: "begin", id: 1 }), number({ op: "close" }));
  const late = rest(200).then(() => Promise.reject(new Error("close waits for the transaction")));
  await Promise.race([Promise.all([begun, closed]), late]);
  await assert.rejects(run("PUT ?", ["stray"], { tx: 1 }));
  assert.deepEqual(session.values, []);
});

test("answers_before_a_close_leave_before_it", async () => {
  const { session, send, number } = await opened();
  session.barrier = () => Promise.reject(Object.assign(new Error("lost"), { kind: "Io" }));
  const [put] = send(number({ op: "run", sql: "PUT ?", params: [1], keep: "nothing" }), number({ op: "close" }));
  await assert.rejects(put as Promise<unknown>, { kind: "Io" });
});

test("a_trap_ends_everything_and_says_so", async () => {
  const { run, posted } = await opened();
  void run("TRAP");
  await rest();
  assert.ok(posted.some((message) => message.type === "died"));
  posted.length = 0;
  void run("GET");
  await rest();
  assert.equal(posted.length, 0);
});

test("a_trap_in_the_midst_of_more_is_not_taken_for_what_it_leads_to", async () => {
  const { call, run, posted } = await opened();
  await call({ op: "begin", id: 1 });
  void run("TRAP", undefined, { tx: 1 });
  await rest();
  assert.deepEqual(posted.at(-1), { type: "died", message: "unreachable" }, "in a transaction");
  const more = ["PUT ?; TRAP; GET", "TRAP; GET"];
  for (const sql of more) {
    const other = await opened();
    void other.run(sql, sql.includes("?") ? [1] : undefined);
    await rest();
    assert.deepEqual(other.posted.at(-1), { type: "died", message: "unreachable" }, sql);
  }
  const batch = await opened();
  void batch.call({ op: "batch", items: [{ sql: "TRAP", params: undefined }], mode: "immediate" });
  await rest();
  assert.deepEqual(batch.posted.at(-1), { type: "died", message: "unreachable" }, "in a batch");
});

test("releasing_gives_the_storage_back_at_once", async () => {
  const { session, mailbox, isEnded } = await opened();
  mailbox.hear({ type: "release" });
  assert.ok(session.released);
  assert.ok(isEnded());
});

test("events_are_told_only_to_those_who_listen", async () => {
  const { run, posted, mailbox } = await opened();
  await run("PUT ?", [1]);
  assert.ok(!posted.some((message) => message.type === "event"));
  mailbox.hear({ type: "watch", events: ["commit", "sync"] });
  await run("PUT ?", [2]);
  const names = posted.flatMap((message) => (message.type === "event" ? [message.event.name] : []));
  assert.deepEqual(names, ["commit", "sync"]);
});

test("events_tell_what_is_new_since_somebody_listens", async () => {
  const { run, posted, mailbox, call } = await opened();
  const told = () => posted.splice(0).flatMap((message) => (message.type === "event" ? [message.event] : []));
  for (const n of [1, 2, 3]) await run("PUT ?", [n]);
  mailbox.hear({ type: "watch", events: ["wanted"] });
  await run("PUT ?", [4]);
  mailbox.hear({ type: "watch", events: ["wanted", "commit", "sync"] });
  told();
  await run("SELECT");
  await call({ op: "sync" });
  assert.deepEqual(told(), [], "nothing was committed, and nothing became durable");
  await run("PUT ?", [5]);
  const [commit, sync, ...others] = told() as { name: string; data: { [number: string]: unknown } }[];
  assert.deepEqual(commit, { name: "commit", data: { committed: 5, durable: 4, bytes: 100 } });
  const { ms, ...data } = sync!.data;
  assert.deepEqual([sync!.name, data, typeof ms, others], ["sync", { committed: 5, durable: 5, cause: "answer" }, "number", []]);
});

test("a_changing_statement_whose_rows_stream_is_over_before_the_first_row_leaves", async () => {
  const { session, call } = await opened();
  const first = await call({ op: "cursor", sql: "PUT ?", params: [1], maxRows: 1 } as never);
  assert.equal(first.done, true);
  assert.deepEqual(session.values, [1]);
});

test("a_sync_waits_for_no_transaction", async () => {
  const { session, run, call } = await opened("applied");
  await run("PUT ?", [1]);
  await call({ op: "begin", id: 7 });
  await call({ op: "sync" });
  assert.equal(session.durable, 1);
});

test("a_listener_that_comes_in_the_middle_of_a_call_does_no_harm", async () => {
  const { session, mailbox, run } = await opened();
  const { status } = session;
  session.status = () => {
    throw Object.assign(new Error("suspended"), { kind: "Misuse" });
  };
  mailbox.hear({ type: "watch", events: ["commit"] });
  session.status = status;
  await run("PUT ?", [1]);
});
