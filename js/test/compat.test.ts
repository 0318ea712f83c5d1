// Names in snake case: which calls belong to a transaction.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SQLiteDB } from "../src/compat.ts";
import { workerThat } from "./fake.ts";

const ok = { backend: "memory", recovery: {}, changes: 0, lastInsertRowid: 0, statements: 1, steps: [] };
const { FakeWorker, heard } = workerThat(() => ({ ok }));

test("a_call_made_before_commit_or_rollback_belongs_to_the_transaction", async (t) => {
  Object.assign(globalThis, { Worker: FakeWorker });
  t.after(() => delete (globalThis as { Worker?: unknown }).Worker);
  for (const end of ["commit", "rollback"] as const) {
    const db = new SQLiteDB({ name: "plan" }, { backend: "memory" });
    await db.begin_transaction();
    heard.length = 0;
    // Not awaited: `execute` returns a promise, and so does what ends the transaction.
    await Promise.all([db.execute("INSERT INTO t VALUES (1)"), db[end]()]);
    assert.deepEqual(heard.map(({ request: { op }, tx }) => [op, tx]), [["run", 1], [end, 1]]);
    await db.close();
  }
});
