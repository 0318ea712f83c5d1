// What the package promises, called in a page as an application would. `promises` maps a promise to a function of
// the package and a backend that throws where it is not kept.
//
// Must not know how the page was built. Every promise uses a database of its own, and closes it.

import { edges } from "./edges.page.js";
import { features } from "./features.page.js";
import { equal, fails, Use, wait } from "./use.page.js";

/** Runs one promise; undefined, or what was not kept. */
export async function run(datasync, name, backend) {
  const use = new Use(datasync, backend, `${name}-${backend}`);
  try {
    await promises[name](use);
    return undefined;
  } catch (error) {
    // Not every engine repeats the message in the stack.
    return `${error.kind ? `${error.kind}: ` : ""}${error.message ?? error}\n${error.stack ?? ""}`;
  } finally {
    await use.end();
  }
}

export const promises = {
  async values_come_back_as_they_went_in(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE v(x)");
    const values = [null, 0, -1, 1.5, 2 ** 53 - 1, 2n ** 62n, -(2n ** 63n), "", "caf\u00e9 \u{1f680}", new Uint8Array([0, 1, 255]), new Uint8Array(70000).fill(7), "x".repeat(100000)];
    for (const value of values) await db.exec("INSERT INTO v VALUES (?)", [value]);
    const rows = await db.query("SELECT x FROM v ORDER BY rowid", [], { rowMode: "array" });
    equal(rows.map(([x]) => x), values);
    equal(await db.get("SELECT typeof(?) AS t", [true]), { t: "integer" });
    equal(await db.query("SELECT 1 AS n, 9007199254740993 AS big", [], { integers: "bigint" }), [{ n: 1n, big: 9007199254740993n }]);
    equal(await db.get("SELECT 9007199254740993 AS big"), { big: 9007199254740993n });
    for (const value of [undefined, NaN, 2n ** 63n, new Date(), {}]) await fails(db.exec("INSERT INTO v VALUES (?)", [value]), "Misuse");
    equal(await db.get("SELECT count(*) AS n FROM v"), { n: values.length });
  },

  async what_was_acknowledged_is_there_after_reopening(use) {
    if (!use.keeps) return;
    let db = await use.db();
    equal(db.recovery.kind, "created");
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await db.close();
    db = await use.db();
    equal(db.recovery.kind, "clean");
    equal(await db.query("SELECT a FROM t"), [{ a: 1 }]);
    await db.exec("INSERT INTO t VALUES (2)");
    db.terminate();
    db = await use.db();
    equal(db.recovery.kind, "unclean");
    equal(await db.query("SELECT a FROM t"), [{ a: 1 }, { a: 2 }]);
    equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    equal((await db.verify()).ok, true);
  },

  async every_statement_runs_and_an_error_stops_the_rest(use) {
    const db = await use.db();
    const done = await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (?); INSERT INTO t VALUES (?), (?); -- end", [1, 2, 3]);
    equal([done.statements, done.changes], [3, 3]);
    equal(await db.query("INSERT INTO t VALUES (4); SELECT max(a) AS m FROM t; UPDATE t SET a = a"), [{ m: 4 }]);
    await fails(db.exec("INSERT INTO t VALUES (5); SELECT * FROM nowhere; INSERT INTO t VALUES (6)"), "Sql", /nowhere/);
    equal(await db.get("SELECT max(a) AS m FROM t"), { m: 5 });
    const steps = await db.script("SELECT 1 AS one;  SELECT 2 AS two, 3 AS two;\n DELETE FROM t WHERE a > 3;");
    equal(steps.map((step) => [step.sql, step.columns, step.rows, step.changes]), [
      ["SELECT 1 AS one;", ["one"], [[1]], 0],
      ["SELECT 2 AS two, 3 AS two;", ["two", "two"], [[2, 3]], 0],
      ["DELETE FROM t WHERE a > 3;", [], [], 2],
    ]);
    equal((await db.exec("-- nothing")).statements, 0);
  },

  async parameters_go_by_position_or_name(use) {
    const db = await use.db();
    equal(await db.query("SELECT ?2 AS b, ?1 AS a", [1, 2]), [{ b: 2, a: 1 }]);
    equal(await db.query("SELECT :a AS a, @b AS b, $c AS c, :a AS d", { a: 1, "@b": 2, c: 3 }), [{ a: 1, b: 2, c: 3, d: 1 }]);
    await fails(db.query("SELECT :a", {}), "Misuse", /:a/);
    await fails(db.query("SELECT :a", { a: 1, b: 2 }), "Misuse", /b/);
    await fails(db.query("SELECT ?", []), "Misuse", /1 parameter/);
    await fails(db.query("SELECT ?", [1, 2]), "Misuse", /2 were given/);
    await fails(db.query(7), "Misuse");
  },

  async errors_name_what_to_do(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE NOT NULL, c REFERENCES t(a)); INSERT INTO t VALUES (1, 'x', NULL)");
    equal((await fails(db.exec("INSERT INTO t VALUES (2, 'x', NULL)"), "Constraint", /UNIQUE/)).code, 2067);
    await fails(db.exec("INSERT INTO t VALUES (2, NULL, NULL)"), "Constraint", /NOT NULL/);
    await fails(db.exec("INSERT INTO t VALUES (2, 'y', 9)"), "Constraint", /FOREIGN KEY/);
    await fails(db.exec("SELEC 1"), "Sql", /SELEC/);
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 1 });
  },

  async prepared_statements_run_many_times(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    const insert = await db.prepare("INSERT INTO t(b) VALUES (:b)");
    equal([insert.columns, insert.parameters, insert.readonly], [[], [":b"], false]);
    for (let n = 1; n <= 5; n += 1) equal(await insert.run({ b: n * n }), { changes: 1, lastInsertRowid: n });
    const select = await db.prepare("SELECT * FROM t WHERE a >= ? ORDER BY a");
    equal(select.columns, ["a", "b"]);
    equal(await select.get([2]), { a: 2, b: 4 });
    equal(await select.get([99]), undefined);
    equal(await select.all([4], { rowMode: "array" }), [[4, 16], [5, 25]]);
    await db.exec("ALTER TABLE t ADD COLUMN c DEFAULT 7; ALTER TABLE t RENAME COLUMN b TO square");
    equal(await select.get([5]), { a: 5, square: 25, c: 7 });
    const seen = [];
    for await (const row of select.iterate([3])) seen.push(row.square);
    equal(seen, [9, 16, 25]);
    await select.finalize();
    await select.finalize();
    await fails(select.all([1]), "Misuse", /finalized/);
    await fails(db.prepare("SELECT 1; SELECT 2"), "Misuse", /one statement/);
    await fails(db.prepare(" -- nothing"), "Misuse");
    const returning = await db.prepare("INSERT INTO t(square) VALUES (36), (49) RETURNING a");
    equal(await returning.get(), { a: 6 });
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 7 });
  },

  async rows_stream_in_chunks_and_leaving_early_frees_them(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000) INSERT INTO t SELECT i FROM n");
    let sum = 0, rows = 0;
    for await (const { a } of db.iterate("SELECT a FROM t")) {
      sum += a;
      rows += 1;
    }
    equal([rows, sum], [25000, (25000 * 25001) / 2]);
    let seen = 0;
    for await (const [a] of db.iterate("SELECT a FROM t", [], { rowMode: "array", chunkRows: 10 })) {
      seen += a > 0 ? 1 : 0;
      if (seen === 15) break;
    }
    equal(seen, 15);
    await db.exec("DROP TABLE t");
    for await (const row of db.iterate("SELECT 1 AS a WHERE 0")) throw new Error(`no row was wanted: ${row}`);
    await fails(db.iterate("SELECT 1; SELECT 2").next(), "Misuse");
  },

  async what_is_written_while_rows_stream_is_kept(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE t(a); CREATE TABLE seen(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i FROM n");
    for await (const { a } of db.iterate("SELECT a FROM t", [], { chunkRows: 7 })) {
      if (a % 10 === 0) await db.exec("INSERT INTO seen VALUES (?)", [a]);
      if (a % 25 === 0) await db.transaction((tx) => tx.exec("INSERT INTO seen VALUES (?)", [-a]));
      if (a === 60) {
        await db.transaction(async (tx) => {
          await tx.exec("INSERT INTO seen VALUES (0)");
          throw new Error("undone");
        }).catch(() => {});
      }
    }
    const wanted = { n: 14, s: 550 - 250, zeros: 0 };
    const look = "SELECT count(*) AS n, sum(a) AS s, sum(a = 0) AS zeros FROM seen";
    equal(await db.get(look), wanted);
    if (!use.keeps) return;
    db.terminate();
    db = await use.db();
    equal(await db.get(look), wanted);
    equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  },

  async what_is_acknowledged_while_a_changing_statement_streams_is_kept(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE job(a); CREATE TABLE seen(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO job SELECT i FROM n");
    let rows = 0;
    for await (const { a } of db.iterate("UPDATE job SET a = -a RETURNING a", [], { chunkRows: 100 })) {
      rows += 1;
      if (a % 1000 === 0) await db.exec("INSERT INTO seen VALUES (?)", [a]);
      if (a === -2000) await db.transaction(async () => { throw new Error("rolled back"); }).catch(() => {});
    }
    equal(rows, 3000);
    const look = "SELECT (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM job WHERE a < 0) AS done";
    equal(await db.get(look), { seen: 3, done: 3000 });
    // Left in the middle it has been done all the same.
    for await (const _ of db.iterate("UPDATE job SET a = -a RETURNING a", [], { chunkRows: 100 })) break;
    await db.exec("INSERT INTO seen VALUES (0)");
    if (use.keeps) {
      db.terminate();
      db = await use.db();
    }
    equal(await db.get(look), { seen: 4, done: 0 });
  },

  async what_has_changed_something_is_not_called_stopped(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    const stop = new AbortController();
    const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i FROM n";
    const call = db.exec(`${many}; ${many}; ${many}`, [], { signal: stop.signal });
    setTimeout(() => stop.abort(), 5);
    const ended = await call.then(() => "done", (error) => error.kind);
    const { n } = await db.get("SELECT count(*) AS n FROM t");
    equal([["Aborted", 0], ["done", 60000]].some(([kind, rows]) => kind === ended && rows === n) || [ended, n], true);
  },

  async a_transaction_is_all_or_nothing(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    equal(await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      return (await tx.get("SELECT count(*) AS n FROM t")).n;
    }), 1);
    const mine = new Error("mine");
    const thrown = await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (2)");
      throw mine;
    }).catch((error) => error);
    if (thrown !== mine) throw new Error(`the function's own error was wanted, found ${thrown}`);
    equal(await db.query("SELECT a FROM t"), [{ a: 1 }]);
    let late;
    await db.transaction((tx) => void (late = tx));
    await fails(late.exec("INSERT INTO t VALUES (3)"), "Misuse", /over/);
    await fails(db.transaction(async (tx) => tx.exec("COMMIT")), "Misuse", /commits when/);
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 1 });
  },

  async transactions_wait_for_each_other_and_others_for_them(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (0)");
    const add = () => db.transaction(async (tx) => {
      const { a } = await tx.get("SELECT a FROM t");
      await wait(2);
      await tx.exec("UPDATE t SET a = ?", [a + 1]);
    });
    const seen = [];
    const look = async () => seen.push((await db.get("SELECT a FROM t")).a);
    await Promise.all([add(), look(), add(), add(), look(), add()]);
    equal((await db.get("SELECT a FROM t")).a, 4, "no change was lost:");
    await fails(db.transaction((tx) => db.exec("SELECT 1")), "Misuse", /use tx/);
  },

  async transactions_inside_transactions_are_savepoints(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      await tx.transaction(async (inner) => {
        await inner.exec("INSERT INTO t VALUES (2)");
        throw new Error("only this");
      }).catch(() => {});
      await tx.transaction((inner) => inner.exec("INSERT INTO t VALUES (3)"));
    });
    equal(await db.query("SELECT a FROM t ORDER BY a"), [{ a: 1 }, { a: 3 }]);
  },

  async a_transaction_that_takes_too_long_or_sleeps_is_rolled_back(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    const slow = db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      await wait(150);
      await tx.exec("INSERT INTO t VALUES (2)");
    }, { timeoutMs: 60 });
    await fails(slow, "Expired", /60 ms/);
    const selfish = db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (3)");
      await wait(1);
      await db.exec("INSERT INTO t VALUES (4)");
      await tx.exec("INSERT INTO t VALUES (5)");
    }, { idleMs: 60 });
    await fails(selfish, "Expired", /use tx/);
    equal(await db.query("SELECT a FROM t"), [{ a: 4 }]);
  },

  async batches_are_one_transaction(use) {
    const db = await use.db();
    const results = await db.batch([
      "CREATE TABLE t(a, b)",
      ["INSERT INTO t VALUES (?, ?)", [1, "one"]],
      { sql: "INSERT INTO t VALUES (:a, :b)", params: { a: 2, b: "two" } },
      { sql: "INSERT INTO t(b, a) VALUES (:b, :a)", rows: Array.from({ length: 1000 }, (_, a) => ({ a: a + 3, b: `row ${a}` })) },
      "SELECT count(*) AS n, max(a) AS m FROM t",
    ]);
    equal(results.map(({ changes }) => changes), [0, 1, 1, 1000, 0]);
    equal(results[4].rows, [{ n: 1002, m: 1002 }]);
    await fails(db.batch(["DELETE FROM t", "INSERT INTO nowhere VALUES (1)"]), "Sql", /^Item 1: /);
    await fails(db.batch([{ sql: "INSERT INTO t VALUES (?)", rows: [[1]] }]), "Sql");
    await fails(db.batch([{ sql: "INSERT INTO t VALUES (?, ?)", rows: [[1]] }]), "Misuse", /2 parameter/);
    await fails(db.batch(["DELETE FROM t", "COMMIT"]), "Misuse");
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 1002 });
  },

  async many_calls_at_once_are_all_answered(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY)");
    const before = await db.stats();
    await Promise.all(Array.from({ length: 200 }, (_, a) => db.exec("INSERT INTO t VALUES (?)", [a])));
    const after = await db.stats();
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 200 });
    if (after.committed - before.committed > 100) throw new Error(`${after.committed - before.committed} commits of 200 calls that waited`);
    if (after.barriers - before.barriers > 60) throw new Error(`${after.barriers - before.barriers} barriers for 200 commits at once`);
  },

  async calls_that_share_a_commit_end_as_each_alone_would(use) {
    const db = await use.db();
    await db.exec(`CREATE TABLE p(id INTEGER PRIMARY KEY);
      CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED);
      CREATE TABLE u(a UNIQUE, b); CREATE TABLE r(last)`);
    const at = {
      parent: await db.prepare("INSERT INTO p VALUES (?)"),
      child: await db.prepare("INSERT INTO c VALUES (?, ?)"),
      or: await db.prepare("INSERT OR ROLLBACK INTO u VALUES (?, ?)"),
      unique: await db.prepare("INSERT INTO u VALUES (?, ?)"),
      last: await db.prepare("INSERT INTO r VALUES (last_insert_rowid())"),
      count: await db.prepare("SELECT count(*) AS n FROM u"),
    };
    const told = async (calls) => (await Promise.allSettled(calls)).map(({ reason, value }) => reason?.kind ?? value.changes ?? value.n);
    const many = await told([at.unique.run([1, 1]), at.unique.run([1, 2]), at.count.get(), at.unique.run([2, 3]), at.count.get()]);
    equal(many, [1, "Constraint", 1, 1, 2], "one is refused:");
    const orphan = await told([at.parent.run([5]), at.child.run([1, 7]), at.parent.run([7]), at.child.run([2, 5])]);
    equal(orphan, [1, "Constraint", 1, 1], "a key that only a later call would have mended:");
    await at.parent.run([40]);
    const undone = await told([at.last.run(), at.unique.run([3, 4]), at.or.run([3, 5]), at.unique.run([4, 6])]);
    equal(undone, [1, 1, "Constraint", 1], "one takes the whole transaction with it:");
    equal(await db.query("SELECT last FROM r"), [{ last: 40 }], "the rowid of a run that was undone is not told:");
    equal(await db.query("SELECT a, b FROM u ORDER BY b", [], { rowMode: "array" }), [[1, 1], [2, 3], [3, 4], [4, 6]]);
    equal(await db.query("SELECT id FROM c", [], { rowMode: "array" }), [[2]]);
  },

  async what_is_aborted_leaves_nothing(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    await fails(db.exec("INSERT INTO t VALUES (1)", [], { signal: AbortSignal.abort() }), "Aborted");
    const stop = new AbortController();
    const held = db.transaction(async () => wait(50));
    const waiting = db.exec("INSERT INTO t VALUES (2)", [], { signal: stop.signal });
    await wait(10);
    stop.abort();
    await fails(waiting, "Aborted");
    await held;
    const inside = new AbortController();
    const rolledBack = db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (3)");
      inside.abort();
      await wait(5);
      await tx.exec("INSERT INTO t VALUES (4)");
    }, { signal: inside.signal });
    await fails(rolledBack, "Aborted");
    equal(await db.query("SELECT a FROM t"), []);
    const long = new AbortController();
    const rows = db.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, hex(zeroblob(500)) FROM n LIMIT 2000000", [], { signal: long.signal });
    setTimeout(() => long.abort(), 50);
    await fails(rows, "Aborted", /chunks/);
  },

  async a_database_goes_out_and_comes_back_as_one_file(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, hex(randomblob(200)) FROM n");
    const sum = await db.get("SELECT sum(length(b)) AS s, count(*) AS n FROM t");
    const bytes = await db.exportBytes();
    equal(new TextDecoder().decode(bytes.subarray(0, 15)), "SQLite format 3");
    let streamed = 0;
    for await (const piece of db.export()) streamed += piece.byteLength;
    equal(streamed, bytes.byteLength);
    const half = db.export().getReader();
    await half.read();
    await half.cancel();
    await db.exec("DELETE FROM t; CREATE TABLE other(x)");
    for (const source of [bytes, bytes.buffer, new Blob([bytes]), new Blob([bytes]).stream()]) {
      let last;
      await db.import(source, { onProgress: (progress) => (last = progress) });
      equal(last, { done: bytes.byteLength, total: bytes.byteLength });
      equal(await db.get("SELECT sum(length(b)) AS s, count(*) AS n FROM t"), sum);
      await fails(db.query("SELECT * FROM other"), "Sql");
      await db.exec("DELETE FROM t WHERE a % 2 = 0; CREATE TABLE other(x)");
    }
    equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  },

  async what_is_no_database_is_refused_and_changes_nothing(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const bytes = await db.exportBytes();
    await fails(db.import(new Uint8Array(0)), "NotAStore");
    await fails(db.import(new Uint8Array(8192).fill(65)), "NotAStore", /does not begin/);
    await fails(db.import(new Blob(["not a database, but longer than a hundred bytes".repeat(9)])), "NotAStore");
    await fails(db.import(bytes.subarray(0, 5000)), "NotAStore").catch((error) => {
      if (!/Misuse/.test(error.message)) throw error;
    });
    await fails(db.import("text"), "Misuse");
    const stop = AbortSignal.abort();
    await fails(db.import(bytes, { signal: stop }), "Aborted");
    equal(await db.query("SELECT a FROM t"), [{ a: 1 }]);
    await db.exec("INSERT INTO t VALUES (2)");
    equal(await db.get("SELECT count(*) AS n FROM t"), { n: 2 });
  },

  async a_second_open_is_busy_or_waits(use) {
    if (!use.keeps) return;
    const first = await use.db();
    let asked = 0;
    first.on("wanted", () => (asked += 1));
    await fails(use.db(), "Busy", /wait: true/);
    await fails(use.db({ wait: 50 }), "Busy", /50 ms/);
    await wait(20);
    equal(asked, 1, "only who waits asks the holder:");
    await first.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    first.on("wanted", () => void first.close());
    const second = await use.db({ wait: true });
    equal(await second.query("SELECT a FROM t"), [{ a: 1 }]);
    await fails(first.query("SELECT 1"), "Closed");
    await fails(use.destroy(use.name), "Busy");
  },

  async everybody_who_waits_gets_a_turn(use) {
    if (!use.keeps) return;
    const first = await use.db();
    await first.exec("CREATE TABLE t(a)");
    let left = 3;
    const turns = [1, 2, 3].map(async (n) => {
      const db = await use.db({ wait: true });
      await db.exec("INSERT INTO t VALUES (?)", [n]);
      left -= 1;
      // Whoever waits may have asked before anybody listened here.
      if (left > 0) await new Promise((resolve) => void db.on("wanted", resolve));
      await db.close();
    });
    await wait(50);
    first.on("wanted", () => void first.close());
    const late = wait(10_000).then(() => `${left} still wait`);
    equal(await Promise.race([Promise.all(turns).then(() => "all had it"), late]), "all had it");
    const last = await use.db();
    equal(await last.get("SELECT count(*) AS n FROM t"), { n: 3 });
  },

  async a_deposed_tab_is_told_so_and_sees_no_damage(use) {
    if (use.backend !== "indexeddb") return;
    const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)";
    const options = { cacheBytes: 1 << 18 };
    const made = await use.db(options);
    await made.exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b); ${many} INSERT INTO t SELECT i, randomblob(9000) FROM n`);
    await made.close();
    const zombie = await use.db(options);
    await zombie.get("SELECT a FROM t LIMIT 1");
    // As when a browser takes its lock from a tab that it froze.
    await navigator.locks.request(`datasync:indexeddb:${use.name}`, { steal: true }, () => {});
    const next = await use.db(options);
    await next.exec("UPDATE t SET b = randomblob(9000)");
    await next.close();
    const { reads } = await zombie.storage();
    const outcome = (call) => call.then(() => "fine", (error) => `${error.kind}: ${error.message}`);
    const read = await outcome(zombie.query("SELECT sum(length(b)) AS s FROM t"));
    // Held in memory the old state is whole; else its pages are no longer there.
    equal(/^Fenced: .*open it again/.test(read) || (reads === "resident" && read === "fine") || read, true);
    await fails(zombie.exportStore(), "Fenced", /another tab/);
    await fails(zombie.query("PRAGMA integrity_check"), "Fenced", /another tab/);
    if (reads !== "resident") await fails(zombie.verify(), "Fenced", /another tab/);
    await fails(zombie.exec("INSERT INTO t VALUES (1000, 1)"), "Fenced", /another tab/);
    await zombie.close().catch(() => {});
    const after = await use.db(options);
    equal(await after.get("SELECT count(*) AS n, min(length(b)) AS l FROM t"), { n: 400, l: 9000 });
    equal((await after.verify()).ok, true);
  },

  async databases_of_one_name_in_two_places_are_two(use) {
    if (!use.keeps) return;
    const here = await use.db();
    const there = await use.db({ backend: use.backend === "opfs" ? "indexeddb" : "opfs" });
    await here.exec("CREATE TABLE here(a)");
    await there.exec("CREATE TABLE there(a)");
    await fails(here.query("SELECT * FROM there"), "Sql");
    equal((await use.list()).filter(({ name }) => name === use.name).length, 2);
  },

  async a_database_is_opened_where_it_is(use) {
    if (!use.keeps) return;
    const made = await use.db();
    await made.exec("CREATE TABLE t(a)");
    await made.close();
    const found = await use.db({ backend: undefined });
    equal([found.backend, (await found.storage()).backend], [use.backend, use.backend]);
    equal(await found.query("SELECT * FROM t"), []);
    const listed = (await use.list()).filter(({ name }) => name === use.name);
    equal(listed, [{ name: use.name, backend: use.backend }]);
    await found.close();
    await use.destroy(use.name);
    equal((await use.list()).filter(({ name }) => name === use.name), []);
    await fails(use.db({ create: false }), "NotFound");
    equal((await use.list()).filter(({ name }) => name === use.name), [], "looking made nothing:");
  },

  async a_database_opened_for_reading_is_not_changed(use) {
    if (!use.keeps) return;
    const made = await use.db();
    await made.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await made.close();
    const db = await use.db({ readOnly: true });
    equal(await db.query("SELECT a FROM t"), [{ a: 1 }]);
    await fails(db.exec("INSERT INTO t VALUES (2)"), "ReadOnly");
  },

  async raw_store_files_go_out_and_make_a_database_elsewhere(use) {
    if (!use.keeps) return;
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (42)");
    const files = await db.exportStore();
    if (!files.some(({ name }) => name === "META")) throw new Error(`no META in ${files.map(({ name }) => name)}`);
    const copy = `${use.name}-copy`;
    await use.importStore(files, { name: copy, backend: use.backend });
    const other = await use.open({ name: copy, backend: use.backend });
    use.opened.push(other);
    equal(await other.query("SELECT a FROM t"), [{ a: 42 }]);
    equal((await other.verify()).ok, true);
    await other.close();
    await use.destroy(copy);
  },

  async names_that_storage_could_misread_are_refused(use) {
    for (const name of ["", "a/b", ".", "..", "x".repeat(201), undefined]) {
      await fails(use.open({ name, backend: use.backend }), "Misuse", /name/);
    }
    await fails(use.open({ name: "n", backend: "disk" }), "Misuse", /opfs, indexeddb, memory/);
    await fails(use.open({ name: "n", backend: use.backend, durability: "maybe" }), "Misuse");
    await fails(use.open({ name: "n", backend: use.backend, segmentBytes: -1 }), "Misuse");
    const odd = "\u00fcber 100%: #?&\\ 'x'";
    const db = await use.open({ name: odd, backend: use.backend });
    await db.exec("CREATE TABLE t(a)");
    await db.close();
    if (use.keeps) {
      equal((await use.list()).some(({ name }) => name === odd), true);
      await use.destroy(odd);
    }
  },

  async a_worker_that_dies_settles_every_promise(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    let closed;
    db.on("close", ({ reason }) => (closed = reason));
    const change = db.exec("INSERT INTO t VALUES (1)");
    const look = db.stats();
    await Promise.resolve();
    db.terminate();
    await fails(change, "Indeterminate");
    await fails(look, "Closed");
    await fails(db.query("SELECT 1"), "Closed");
    await fails(db.transaction(async () => {}), "Closed");
    equal(closed, "it was terminated on purpose");
    await db.close();
    db = await use.db();
    if (use.keeps) await db.exec("INSERT INTO t VALUES (2)");
  },

  async calls_after_close_say_so_and_closing_twice_is_fine(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    const statement = await db.prepare("SELECT a FROM t");
    const last = db.exec("INSERT INTO t VALUES (1)");
    await Promise.all([db.close(), db.close()]);
    equal((await last).changes, 1, "what was called before is finished:");
    equal(db.closed, true);
    for (const call of [() => db.exec("SELECT 1"), () => statement.all(), () => db.transaction(() => {}), () => db.stats()]) {
      await fails(call(), "Closed");
    }
    await statement.finalize();
  },

  async events_tell_what_happens(use) {
    const db = await use.db();
    const heard = [];
    for (const name of ["recovery", "commit", "sync", "close"]) db.on(name, (data) => heard.push([name, data]));
    await wait(10);
    equal(heard.splice(0).map(([name]) => name), ["recovery"]);
    const before = await db.stats();
    await db.query("SELECT 1");
    await db.sync();
    await wait(10);
    equal(heard, [], "nothing was committed, and nothing became durable:");
    await db.exec("CREATE TABLE t(a)");
    await wait(10);
    const [[, commit], [, sync], ...others] = heard;
    equal(heard.map(([name]) => name), ["commit", "sync"], `${others}:`);
    const { committed } = await db.stats();
    equal([commit.committed, commit.bytes > 0, committed > before.committed], [committed, true, true]);
    equal(commit.durable >= before.durable && commit.durable <= committed, true, `${commit.durable} of ${committed}:`);
    equal([sync.cause, sync.committed, sync.durable, sync.ms >= 0], ["answer", committed, committed, true]);
    const stop = db.on("commit", () => heard.push(["never"]));
    stop();
    await db.exec("INSERT INTO t VALUES (1)");
    await db.close();
    equal([heard.some(([name]) => name === "never"), heard.at(-1)[0]], [false, "close"]);
  },

  async applied_commits_are_synced_by_themselves(use) {
    const db = await use.db({ durability: "applied", autoSync: { intervalMs: 30 } });
    const causes = [];
    db.on("sync", ({ cause }) => causes.push(cause));
    await db.exec("CREATE TABLE t(a)");
    await wait(300);
    const { committed, durable } = await db.stats();
    equal(durable, committed);
    equal(causes.includes("timer"), true, `causes ${causes}:`);
    await db.exec("INSERT INTO t VALUES (1)");
    const done = await db.sync();
    equal(done.durable, done.committed);
  },

  async what_nobody_synced_is_not_called_durable(use) {
    const db = await use.db({ durability: "applied", autoSync: false, segmentBytes: 256 << 10 });
    await db.exec("CREATE TABLE t(a)");
    const before = await db.stats();
    // More than a segment: beginning the next one takes barriers, which on IndexedDB keep the order and no more.
    for (let n = 0; n < 40; n += 1) await db.exec("INSERT INTO t VALUES (randomblob(20000))");
    const { committed, durable, segments } = await db.stats();
    if (segments <= before.segments) throw new Error(`${segments} segments`);
    if (use.backend === "indexeddb") equal(durable, before.durable);
    const done = await db.sync();
    equal([done.durable, done.durable >= committed], [done.committed, true]);
    const { durable: after } = await db.stats();
    equal(after, done.durable);
  },

  async a_witnessed_commit_takes_a_second_barrier(use) {
    const db = await use.db({ durability: "witnessed" });
    await db.exec("CREATE TABLE t(a)");
    const before = await db.stats();
    for (let n = 0; n < 5; n += 1) await db.exec("INSERT INTO t VALUES (?)", [n]);
    const { barriers } = await db.stats();
    if (barriers - before.barriers < 10) throw new Error(`${barriers - before.barriers} barriers for 5 witnessed commits`);
    equal((await db.storage()).durability, use.keeps ? "witnessed" : "none");
  },

  async storage_says_where_and_why(use) {
    const db = await use.db();
    const info = await db.storage();
    equal([info.backend, info.durability], [use.backend, use.keeps ? "durable" : "none"]);
    if (!/./.test(info.why) || typeof info.quota !== "number") throw new Error(JSON.stringify(info));
    equal(Object.keys(info.headers), ["Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"]);
  },

  async small_segments_rotate_fold_and_lose_nothing(use) {
    if (!use.keeps) return;
    let db = await use.db({ segmentBytes: 128 << 10, logCapBytes: 1 << 20 });
    const folds = [];
    db.on("compaction", (data) => folds.push(data));
    await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    for (let round = 0; round < 40; round += 1) {
      await db.batch([{ sql: "INSERT INTO t(b) VALUES (?)", rows: Array.from({ length: 30 }, () => ["x".repeat(1000)]) }]);
    }
    await wait(400);
    const stats = await db.stats();
    if (!(stats.folds > 0 && folds.length > 0)) throw new Error(`nothing was folded: ${JSON.stringify(stats)}`);
    db.terminate();
    db = await use.db();
    equal(await db.get("SELECT count(*) AS n, sum(length(b)) AS s FROM t"), { n: 1200, s: 1200000 });
    equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  },

  ...edges,
  ...features,
};
