// What happens at the edges: scripts with comments, connections that are replaced, databases that are only read, files
// that cannot be a database.
//
// A part of the promises of behaviour.page.js.

import { equal, fails } from "./use.page.js";

const values = async (db) => (await db.get("SELECT group_concat(a) AS all_of FROM t")).all_of;

export const edges = {
  async what_follows_a_comment_runs_too(use) {
    const db = await use.db();
    const done = await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1); /* two */ INSERT INTO t VALUES (2) /* open");
    equal(done.statements, 3);
    await db.batch(["INSERT INTO t VALUES (3); -- four\n/**/INSERT INTO t VALUES (4);/* the end */ -- of it"]);
    equal(await values(db), "1,2,3,4");
    equal(await db.query("SELECT 1 AS a; /* not this */ SELECT 2 AS a"), [{ a: 2 }]);
    await fails(db.prepare("SELECT 1; /* and */ SELECT 2"), "Misuse", /more than one/);
    // As many as a file that is mostly documentation has.
    await db.exec(`${"/* a line */\n".repeat(60)}INSERT INTO t VALUES (5)`);
    equal(await values(db), "1,2,3,4,5");
  },

  async a_script_that_fails_leaves_no_transaction_open(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    await fails(db.exec("INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); INSERT INTO nowhere VALUES (3); COMMIT"), "Sql", /nowhere/);
    await fails(db.query("SAVEPOINT s; INSERT INTO t VALUES (4); SELEC"), "Sql");
    // Of somebody who knows nothing of the script: acknowledged is committed.
    await db.exec("INSERT INTO t VALUES (5)");
    equal(await values(db), "1,5");
    // One that was open before is its owner's to end.
    await db.exec("BEGIN");
    await fails(db.exec("INSERT INTO t VALUES (6); SELEC"), "Sql");
    await db.exec("COMMIT");
    if (use.keeps) {
      db.terminate();
      db = await use.db();
    }
    equal(await values(db), "1,5,6");
  },

  async sql_that_sqlite_would_see_a_part_of_is_refused(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a)");
    const sql = "INSERT INTO t VALUES (1);\0 INSERT INTO t VALUES (2)";
    for (const call of [db.exec(sql), db.query(sql), db.prepare(sql), db.batch([sql]), db.batch([[sql]])]) await fails(call, "Misuse", /NUL/);
    await db.exec("INSERT INTO t VALUES (?)", ["a\0b"]);
    equal(await db.query("SELECT a FROM t"), [{ a: "a\0b" }]);
  },

  async what_was_set_on_the_connection_stays_set_over_an_import(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE p(a PRIMARY KEY); CREATE TABLE t(a REFERENCES p); PRAGMA cache_size = 77");
    await db.exec("PRAGMA case_sensitive_like = ON; PRAGMA recursive_triggers(1)");
    const bytes = await db.exportBytes();
    const settings = async () => Object.values({
      ...(await db.get("SELECT cache_size, recursive_triggers, foreign_keys FROM pragma_cache_size, pragma_recursive_triggers, pragma_foreign_keys")),
      ...(await db.get("SELECT 'A' LIKE 'a' AS alike")),
    });
    equal(await settings(), [77, 1, 1, 0]);
    await db.import(bytes);
    equal(await settings(), [77, 1, 1, 0]);
    await fails(db.exec("INSERT INTO t VALUES (1)"), "Constraint");
    await db.exec("PRAGMA foreign_keys = OFF");
    await db.import(bytes);
    equal(await settings(), [77, 1, 0, 0]);
    await db.exec("INSERT INTO t VALUES (1)");
  },

  async a_database_that_could_not_be_opened_again_is_not_imported(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const bytes = await db.exportBytes();
    new DataView(bytes.buffer).setUint32(44, 5);
    await fails(db.import(bytes), "Unsupported", /format 5/);
    equal(await values(db), "1");
    await fails(db.import(new ReadableStream({ start: (to) => (to.enqueue("text"), to.close()) })), "Misuse", /Uint8Array/);
    if (use.keeps) {
      await db.close();
      db = await use.db();
    }
    equal(await values(db), "1");
  },

  async for_reading_only_what_is_sure_is_called_durable(use) {
    if (!use.keeps) return;
    const made = await use.db({ durability: "applied", autoSync: false });
    await made.exec("CREATE TABLE t(a)");
    await made.sync();
    for (let n = 0; n < 10; n += 1) await made.exec("INSERT INTO t VALUES (?)", [n]);
    made.terminate();
    let db = await use.db({ readOnly: true });
    equal((await db.storage()).durability, "none");
    const crashed = await db.stats();
    // What OPFS was given is there, though no barrier was run for it.
    if (use.backend === "opfs") equal(crashed.durable < crashed.committed, true, `${crashed.durable} of ${crashed.committed}:`);
    await db.close();
    await (await use.db()).close();
    db = await use.db({ readOnly: true });
    const { committed, durable } = await db.sync();
    equal(durable, committed);
  },

  async a_batch_in_a_transaction_is_a_part_of_it_or_nothing(use) {
    let db = await use.db();
    await db.exec("CREATE TABLE t(a UNIQUE)");
    const rows = (from, many) => Array.from({ length: many }, (_, n) => [from + n]);
    await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      const [one, two] = await tx.batch([{ sql: "INSERT INTO t VALUES (?)", rows: rows(2, 500) }, "SELECT count(*) AS n FROM t"]);
      equal([one.changes, two.rows], [500, [{ n: 501 }]]);
      await fails(tx.batch([{ sql: "INSERT INTO t VALUES (?)", rows: rows(1000, 9) }, "INSERT INTO t VALUES (7)"]), "Constraint", /^Item 1: /);
      await fails(tx.batch(["INSERT INTO t VALUES (2000)", "COMMIT"]), "Misuse", /transaction/);
      await fails(tx.batch(["SELECT 1"], { mode: "deferred" }), "Misuse", /"mode"/);
      await fails(tx.batch(["SELECT 1"], { signal: AbortSignal.abort() }), "Aborted");
      await tx.transaction(async (part) => {
        await part.batch(["INSERT INTO t VALUES (3000)"]);
        throw new Error("undone");
      }).catch(() => {});
      await tx.exec("INSERT INTO t VALUES (4000)");
    });
    await db.transaction(async (tx) => {
      await tx.batch(["DELETE FROM t"]);
      throw new Error("undone");
    }).catch(() => {});
    const look = "SELECT count(*) AS n, sum(a) AS s FROM t";
    const whole = { n: 502, s: (501 * 502) / 2 + 4000 };
    equal(await db.get(look), whole);
    if (!use.keeps) return;
    db.terminate();
    db = await use.db();
    equal(await db.get(look), whole);
  },

  async what_ones_own_loop_or_stream_holds_is_told_as_ones_own(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)");
    for await (const { a } of db.iterate("SELECT a FROM t", [], { chunkRows: 1 })) {
      if (a === 1) await fails(db.exec("DROP TABLE t"), "Misuse", /locked.*iterate\(\)/);
    }
    await db.exec("INSERT INTO t VALUES (randomblob(5000000))");
    const half = db.export().getReader();
    await half.read();
    await fails(db.exportBytes(), "Misuse", /under way/);
    await half.cancel();
    await db.exec("DROP TABLE t");
    await db.exportBytes();
  },

  async an_import_of_raw_files_that_is_stopped_leaves_nothing(use) {
    if (!use.keeps) return;
    const db = await use.db();
    await db.exec("CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) INSERT INTO t SELECT randomblob(1000000) FROM n");
    const files = await db.exportStore();
    const copy = { name: `${use.name}-stopped`, backend: use.backend };
    const isThere = async () => (await use.list()).some(({ name }) => name === copy.name);
    await fails(use.importStore(files, { ...copy, signal: AbortSignal.abort() }), "Aborted");
    let ended = "done";
    for (const ms of [300, 100, 50]) {
      if (ended !== "done") break;
      const way = new AbortController();
      setTimeout(() => way.abort(), ms);
      ended = await use.importStore(files, { ...copy, signal: way.signal }).then(() => "done", (error) => error.kind);
      equal([ended, await isThere()], ended === "done" ? ["done", true] : ["Aborted", false]);
      if (ended === "done") await use.destroy(copy.name);
    }
    await use.importStore(files, copy);
    const made = await use.open(copy);
    equal(await made.get("SELECT count(*) AS n FROM t"), { n: 30 });
    await made.close();
    await use.destroy(copy.name);
  },

  async a_signal_that_comes_while_the_worker_starts_stops_the_opening(use) {
    const stopped = new AbortController();
    const opening = use.db({ signal: stopped.signal });
    stopped.abort();
    await fails(opening, "Aborted");
    equal((await use.db()).closed, false, "nobody holds it:");
  },
};
