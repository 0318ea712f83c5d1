// What the module promises, on every kind of place: runs in a dedicated worker, started by run.mjs.

import init, * as wasm from "/pkg/datasync.js";
import { decode, encode, joined } from "./wire.mjs";

const canSuspend = "Suspending" in WebAssembly && !new URL(import.meta.url).searchParams.has("plain");
// What the worker does before it starts the module in an engine that cannot suspend.
WebAssembly.Suspending ??= function (call) { return call; };
WebAssembly.promising ??= (call) => call;

function fail(what) { throw new Error(what); }
const shown = (value) => JSON.stringify(value, (_, v) =>
  typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array ? `[${v.length} bytes: ${v.subarray(0, 8)}]` : v);
const same = (a, b, what = "") => shown(a) === shown(b) || fail(`${what}: ${shown(a)} is not ${shown(b)}`);
const ok = (truth, what) => truth || fail(what);
async function throws(kind, call) {
  try { await call(); } catch (error) {
    return error.kind === kind ? error : fail(`kind ${error.kind}, not ${kind}: ${error.message}`);
  }
  return fail(`nothing was thrown; ${kind} was expected`);
}

/** A session whose calls are all awaited, suspending where they can. */
function awaited(session, suspending) {
  return new Proxy(session, {
    get(target, name) {
      if (!(name in target)) return undefined;
      const method = suspending && target[`${name}_jspi`] ? `${name}_jspi` : name;
      return (...values) => target[method](...values);
    },
  });
}

let names = 0;
const places = {
  memory: { take: () => wasm.Medium.memory("test") },
  opfs: { take: (name) => wasm.Medium.opfs(name) },
  "indexeddb, resident": { take: (name) => wasm.Medium.indexeddb(name, `{"resident": true}`) },
  "indexeddb, suspending": {
    take: (name) => wasm.Medium.indexeddb(name, `{"resident": false, "cacheBytes": 65536}`),
    suspending: true,
  },
};

async function open(place, options = {}, name = `test ${names++}`) {
  const medium = await place.take(name);
  const json = JSON.stringify(options);
  const session = place.suspending ? await medium.start_jspi(json) : medium.start(json);
  while (await session.refill());
  return awaited(session, place.suspending);
}

/** Runs every statement of a script; the rows of the last one. */
async function query(session, sql, ...values) {
  let [from, rows] = [0, []];
  for (;;) {
    const statement = await session.prepare(sql, from);
    if (statement === undefined) return rows;
    if (values.length > 0) session.bind(statement.id, encode([values]));
    rows = [];
    try {
      for (let done = false; !done; ) {
        const chunk = decode(await session.step(statement.id, 100, 1 << 20));
        rows.push(...chunk.rows);
        done = chunk.done;
      }
    } finally {
      session.finalize(statement.id);
    }
    from = statement.tail;
  }
}

/** Calls something before a method of IndexedDB's connections; returns what takes it away. */
function instead(method, call) {
  const whose = IDBDatabase.prototype, old = whose[method];
  whose[method] = function (...given) {
    call(given);
    return old.apply(this, given);
  };
  return () => { whose[method] = old; };
}

async function close(session) {
  await session.close();
  await session.closed();
}

const small = { segmentBytes: 1 << 18, logCapBytes: 1 << 20, spillBytes: 1 << 18, reserveBytes: 1 << 16, cacheBytes: 1 << 16 };

const promises = {
  async "every kind of value comes back as it went in"(place) {
    const session = await open(place);
    const values = [null, 2n ** 62n, -1.5, "na\u00efve \u{1f600}\ufeff", new Uint8Array([0, 255])];
    await query(session, "CREATE TABLE t(a, b, c, d, e)");
    await query(session, "INSERT INTO t VALUES (?, ?, ?, ?, ?)", ...values);
    same(await query(session, "SELECT * FROM t"), [values]);
    same(await query(session, "SELECT '', x'', typeof(c) FROM t"), [["", new Uint8Array(0), "real"]]);
    same(session.lastInsertRowid(), 1n);
    await close(session);
  },

  async "what people expect of SQLite is compiled in"(place) {
    const session = await open(place);
    await query(session, `CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('the quick fox'), ('a slow dog');
      CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0, 5), (2, 8, 9);`);
    same(await query(session, "SELECT body FROM f WHERE f MATCH 'quick'"), [["the quick fox"]]);
    same(await query(session, "SELECT id FROM r WHERE x0 <= 3 AND x1 >= 3"), [[1n]]);
    same(await query(session, `SELECT '{"a":[1,2]}' ->> '$.a[1]', round(pi(), 3), sqrt(9.0)`), [[2n, 3.142, 3]]);
    same(await query(session, "SELECT sum(column1) OVER (ORDER BY column1) FROM (VALUES (1), (2))"), [[1n], [3n]]);
    const options = (await query(session, "PRAGMA compile_options")).flat();
    for (const option of ["ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_SESSION", "ENABLE_MATH_FUNCTIONS"]) {
      ok(options.includes(option), option);
    }
    same(await query(session, "PRAGMA page_size"), [[4096n]]);
    await close(session);
  },

  async "a script is gone through statement by statement, and large answers chunk by chunk"(place) {
    const session = await open(place);
    const sql = "/* \u{1f600} */ CREATE TABLE t(x); -- and\nINSERT INTO t VALUES (1); \n -- the end";
    const first = await session.prepare(sql, 0);
    ok(sql.slice(0, first.tail).endsWith("t(x);"), "the tail");
    same(decode(await session.step(first.id, 1, 1000)), { rows: [], done: true });
    const second = await session.prepare(sql, first.tail);
    same(second.readonly, false);
    await session.step(second.id, 1, 1000);
    same(await session.prepare(sql, second.tail), undefined);
    const numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS n FROM n LIMIT :most";
    const many = await session.prepare(numbers, 0);
    same([many.columns, many.parameters, many.readonly], [["n"], [":most"], true]);
    session.bind(many.id, encode([[25n]]));
    const sizes = [];
    for (let chunk; !chunk?.done; sizes.push(chunk.rows.length)) chunk = decode(await session.step(many.id, 10, 1 << 20));
    same(sizes, [10, 10, 5]);
    await close(session);
  },

  async "a batch runs in one call, and a failing row says which constraint"(place) {
    const session = await open(place);
    await query(session, "CREATE TABLE t(x UNIQUE, y TEXT NOT NULL)");
    const insert = await session.prepare("INSERT INTO t VALUES (?, ?)", 0);
    await query(session, "BEGIN");
    await session.runMany(insert.id, encode(Array.from({ length: 1000 }, (_, n) => [BigInt(n), `row ${n}`])));
    await query(session, "COMMIT");
    same(await query(session, "SELECT count(*), max(y) FROM t"), [[1000n, "row 999"]]);
    const error = await throws("Constraint", () => session.runMany(insert.id, encode([[1n, "again"]])));
    ok(error.code === 2067 && error.message.includes("t.x"), `${error.code} ${error.message}`);
    await throws("Sql", () => query(session, "SELEC 1"));
    await throws("Misuse", () => session.bind(insert.id, new Uint8Array(3)));
    await throws("Misuse", () => session.step(12345, 1, 1));
    await close(session);
    await throws("Closed", () => session.prepare("SELECT 1", 0));
    await throws("Misuse", () => open(place, { nonsense: 1 }));
  },

  async "what is committed is durable once settled, and a rollback leaves nothing"(place) {
    const session = await open(place);
    await query(session, "CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1)");
    same(session.inTransaction(), true);
    await query(session, "ROLLBACK; INSERT INTO t VALUES (2)");
    await session.settle();
    same(await session.settleNow(), true, "settled");
    const status = JSON.parse(session.status());
    same(status.committed, status.durable);
    same(await query(session, "SELECT x FROM t"), [[2n]]);
    same(JSON.parse(session.recovery()).kind, "created");
    same(JSON.parse(await session.verify()).damage, []);
    await close(session);
  },

  async "a database goes out as a plain file and comes in as one commit"(place) {
    const session = await open(place, small);
    await query(session, "CREATE TABLE t(x); INSERT INTO t VALUES ('one'), (zeroblob(300000)); CREATE INDEX i ON t(x)");
    const bytes = await session.exportStart();
    const parts = [];
    for (let at = 0; at < bytes; at += 10007) parts.push(await session.exportRead(at, 10007));
    session.exportEnd();
    const file = joined(parts);
    same(file.length, bytes);
    same(new TextDecoder().decode(file.subarray(0, 15)), "SQLite format 3");

    const other = await open(place);
    await query(other, "CREATE TABLE gone(y); INSERT INTO gone SELECT zeroblob(4000) FROM (VALUES (1), (2), (3), (4))");
    const before = JSON.parse(other.status()).committed;
    file[18] = file[19] = 2;
    await other.importStart(file.length);
    for (let at = 0; at < file.length; at += 5000) await other.importWrite(file.subarray(at, at + 5000));
    await other.importEnd();
    same(JSON.parse(other.status()).committed, before + 1);
    same(await query(other, "SELECT count(*), max(length(x)) FROM t"), [[2n, 300000n]]);
    same(await query(other, "PRAGMA integrity_check"), [["ok"]]);
    await throws("Sql", () => query(other, "SELECT * FROM gone"));

    await other.importStart(4096);
    await throws("NotAStore", () => other.importWrite(new Uint8Array(4096)));
    await other.importStart(4096);
    await throws("Misuse", () => other.importEnd());
    same(await query(other, "SELECT count(*) FROM t"), [[2n]]);
    await close(session);
    await close(other);
  },

  async "background work ends, and everything is there after closing and opening again"(place) {
    const name = `again ${names++}`;
    let session = await open(place, small, name);
    await query(session, "CREATE TABLE t(x)");
    for (let n = 0; n < 300; n++) {
      await query(session, "INSERT INTO t VALUES (zeroblob(3000))");
      if (n % 20 === 0) while (await session.refill());
    }
    await session.settle();
    let steps = 0;
    while (await session.tend(true)) ok(++steps < 10000, "background work does not end");
    ok(JSON.parse(session.status()).folds > 0, "nothing was folded");
    same(await query(session, "SELECT count(*), sum(length(x)) FROM t"), [[300n, 900000n]]);
    await close(session);
    if (place === places.memory) return;
    session = await open(place, small, name);
    same(JSON.parse(session.recovery()).kind, "clean");
    same(await query(session, "SELECT count(*), sum(length(x)) FROM t"), [[300n, 900000n]]);
    same(await query(session, "PRAGMA integrity_check"), [["ok"]]);
    same(JSON.parse(await session.verify()).ok, true);
    await close(session);
  },

  async "what was settled is there after the place was given back in mid-life"(place) {
    if (place === places.memory) return;
    const name = `crash ${names++}`;
    let session = await open(place, small, name);
    await query(session, "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)");
    await session.settle();
    session.release();
    await throws("Misuse", async () => { await query(session, "INSERT INTO t VALUES (3)"); await session.settle(); })
      .catch((error) => ok(/Poisoned|Io|Indeterminate|Misuse/.test(error.message), error.message));
    session = await open(place, small, name);
    same(JSON.parse(session.recovery()).kind, "unclean");
    same(await query(session, "SELECT count(*) FROM t"), [[2n]]);
    await close(session);
  },

  async "what was found is called durable only when a flush has lasted"(place, backend) {
    if (backend !== "indexeddb") return;
    const name = `found ${names++}`;
    const made = await open(place, {}, name);
    await query(made, "CREATE TABLE t(x)");
    await close(made);
    for (const options of [{}, { readOnly: true }]) {
      const session = await open(place, options, name);
      const numbers = () => JSON.parse(session.status());
      same([numbers().durable, numbers().committed > 0], [0, true], shown(options));
      let strict = 0;
      const restore = instead("transaction", (given) => { strict += given[2].durability === "strict"; });
      await session.settle();
      restore();
      ok(strict > 0, "nothing was strict");
      same(numbers().durable, numbers().committed);
      await close(session);
    }
  },

  async "a barrier that failed leaves commits in doubt and says which"(place, backend) {
    if (backend !== "indexeddb") return;
    const name = `doubt ${names++}`;
    let session = await open(place, {}, name);
    await query(session, "CREATE TABLE t(x)");
    await session.settle();
    await query(session, "INSERT INTO t VALUES (1)");
    const restore = instead("transaction", () => { throw new DOMException("closing", "InvalidStateError"); });
    const error = await throws("Indeterminate", () => session.settle());
    restore();
    ok(/^\d+\.\d+$/.test(error.commit) && /open the database again.*connection/.test(error.message), error.message);
    session.release();
    session = await open(place, {}, name);
    same(await query(session, "SELECT count(*) FROM t"), [[0n]]);
    await close(session);
  },

  async "the files of a store come in where there is none"(place, backend) {
    if (place === places.memory) return;
    const [from, to] = [`files ${names++}`, `copy ${names++}`];
    let session = await open(place, small, from);
    await query(session, "CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(100000)), ('end')");
    await session.settle();
    const files = JSON.parse(await session.storeFiles());
    ok(files.some((file) => file.name === "META") && files.some((file) => file.name.startsWith("log-")), shown(files));
    const copy = await wasm.StoreImport.begin(backend, to);
    for (const file of files) {
      await copy.file(file.name);
      for (let at = 0; at < file.bytes; at += 65536) await copy.write(await session.storeRead(file.name, at, 65536));
    }
    await copy.finish();
    await close(session);
    session = await open(place, small, to);
    same(await query(session, "SELECT count(*), sum(length(x)) FROM t"), [[2n, 100003n]]);
    await close(session);
    await throws("Misuse", () => wasm.StoreImport.begin("floppy", to));
  },
};

async function run() {
  await init({ module_or_path: new URL("/pkg/datasync_bg.wasm", import.meta.url) });
  for (const [kind, place] of Object.entries(places)) {
    if (place.suspending && !canSuspend) continue;
    for (const [promise, check] of Object.entries(promises)) {
      const begun = performance.now();
      let error = null;
      try { await check(place, kind.split(",")[0]); } catch (thrown) {
        error = `${thrown?.stack ?? thrown}\n${wasm.lastPanic() ?? ""}`;
      }
      postMessage({ test: `${kind}: ${promise}`, error, ms: performance.now() - begun });
    }
  }
}

run().then(() => postMessage({ done: true }), (error) => postMessage({ done: true, error: `${error?.stack ?? error}` }));
