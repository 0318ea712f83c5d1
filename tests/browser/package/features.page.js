// What the module has compiled in, used in a page as an application would: search, JSON, boxes, mathematics, windows;
// and sessions, whose changes make another database the same.
//
// A part of the promises of behaviour.page.js.

import { equal, fails } from "./use.page.js";

const NOTES = `CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT UNIQUE);
  INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three')`;
const CHANGES = `UPDATE notes SET body = 'ONE' WHERE id = 1; DELETE FROM notes WHERE id = 2;
  INSERT INTO notes VALUES (4, 'four')`;

const bodies = async (db) => (await db.query("SELECT id || body AS b FROM notes ORDER BY id")).map(({ b }) => b).join(" ");

/** What `CHANGES` does to `NOTES`. */
async function recorded(use, how = "changeset") {
  const db = await use.open({ name: `${use.name}-recorded`, backend: "memory" });
  await db.exec(NOTES);
  const session = await db.session();
  await db.exec(CHANGES);
  const changes = await session[how]();
  await db.close();
  return changes;
}

export const features = {
  async full_text_search_is_compiled_in(use) {
    const db = await use.db();
    await db.exec("CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize = 'porter unicode61')");
    await db.batch([{ sql: "INSERT INTO f VALUES (?, ?)", rows: [["Caf\u00e9", "durable commits"], ["none", "nothing"], ["tea", "a committing tab"]] }]);
    equal(await db.query("SELECT rowid FROM f WHERE f MATCH 'commit' ORDER BY rank"), [{ rowid: 1 }, { rowid: 3 }]);
    equal(await db.query("SELECT rowid FROM f('title : cafe')"), [{ rowid: 1 }]);
    equal(await db.get("SELECT snippet(f, 1, '[', ']', '...', 5) AS s, highlight(f, 1, '<', '>') AS h FROM f('durab*')"), { s: "[durable] commits", h: "<durable> commits" });
    if (!(await db.get("SELECT bm25(f) < 0 AS ranked FROM f('committing')")).ranked) throw new Error("bm25 ranks nothing");
    await db.exec("INSERT INTO f(f) VALUES ('integrity-check'); INSERT INTO f(f) VALUES ('optimize')");
    await db.exec("CREATE VIRTUAL TABLE words USING fts5vocab(f, 'row')");
    equal(await db.get("SELECT doc FROM words WHERE term = 'commit'"), { doc: 2 });
  },

  async what_became_of_a_commit_is_told(use) {
    const db = await use.db();
    await db.exec("CREATE TABLE fate(x)");
    const { epoch, committed } = await db.stats();
    const fate = async (lsn) => Object.values(await db.get(`PRAGMA datasync_outcome = '${epoch}.${lsn}'`));
    equal([await fate(committed), await fate(committed + 1)], [["committed"], ["not committed"]]);
  },

  async json_is_compiled_in(use) {
    const db = await use.db();
    const text = JSON.stringify({ a: [1, 2.5, "x"], b: { c: null, d: true } });
    await db.exec("CREATE TABLE j(doc); INSERT INTO j VALUES (?)", [text]);
    equal(await db.get("SELECT doc -> '$.a' AS arrow, doc ->> '$.a[2]' AS value, doc ->> 'b' AS inner, doc -> 'b' ->> 'd' AS d FROM j"), { arrow: '[1,2.5,"x"]', value: "x", inner: '{"c":null,"d":true}', d: 1 });
    equal(await db.query("SELECT key, value, type FROM j, json_each(doc, '$.a')"), [
      { key: 0, value: 1, type: "integer" }, { key: 1, value: 2.5, type: "real" }, { key: 2, value: "x", type: "text" },
    ]);
    equal(await db.get("SELECT count(*) AS n FROM j, json_tree(doc)"), { n: 8 });
    equal(await db.get("SELECT json_group_array(value) AS all_of FROM json_each('[3,1]')"), { all_of: "[3,1]" });
    equal(await db.get("SELECT json_set('{}', '$.x', json('[1]')) AS s, json_valid('{') AS v, json_type('{\"a\":1}', '$.a') AS t"), { s: '{"x":[1]}', v: 0, t: "integer" });
    equal(await db.get("SELECT json(jsonb(doc)) = doc AS same, typeof(jsonb(doc)) AS t FROM j"), { same: 1, t: "blob" });
    await db.exec("CREATE INDEX by_c ON j(doc ->> '$.b.d')");
    equal((await db.query("EXPLAIN QUERY PLAN SELECT * FROM j WHERE doc ->> '$.b.d' = 1"))[0].detail.includes("by_c"), true);
  },

  async boxes_are_compiled_in(use) {
    const db = await use.db();
    await db.exec("CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +name TEXT)");
    const rows = Array.from({ length: 400 }, (_, n) => [n + 1, n % 20, (n % 20) + 0.5, Math.floor(n / 20), Math.floor(n / 20) + 0.5, `box ${n}`]);
    await db.batch([{ sql: "INSERT INTO r VALUES (?, ?, ?, ?, ?, ?)", rows }]);
    equal(await db.query("SELECT id, name FROM r WHERE x0 >= 3 AND x1 <= 4.5 AND y0 >= 7 AND y1 < 8 ORDER BY id"), [{ id: 144, name: "box 143" }, { id: 145, name: "box 144" }]);
    equal(await db.get("SELECT rtreecheck('r') AS ok"), { ok: "ok" });
    await db.exec("CREATE VIRTUAL TABLE i USING rtree_i32(id, a0, a1); INSERT INTO i VALUES (1, -5, 5)");
    equal(await db.query("SELECT id FROM i WHERE a0 <= 0 AND a1 >= 0"), [{ id: 1 }]);
  },

  async mathematics_and_windows_are_compiled_in(use) {
    const db = await use.db();
    equal(await db.get("SELECT sqrt(2) AS s, log(1000) AS l, log(2, 8) AS l2, ln(exp(1)) AS e, pi() AS p, pow(2, 10) AS w, ceil(1.2) AS c, trunc(-1.7) AS t, mod(7, 4) AS m, degrees(pi()) AS d, atan2(1, 1) AS a"), {
      s: Math.SQRT2, l: 3, l2: 3, e: 1, p: Math.PI, w: 1024, c: 2, t: -1, m: 3, d: 180, a: Math.PI / 4,
    });
    await db.exec("CREATE TABLE sales(day, who, n); INSERT INTO sales VALUES (1, 'a', 5), (2, 'b', 7), (3, 'a', 1), (4, 'b', 2)");
    equal(await db.query(
      `SELECT day, sum(n) OVER (PARTITION BY who ORDER BY day) AS running, rank() OVER (ORDER BY n DESC) AS place,
         lag(n, 1, 0) OVER (ORDER BY day) AS before, sum(n) FILTER (WHERE who = 'a') OVER () AS a
       FROM sales ORDER BY day`), [
      { day: 1, running: 5, place: 2, before: 0, a: 6 }, { day: 2, running: 7, place: 1, before: 5, a: 6 },
      { day: 3, running: 6, place: 4, before: 7, a: 6 }, { day: 4, running: 9, place: 3, before: 1, a: 6 },
    ]);
    equal(await db.get("SELECT date(0, 'unixepoch') AS d, strftime('%Y', '2026-11-22', '+1 year') AS y, timediff('2026-01-02', '2026-01-01') AS t"), { d: "1970-01-01", y: "2027", t: "+0000-00-01 00:00:00.000" });
    equal(await db.get("WITH RECURSIVE f(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM f LIMIT 10) SELECT max(a) AS m FROM f"), { m: 34 });
  },

  async recorded_changes_make_another_database_the_same(use) {
    let db = await use.db();
    await db.exec(NOTES);
    equal(await db.applyChangeset(await recorded(use)), { conflicts: 0 });
    equal(await bodies(db), "1ONE 3three 4four");
    if (use.keeps) {
      db.terminate();
      db = await use.db();
      equal(await bodies(db), "1ONE 3three 4four", "acknowledged means durable:");
    }
    const back = await db.invertChangeset(await recorded(use));
    equal(await db.applyChangeset(back.buffer), { conflicts: 0 });
    equal(await bodies(db), "1one 2two 3three");
    const patch = await recorded(use, "patchset");
    equal(await db.applyChangeset(patch), { conflicts: 0 });
    equal(await bodies(db), "1ONE 3three 4four");
    await fails(db.invertChangeset(patch), "Misuse", /changeset/);
  },

  async a_session_records_what_it_was_asked_to(use) {
    const db = await use.db();
    await db.exec(`${NOTES}; CREATE TABLE plain(a); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE f USING fts5(t)`);
    const [all, one] = await Promise.all([db.session(), db.session({ tables: ["Plain"] })]);
    equal((await all.changeset()).byteLength, 0);
    await db.transaction((tx) => tx.exec("INSERT INTO plain VALUES (randomblob(100000)); INSERT INTO f VALUES ('text')"));
    await db.exec("CREATE TABLE later(a); INSERT INTO later VALUES (1)");
    const [whole, part] = await Promise.all([all.changeset(), one.changeset()]);
    equal([part.byteLength > 100000, whole.byteLength > part.byteLength], [true, true]);
    await db.transaction(async (tx) => {
      await tx.exec("DELETE FROM plain");
      throw new Error("undone");
    }).catch(() => {});
    equal((await one.changeset()).byteLength, part.byteLength, "what is rolled back is not recorded:");
    // The index of the search is kept in tables, which are recorded: with them it goes back too.
    await db.applyChangeset(await db.invertChangeset(whole));
    equal(await db.get("SELECT (SELECT count(*) FROM plain) AS plain, (SELECT count(*) FROM f('text')) AS f, (SELECT count(*) FROM later) AS later"), { plain: 0, f: 0, later: 0 });
    await db.exec("INSERT INTO f(f) VALUES ('integrity-check')");
    equal((await one.changeset()).byteLength, 0, "there and back is no change:");
    await fails(db.session({ tables: ["nowhere"] }), "Sql", /"nowhere"/);
    await fails(db.session({ tables: ["v"] }), "Misuse", /a view/);
    await fails(db.session({ tables: ["f"] }), "Misuse", /virtual/);
    for (const tables of [[], "plain", [""], [7]]) await fails(db.session({ tables }), "Misuse", /array/);
    await one.close();
    await one.close();
    await fails(one.changeset(), "Misuse", /closed/);
    await all.changeset();
    await fails(all.changeset({ signal: AbortSignal.abort() }), "Aborted");
    await db.close();
    await fails(all.patchset(), "Closed");
    await all.close();
  },

  async changes_that_do_not_fit_are_told_left_out_or_win(use) {
    const db = await use.db();
    const changes = await recorded(use);
    const mine = "UPDATE notes SET body = 'mine' WHERE id = 1; INSERT INTO notes VALUES (4, 'here')";
    await db.exec(`${NOTES}; ${mine}`);
    const before = await bodies(db);
    const error = await fails(db.applyChangeset(changes), "Conflict", /"notes".*nothing was applied/);
    equal([error.code, await bodies(db)], [undefined, before]);
    equal(await db.applyChangeset(changes, { onConflict: "omit" }), { conflicts: 2 });
    equal(await bodies(db), "1mine 3three 4here");
    await db.exec(`DELETE FROM notes; DROP TABLE notes; ${NOTES}; ${mine}`);
    equal(await db.applyChangeset(changes, { onConflict: "replace" }), { conflicts: 2 });
    equal(await bodies(db), "1ONE 3three 4four");
    await db.exec("DELETE FROM notes WHERE id < 4; INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (9, 'ONE'); DELETE FROM notes WHERE id = 4");
    await fails(db.applyChangeset(changes), "Constraint", /constraint/);
    await fails(db.applyChangeset(changes, { onConflict: "perhaps" }), "Misuse", /abort, omit or replace/);
    equal(await bodies(db), "1one 2two 9ONE");
    // In a transaction it is a part of it, and the transaction goes on when it fails.
    const seen = await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO notes VALUES (5, 'five')");
      await fails(tx.applyChangeset(changes), "Constraint");
      await tx.exec("DELETE FROM notes WHERE id = 9");
      return tx.applyChangeset(changes);
    });
    equal([seen, await bodies(db)], [{ conflicts: 0 }, "1ONE 4four 5five"]);
    await db.transaction(async (tx) => {
      await tx.exec("UPDATE notes SET body = 'x' WHERE id = 4");
      throw new Error("undone");
    }).catch(() => {});
    equal(await bodies(db), "1ONE 4four 5five");
  },

  async what_is_no_changeset_or_fits_no_table_changes_nothing(use) {
    const db = await use.db();
    const changes = await recorded(use);
    await db.exec("CREATE TABLE other(a)");
    const { committed } = await db.stats();
    const garbage = [new TextEncoder().encode("garbage"), new Uint8Array(100).fill(0xff), changes.slice(0, -1), changes.slice(1)];
    for (const bytes of garbage) {
      await fails(db.applyChangeset(bytes, { onConflict: "replace" }), "Misuse", /changeset/);
      await fails(db.invertChangeset(bytes), "Misuse", /changeset/);
    }
    for (const wrong of ["text", undefined, null, [1, 2]]) await fails(db.applyChangeset(wrong), "Misuse", /Uint8Array/);
    await fails(db.applyChangeset(changes, { onConflict: "omit" }), "Sql", /"notes"/);
    await db.exec("CREATE TABLE notes(id, body PRIMARY KEY)");
    await fails(db.applyChangeset(changes, { onConflict: "omit" }), "Sql", /primary key/);
    equal([await db.query("SELECT * FROM notes"), (await db.stats()).committed], [[], committed + 1]);
    equal(await db.applyChangeset(new Uint8Array(0)), { conflicts: 0 });
    await fails(db.applyChangeset(changes, { signal: AbortSignal.abort() }), "Aborted");
    if (!use.keeps) return;
    await db.close();
    const reading = await use.db({ readOnly: true });
    await fails(reading.applyChangeset(changes), "ReadOnly");
  },

  async a_session_ends_with_its_database_and_says_so(use) {
    let db = await use.db();
    await db.exec(NOTES);
    const session = await db.session();
    await db.import(await db.exportBytes());
    await fails(session.changeset(), "Expired", /import/);
    await session.close();
    const last = await db.session();
    const change = db.applyChangeset(await recorded(use)), look = last.changeset();
    await Promise.resolve();
    db.terminate();
    await fails(change, "Indeterminate");
    await fails(look, "Closed");
    await fails(last.changeset(), "Closed");
    await last.close();
    db = await use.db();
    if (use.keeps) equal(["1one 2two 3three", "1ONE 3three 4four"].includes(await bodies(db)), true);
  },

  async changes_are_as_durable_as_was_asked_for(use) {
    const db = await use.db();
    await db.exec(NOTES);
    const changes = await recorded(use), back = await db.invertChangeset(changes);
    const barriers = async () => (await db.stats()).barriers;
    const before = await barriers();
    for (const each of [changes, back, changes, back]) await db.applyChangeset(each, { durability: "witnessed" });
    const witnessed = (await barriers()) - before;
    if (witnessed < 8) throw new Error(`${witnessed} barriers for 4 witnessed sets of changes`);
    const calm = await barriers();
    for (const each of [changes, back, changes, back]) await db.applyChangeset(each, { durability: "applied" });
    const { committed, durable } = await db.sync();
    equal(committed, durable);
    if ((await barriers()) - calm >= 4) throw new Error("a barrier for every applied set of changes");
  },
};
