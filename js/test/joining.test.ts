import assert from "node:assert/strict";
import { test } from "node:test";
import { opened, rest } from "./fake.ts";

type Opened = Awaited<ReturnType<typeof opened>>;

/** A session that knows its statements already: only what was compiled before shares its commit. */
async function warm(): Promise<Opened & { insert: (n: unknown) => any; select: () => any }> {
  const fake = await opened();
  const { number } = fake;
  await fake.run("INSERT ?", ["first"]);
  await fake.run("SELECT");
  const insert = (n: unknown) => number({ op: "run", sql: "INSERT ?", params: [n] as never, keep: "nothing" });
  const select = () => number({ op: "run", sql: "SELECT", params: undefined, keep: "rows" });
  return { ...fake, insert, select };
}

const told = (kind: string, more = {}) => Object.assign(new Error(kind), { kind, ...more });

test("calls_that_wait_together_share_a_commit_and_are_told_their_own_results", async () => {
  const { session, send, insert, select } = await warm();
  const answers = (await Promise.all(send(insert(1), select(), insert(2)))) as any[];
  assert.deepEqual(session.values, ["first", 1, 2]);
  assert.equal(session.commits, 1);
  assert.deepEqual(answers.map(({ lastInsertRowid }) => lastInsertRowid), [2, 2, 3]);
});

test("a_call_alone_or_with_rows_only_begins_no_transaction", async () => {
  const { session, send, insert, select } = await warm();
  await Promise.all(send(insert(1)));
  await Promise.all(send(select(), select(), insert(2)));
  assert.equal(session.commits, 0);
});

test("a_call_that_fails_takes_nothing_of_the_others_with_it", async () => {
  const { session, send, insert } = await warm();
  const [one, refused, two] = await Promise.allSettled(send(insert(1), insert("taken"), insert(2)));
  assert.deepEqual([one?.status, refused?.status, two?.status], ["fulfilled", "rejected", "fulfilled"]);
  assert.deepEqual(session.values, ["first", 1, 2]);
  assert.equal(session.commits, 1);
});

test("a_transaction_that_could_not_be_committed_for_each_call_alone_is_undone_and_they_run_alone", async () => {
  const { session, send, insert } = await warm();
  // Broken after the second call, as if the third would mend it: alone the second would have been refused.
  session.owes = () => session.inTransaction() && session.values.length === 3;
  const answers = (await Promise.all(send(insert(1), insert(2), insert(3)))) as any[];
  assert.equal(session.commits, 0);
  assert.deepEqual(session.values, ["first", 1, 2, 3]);
  assert.deepEqual(answers.map(({ lastInsertRowid }) => lastInsertRowid), [2, 3, 4]);
});

test("a_commit_without_room_is_undone_and_the_calls_run_alone", async () => {
  const { session, send, insert } = await warm();
  session.refusal = told("Full");
  const before: bigint[] = [];
  const set = session.setLastInsertRowid.bind(session);
  session.setLastInsertRowid = (rowid) => (before.push(rowid), set(rowid));
  await Promise.all(send(insert(1), insert(2)));
  assert.deepEqual(session.values, ["first", 1, 2]);
  assert.deepEqual(before, [1n], "what last_insert_rowid() had told before them");
});

test("a_commit_of_which_nobody_knows_is_never_run_again", async () => {
  const { session, send, insert } = await warm();
  session.refusal = told("Indeterminate", { commit: "1.7" });
  const answers = await Promise.allSettled(send(insert(1), insert("taken"), insert(2)));
  const kinds = answers.map((answer) => (answer.status === "rejected" ? answer.reason.kind : "ok"));
  // What failed by itself was answered by itself: it is in no commit.
  assert.deepEqual(kinds, ["Indeterminate", "Constraint", "Indeterminate"]);
  assert.deepEqual(session.values, ["first", 1, 2], "once");
});

test("a_call_that_waits_behind_a_shared_commit_is_not_part_of_it", async () => {
  const { session, send, insert, number } = await warm();
  const begin = number({ op: "run", sql: "BEGIN", params: undefined, keep: "nothing" });
  const end = number({ op: "run", sql: "ROLLBACK", params: undefined, keep: "nothing" });
  await Promise.all(send(insert(1), insert(2), begin, insert(3), insert(4), end));
  assert.deepEqual(session.values, ["first", 1, 2]);
});

test("nothing_is_shared_over_attached_databases_or_while_rows_are_fetched", async () => {
  const { session, send, insert, call } = await warm();
  session.attached = true;
  await Promise.all(send(insert(1), insert(2)));
  session.attached = false;
  const cursor = await call({ op: "cursor", sql: "GET", params: undefined, maxRows: 1 });
  await Promise.all(send(insert(3), insert(4)));
  assert.equal(session.commits, 0);
  await call({ op: "uncursor", cursor: cursor.cursor });
  await Promise.all(send(insert(5), insert(6)));
  assert.equal(session.commits, 1);
});

test("a_trap_in_a_shared_transaction_answers_nobody", async () => {
  const { session, posted, send, insert } = await warm();
  posted.length = 0;
  session.refusal = new WebAssembly.RuntimeError("unreachable");
  for (const answer of send(insert(1), insert(2))) answer.catch(() => {});
  await rest();
  assert.deepEqual(posted, [{ type: "died", message: "unreachable" }]);
});

test("a_transaction_that_cannot_be_begun_or_undone_leaves_no_call_without_an_answer", async () => {
  const { session, send, insert, run } = await warm();
  const step = session.step.bind(session);
  const failing = new Set(["BEGIN"]);
  session.step = (id, rows) => {
    if (failing.has(session.wordOf(id))) throw told("Io");
    return step(id, rows);
  };
  await Promise.all(send(insert(1), insert(2)));
  assert.deepEqual(session.values, ["first", 1, 2], "one by one");
  failing.clear();
  failing.add("ROLLBACK");
  session.refusal = told("Full");
  const answers = await Promise.allSettled(send(insert(3), insert(4)));
  assert.deepEqual(answers.map((answer) => answer.status === "rejected" && answer.reason.kind), ["Io", "Io"]);
  failing.clear();
  session.refusal = undefined;
  await run("ROLLBACK");
});

test("a_trap_in_a_call_that_shares_its_commit_answers_nobody", async () => {
  const { session, posted, send, insert } = await warm();
  posted.length = 0;
  const trap = () => { throw new WebAssembly.RuntimeError("unreachable"); };
  session.step = trap;
  session.isWhole = trap;
  for (const answer of send(insert(1), insert(2))) answer.catch(() => {});
  await rest();
  assert.deepEqual(posted, [{ type: "died", message: "unreachable" }]);
});
