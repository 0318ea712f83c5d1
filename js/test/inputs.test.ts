// What callers get wrong is told in words, and is never taken for something else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import { DataSyncError } from "../src/errors.ts";
import { destroy, open } from "../src/open.ts";
import { inTransaction, type Stage } from "../src/transaction.ts";
import { opened } from "./fake.ts";

const misuse = (words: RegExp) => ({ name: "DataSyncError", kind: "Misuse", message: words });

test("a_place_that_there_is_not_is_refused_and_nothing_is_removed", async () => {
  let removed = 0;
  Object.assign(globalThis, { indexedDB: { deleteDatabase: () => (removed += 1) } });
  try {
    for (const backend of ["OPFS", "memory", "IndexedDB", ""]) {
      await assert.rejects(destroy("t", { backend: backend as never }), misuse(/opfs, indexeddb/));
    }
    assert.equal(removed, 0);
  } finally {
    delete (globalThis as { indexedDB?: unknown }).indexedDB;
  }
});

test("a_part_that_could_not_be_undone_is_not_committed_by_who_goes_on", async () => {
  const done: string[] = [];
  const call = async (op: string, args: { sql?: string }) => {
    done.push(args.sql ?? op);
    if (args.sql?.startsWith("ROLLBACK TO")) throw new DataSyncError("Io", "the disk is gone");
    return {};
  };
  const stage: Stage = { client: { call } as never, integers: "auto", durability: "durable", inside: () => {} };
  const body = async (tx: { exec(sql: string): Promise<unknown>; transaction(body: () => Promise<void>): Promise<unknown> }) => {
    const part = async () => {
      await tx.exec("INSERT half");
      throw new Error("no");
    };
    await tx.transaction(part).catch(() => {});
  };
  await assert.rejects(inTransaction(stage, 1, body as never, {}), { kind: "TransactionLost", message: /could not be undone.*disk is gone/ });
  assert.deepEqual([done.includes("commit"), done.at(-1)], [false, "rollback"]);
});

test("giving_back_waits_for_no_transaction_and_outlives_its_own", async () => {
  const { session, call } = await opened();
  await call({ op: "begin", id: 1 });
  const { statement } = await call({ op: "prepare", sql: "GET" }, { tx: 1 });
  const other = await call({ op: "prepare", sql: "PUT ?" }, { tx: 1 });
  assert.equal(await call({ op: "finalize", statement }), undefined, "while it is open");
  await call({ op: "commit", id: 1 }, { tx: 1 });
  assert.equal(await call({ op: "finalize", statement: other.statement }, { tx: 1 }), undefined, "when it is over");
  await call({ op: "close" });
  assert.equal(session.commits, 1);
});

test("what_tells_of_earlier_changes_shares_no_commit", async () => {
  const { session, send, number, run } = await opened();
  const put = { op: "run" as const, sql: "INSERT ?", params: [1], keep: "rows" as const };
  const look = { op: "run" as const, sql: "SELECT total_changes()", params: undefined, keep: "rows" as const };
  await run(put.sql, [0]);
  await run(look.sql);
  await Promise.all(send(number(put), number(look), number(put)));
  assert.equal(session.commits, 0);
});
/** A worker that keeps what it is sent, as its clone. */
function client() {
  const sent: { calls: { id: number; request: { op: string } }[] }[] = [];
  const worker = { postMessage: (message: never, transfer: []) => sent.push(structuredClone(message, { transfer })), terminate: () => {} };
  return { client: new Client(worker as never, ""), sent, worker: worker as unknown as Worker };
}

test("a_call_that_cannot_be_sent_takes_none_of_its_turn_with_it", async () => {
  const { client: one, sent, worker } = client();
  const run = (value: unknown) => one.call("run", { sql: "PUT ?", params: [value as never], keep: "nothing" });
  const calls = [run(1), run(() => {}), run(2)];
  calls.forEach((call) => call.catch(() => {}));
  await assert.rejects(calls[1] as Promise<unknown>, misuse(/cannot be sent/));
  assert.deepEqual(sent.flatMap(({ calls }) => calls.map(({ id }) => id)), [1, 3]);
  const answers = [1, 3].map((id) => ({ id, ok: id }));
  worker.onmessage?.({ data: { type: "answers", answers } } as MessageEvent);
  assert.deepEqual([await calls[0], await calls[2]], [1, 3]);
});
