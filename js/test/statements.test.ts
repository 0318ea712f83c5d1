// What a statement is known by before it runs, and what of it outlives its connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { natureOf, Statements, type Held } from "../src/statements.ts";
import { opened } from "./fake.ts";

const held = (text: string, readonly = true): Held => ({
  prepared: { id: 1, tail: text.length, columns: [], parameters: [], readonly },
  sql: text, text, alone: false, schema: 0, kept: false, nature: natureOf(text),
});

test("comments_before_a_statement_take_no_longer_than_they_are", () => {
  // A pattern that tries each comment in every length is not over before the run's patience is.
  for (const text of ["/* a */".repeat(40), "-- a\n".repeat(10_000), " ;\n".repeat(1_000_000), `/*${"* ".repeat(1_000_000)}*/`]) {
    assert.equal(Statements.looks(held(`${text}SELECT 1`)), true);
    assert.equal(Statements.looks(held(`${text}SAVEPOINT a`)), false);
    Statements.inside(held(`${text}INSERT INTO t VALUES (1)`));
    assert.throws(() => Statements.inside(held(`${text}COMMIT`)), { kind: "Misuse" });
    assert.equal(Statements.last({ ...held(`SELECT 1;${text}`), prepared: { ...held("").prepared, tail: 9 } }), true);
  }
});

test("what_is_no_comment_is_no_gap", () => {
  // What is called the last statement, its call does not run what follows.
  const last = (rest: string) => Statements.last({ ...held(`x;${rest}`), prepared: { ...held("").prepared, tail: 2 } });
  for (const rest of ["", " ; -- a", "/* a", "/* a */ ;", "/**/", "/* * / */", "\ufeff\n"]) assert.equal(last(rest), true, rest);
  for (const rest of ["select", "/* a */ select", "- 1", "-- a\nselect", "/**/x/**/", "/ *"]) assert.equal(last(rest), false, rest);
  for (const text of ["ROLLBACK TO a", "rollback transaction to a", "COMMITS"]) Statements.inside(held(text));
  for (const text of ["/**/RoLLBACK", "END;", "-- a\n;begin"]) assert.throws(() => Statements.inside(held(text)), { kind: "Misuse" });
});

test("what_was_set_on_the_connection_stays_set_over_an_import", async () => {
  const { session, call, run } = await opened();
  await run("PRAGMA foreign_keys = OFF");
  await run("PRAGMA case_sensitive_like(1); PRAGMA cache_size = 10; PRAGMA user_version = 3; PRAGMA table_info(t)");
  await run("PRAGMA main.cache_size = 77");
  await call({ op: "begin", id: 1 });
  await run("PRAGMA foreign_keys = ON", [], { tx: 1 });
  await call({ op: "rollback", id: 1 }, { tx: 1 });
  for (let imported = 0; imported < 2; imported += 1) {
    session.pragmas.length = 0;
    await call({ op: "importStart", id: 2, bytes: 1 });
    await call({ op: "importWrite", bytes: new Uint8Array([1]) }, { tx: 2 });
    await call({ op: "importEnd" }, { tx: 2 });
    assert.deepEqual(session.pragmas, [
      "import, witnessed: false", "PRAGMA foreign_keys = OFF", "PRAGMA case_sensitive_like(1)", "PRAGMA main.cache_size = 77",
    ]);
  }
});

test("a_deposed_tab_that_looks_for_damage_is_told_fenced_and_no_damage", async () => {
  const { session, call, run } = await opened();
  await run("PUT ?", ["*** in database main ***"]);
  const looks = ["PRAGMA integrity_check", "pragma main . quick_check(5)", "SELECT * FROM pragma_integrity_check"];
  for (const sql of looks) await run(sql);
  session.owned = async () => Promise.reject(Object.assign(new Error("another tab has it"), { kind: "Fenced" }));
  for (const sql of looks) {
    await assert.rejects(run(sql), { kind: "Fenced" }, sql);
    await assert.rejects(call({ op: "cursor", sql, params: undefined, maxRows: 10 }), { kind: "Fenced" }, sql);
    const { statement } = await call({ op: "prepare", sql });
    await assert.rejects(call({ op: "statement", statement, params: undefined, want: "first" }), { kind: "Fenced" }, sql);
  }
  await run("SELECT");
  // One that only speaks of it has changed something: it must not fail behind that.
  await run("PUT ? -- integrity_check", [1]);
});
