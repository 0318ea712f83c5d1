// What a statement is known by before it runs, and what of it outlives its connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Statements, type Held } from "../src/statements.ts";
import { opened } from "./fake.ts";

const held = (text: string, readonly = true): Held => ({
  prepared: { id: 1, tail: text.length, columns: [], parameters: [], readonly },
  sql: text, text, alone: false, schema: 0, kept: false, joins: false,
});

test("comments_before_a_statement_take_no_longer_than_they_are", () => {
  const begun = performance.now();
  for (const text of ["/* a */".repeat(40), "-- a\n".repeat(10_000), " ;\n".repeat(1_000_000), `/*${"* ".repeat(1_000_000)}*/`]) {
    assert.equal(Statements.looks(held(`${text}SELECT 1`)), true);
    assert.equal(Statements.looks(held(`${text}SAVEPOINT a`)), false);
    Statements.inside(held(`${text}INSERT INTO t VALUES (1)`));
    assert.throws(() => Statements.inside(held(`${text}COMMIT`)), { kind: "Misuse" });
    assert.equal(Statements.last({ ...held(`SELECT 1;${text}`), prepared: { ...held("").prepared, tail: 9 } }), true);
  }
  assert.ok(performance.now() - begun < 5_000);
});

test("what_is_no_comment_is_no_gap", () => {
  // What is called the last statement, its call does not run what follows.
  const last = (rest: string) => Statements.last({ ...held(`x;${rest}`), prepared: { ...held("").prepared, tail: 2 } });
  for (const rest of ["", " ; -- a", "/* a", "/* a */ ;", "/**/", "/* * / */", "\ufeff\n"]) assert.equal(last(rest), true, rest);
  for (const rest of ["select", "/* a */ select", "- 1", "-- a\nselect", "/**/x/**/", "/ *"]) assert.equal(last(rest), false, rest);
  for (const text of ["ROLLBACK TO a", "rollback transaction to a", "COMMITS"]) Statements.inside(held(text));
  for (const text of ["/**/RoLLBACK", "END;", "-- a\n;begin"]) assert.throws(() => Statements.inside(held(text)), { kind: "Misuse" });
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
});
