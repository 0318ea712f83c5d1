// What callers get wrong is told in words, and is never taken for something else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import { Database } from "../src/database.ts";
import { DataSyncError } from "../src/errors.ts";
import { destroy, importStore, open } from "../src/open.ts";
import type { ToWorker } from "../src/protocol.ts";
import { iterateOn, type Port } from "../src/queries.ts";
import { itemsToWire, toWire } from "../src/rows.ts";
import { inTransaction, type Stage } from "../src/transaction.ts";
import type { RecoveryReport } from "../src/types.ts";
import { opened } from "./fake.ts";

const misuse = (words: RegExp) => ({ name: "DataSyncError", kind: "Misuse", message: words });

test("options_that_are_wrong_are_refused_before_a_worker_is_started", async () => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /name/], [null, /name/], [7, /name/], [{}, /name/], [{ name: "t", wait: "yes" }, /wait/], [{ name: "t", wait: -1 }, /wait/],
    [{ name: "t", wait: NaN }, /wait/], [{ name: "t", signal: {} }, /AbortSignal/], [{ name: "t", readOnly: "false" }, /readOnly/],
    [{ name: "t", create: 0 }, /create/], [{ name: "t", foreignKeys: "off" }, /foreignKeys/], [{ name: "t", workerUrl: "http://" }, /workerUrl/],
    [{ name: "t", wasmUrl: "http://" }, /wasmUrl/], [{ name: "t", durability: "full" }, /durability/],
    [{ name: "t", readonly: true }, /"readonly"\. Did you mean readOnly/], [{ name: "t", cacheByte: 1 }, /Did you mean cacheBytes/],
    [{ name: "t", mode: "r" }, /"mode"\. There are here: name, backend, /], [{ name: "t", autoSync: { maxdirty: 1 } }, /maxDirty/],
    [{ name: "t", autoSync: true }, /autoSync/], [{ name: "t", autoSync: 1000 }, /autoSync/], [{ name: "t", autoSync: null }, /autoSync/],
    [{ name: "t", autoSync: { intervalMs: "1000" } }, /autoSync\.intervalMs/], [{ name: "t", autoSync: { debounceMs: -1 } }, /autoSync\.debounceMs/],
    [{ name: "t", autoSync: { maxDirty: 0 } }, /autoSync\.maxDirty/], [{ name: "t", autoSync: { maxDirty: NaN } }, /autoSync\.maxDirty/],
  ];
  for (const [options, words] of wrong) await assert.rejects(open(options as never), misuse(words), JSON.stringify(options));
});

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

test("files_of_a_store_are_bytes_with_names", async () => {
  for (const files of [undefined, {}, [null], [{ name: "META" }], [{ name: 1, bytes: new Uint8Array(1) }], [{ name: "META", bytes: [1, 2] }]]) {
    await assert.rejects(importStore(files as never, { name: "t" }), misuse(/importStore/));
  }
});

test("an_option_that_importing_and_removing_do_not_have_is_refused", async () => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /name/], [null, /name/], [{}, /name/], [{ name: "t", readOnly: true }, /"readOnly"/], [{ name: "t", wait: true }, /"wait"/],
    [{ name: "t", backend: "memory" }, /opfs, indexeddb/], [{ name: "t", signal: 1 }, /AbortSignal/],
  ];
  for (const [options, words] of wrong) await assert.rejects(importStore([], options as never), misuse(words), JSON.stringify(options));
  await assert.rejects(destroy("t", { backends: "opfs" } as never), misuse(/Did you mean backend/));
});

test("bytes_are_what_they_were_when_the_call_was_made", async () => {
  const sent: ToWorker[] = [];
  const worker = { postMessage: (message: ToWorker) => void sent.push(structuredClone(message)), terminate: () => {} };
  const opened = { name: "t", backend: "memory", recovery: {} as RecoveryReport, integers: "auto", durability: "durable" } as const;
  const db = new Database(new Client(worker as unknown as Worker, ""), opened);
  // One buffer for every row, as a decoder uses it.
  const bytes = new Uint8Array(1);
  const calls: Promise<unknown>[] = [];
  for (let row = 1; row <= 3; row += 1) {
    bytes[0] = row;
    calls.push(db.exec("INSERT INTO t VALUES (?)", [bytes]), db.query("SELECT :a", { a: bytes.buffer }));
    calls.push(db.batch([["INSERT INTO t VALUES (?)", [bytes]], { sql: "INSERT INTO t VALUES (?)", rows: [[bytes]] }]));
    calls.push(db.applyChangeset(bytes), db.invertChangeset(bytes.buffer));
  }
  bytes[0] = 9;
  calls.forEach((call) => call.catch(() => {}));
  await Promise.resolve();
  db.terminate();
  const found: number[] = [];
  const look = (value: unknown): void => {
    if (value instanceof Uint8Array) found.push(value.at(-1) as number);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(look);
  };
  look(sent);
  assert.deepEqual(found, [1, 2, 3].flatMap((row) => [row, row, row, row, row, row]));
  structuredClone(0, { transfer: [bytes.buffer] });
  assert.throws(() => toWire([bytes]), misuse(/moved away/));
});

test("holes_and_halves_of_characters_are_no_values", () => {
  // eslint-disable-next-line no-sparse-arrays
  assert.throws(() => toWire([1, , 3] as never), misuse(/Parameter 2 is undefined/));
  assert.throws(() => itemsToWire([{ sql: "x", rows: [[1], , [2]] as never }]), misuse(/Row 1/));
  assert.throws(() => toWire(["\ud83d"]), misuse(/surrogate/));
  assert.throws(() => toWire({ a: "x\udc00" }), misuse(/Parameter a .*surrogate/));
  assert.deepEqual(toWire(["\ud83d\ude00"]), ["\ud83d\ude00"]);
});

test("what_is_no_batch_is_told_so", () => {
  for (const items of [undefined, "SELECT 1", {}, [null], [7], [{ sql: "x", rows: "abc" }], [[]]]) {
    assert.throws(() => itemsToWire(items as never), { name: "DataSyncError", kind: "Misuse" }, JSON.stringify(items));
  }
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

test("what_may_not_be_called_rejects_and_never_throws", async () => {
  const { client: one, sent } = client();
  const db = new Database(one, { name: "t", backend: "memory", recovery: {} as never, integers: "auto", durability: "durable" });
  for (const call of [db.stats(), db.exec("GET"), db.sync()]) call.catch(() => {});
  await Promise.resolve();
  const ops = sent.flatMap(({ calls }) => calls.map(({ request }) => request.op));
  assert.deepEqual([sent.length, ops], [1, ["stats", "run", "sync"]], "in one message, in their order");
  one.terminate("the test is over");
  for (const call of ["stats", "sync", "verify", "exportStore", "storage"] as const) await assert.rejects(db[call](), { kind: "Closed" }, call);
});

test("what_a_call_asks_for_is_known_or_refused", async () => {
  const { client: one, sent } = client();
  const port: Port = { client: one, tx: undefined, integers: "auto", durability: "durable", check: () => {} };
  await assert.rejects(one.call("stats", {}, { signal: {} as never }), misuse(/AbortSignal/));
  void one.call("stats", {}, { signal: null as never });
  await Promise.resolve();
  assert.equal(sent.splice(0).length, 1);
  await assert.rejects(iterateOn(port, "GET", undefined, { durability: "witnesed" as never }).next(), misuse(/durability/));
  const db = new Database(one, { name: "t", backend: "memory", recovery: {} as never, integers: "auto", durability: "durable" });
  const ask: [object, RegExp][] = [
    [{ rowMode: "arrays" }, /rowMode must be one of object, array/], [{ rowmode: "array" }, /Did you mean rowMode/],
    [{ integers: "big" }, /integers/], [{ timeout: 5 }, /"timeout"/],
  ];
  for (const [options, words] of ask) {
    for (const rows of [db.query("GET", [], options as never), db.get("GET", [], options as never), db.script("GET", [], options as never)]) {
      await assert.rejects(rows, misuse(words));
    }
    await assert.rejects(db.iterate("GET", [], options as never).next(), misuse(words));
  }
  await assert.rejects(db.iterate("GET", [], { chunkRows: NaN }).next(), misuse(/chunkRows/));
  await assert.rejects(db.iterate("GET", [], null as never).next(), misuse(/null/));
  await assert.rejects(db.batch([], { mode: "fast" as never }), misuse(/mode/));
  await assert.rejects(db.batch([], { rowMode: "array" } as never), misuse(/"rowMode"/));
  await assert.rejects(db.exec("PUT", [], { rowMode: "array" } as never), misuse(/"rowMode"/));
  for (const call of [
    db.exec("PUT", [], null as never), db.batch([], null as never), db.session(null as never),
    db.applyChangeset(new Uint8Array(0), null as never),
  ]) await assert.rejects(call, misuse(/null/));
  await assert.rejects(db.session({ table: ["t"] } as never), misuse(/Did you mean tables/));
  await assert.rejects(db.import(new Uint8Array(0), { onprogress: () => {} } as never), misuse(/Did you mean onProgress/));
  const stage: Stage = { client: one, integers: "auto", durability: "durable", inside: () => {} };
  const begin = (body: unknown, options: object) => inTransaction(stage, 1, body as never, options);
  await assert.rejects(begin(undefined, {}), misuse(/takes a function/));
  for (const options of [{ mode: "constructor" }, { durability: "" }, { timeoutMs: "5" }, { idleMs: NaN }, { timeOut: 5 }]) {
    await assert.rejects(begin(() => {}, options), misuse(new RegExp(Object.keys(options)[0] as string)));
  }
  assert.deepEqual(sent, []);
  void iterateOn(port, "GET", undefined, { chunkRows: Infinity }).next();
  await Promise.resolve();
  assert.equal((sent[0]?.calls[0]?.request as unknown as { maxRows: number }).maxRows, 0x7fff_ffff);
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
