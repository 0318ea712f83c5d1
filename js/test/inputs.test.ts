// What callers get wrong is told in words, and is never taken for something else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { destroy } from "../src/open.ts";

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
