import assert from "node:assert/strict";
import { test } from "node:test";
import { checkName } from "../src/places.ts";
import { itemToWire, toWire } from "../src/rows.ts";
import { decodeArrays, decodeObjects, encode, encodeRow, head, normalize } from "../src/wire.ts";
import type { SqlValue } from "../src/types.ts";

test("every_value_comes_back_as_it_went_in", () => {
  const rows: SqlValue[][] = [
    [null, 0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
    [2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n, 0.5, Infinity],
    ["", "caf\u00e9 \u{1f680} \u6f22", "\ufeffbom", new Uint8Array([0, 255, 7]), new Uint8Array()],
  ];
  const chunk = encode(rows, 5);
  assert.deepEqual(decodeArrays(chunk), rows);
  assert.deepEqual(head(chunk), { columns: 5, rows: 3, done: false });
});

test("a_row_says_the_same_in_lent_room_whatever_was_there_before", () => {
  const rows = [["a".repeat(900), 1, new Uint8Array(900).fill(255)], [null, "b", new Uint8Array([1])], ["c".repeat(9000)], [7]];
  for (const row of rows) assert.deepEqual(encodeRow(row), encode([row], row.length));
});

test("a_chunk_reads_the_same_wherever_it_lies_in_its_buffer", () => {
  const chunk = encode([["a", 1, new Uint8Array([9])]], 3);
  const shifted = new Uint8Array(chunk.byteLength + 3);
  shifted.set(chunk, 3);
  assert.deepEqual(decodeArrays(shifted.subarray(3)), [["a", 1, new Uint8Array([9])]]);
});

test("integers_are_exact_or_as_asked_for", () => {
  const chunk = encode([[1, 2n ** 60n]], 2);
  assert.deepEqual(decodeArrays(chunk, "auto"), [[1, 2n ** 60n]]);
  assert.deepEqual(decodeArrays(chunk, "bigint"), [[1n, 2n ** 60n]]);
  assert.deepEqual(decodeArrays(chunk, "number"), [[1, 2 ** 60]]);
});

test("objects_have_the_columns_names_whatever_they_are", () => {
  const [row] = decodeObjects(encode([[1, 2, 3]], 3), ["a", "__proto__", "a"]);
  assert.equal(row?.["a"], 3);
  assert.deepEqual(Object.keys(row ?? {}), ["a", "__proto__"]);
});

test("bytes_that_are_no_chunk_are_an_error", () => {
  assert.throws(() => decodeArrays(new Uint8Array(3)), { kind: "Misuse" });
  assert.throws(() => decodeArrays(new Uint8Array(64)), { kind: "Misuse" });
  const short = encode([[1, 2]], 2).slice(0, 40);
  assert.throws(() => decodeArrays(short), { kind: "Misuse" });
});

test("values_that_sqlite_would_change_are_refused", () => {
  for (const value of [NaN, undefined, 2n ** 63n, new Date(), {}, () => 0, Symbol("s")]) {
    assert.throws(() => normalize(value as never, "Parameter 1"), { kind: "Misuse", message: /^Parameter 1/ });
  }
  assert.equal(normalize(true, ""), 1);
  assert.deepEqual(normalize(new Uint16Array([1, 2]).subarray(1), ""), new Uint8Array([2, 0]));
});

test("parameters_are_arrays_or_named", () => {
  assert.deepEqual(toWire([1, false]), [1, 0]);
  assert.deepEqual(toWire({ a: 1 }), { names: ["a"], values: [1] });
  assert.throws(() => toWire("x" as never), { kind: "Misuse" });
  assert.throws(() => toWire(new Uint8Array(2) as never), { kind: "Misuse" });
});

test("rows_of_a_batch_have_one_form", () => {
  const item = itemToWire({ sql: "x", rows: [{ a: 1, b: 2 }, { b: 4, a: 3 }] });
  assert.ok(item.rows);
  assert.deepEqual(decodeArrays(item.rows), [[1, 2], [3, 4]]);
  assert.throws(() => itemToWire({ sql: "x", rows: [[1], { a: 1 }] }), { kind: "Misuse" });
  assert.throws(() => itemToWire({ sql: "x", rows: [{ a: 1 }, { b: 1 }] }), { kind: "Misuse" });
  assert.throws(() => itemToWire({ sql: "x", rows: [[1], [1, 2]] }), { kind: "Misuse" });
});

test("a_name_that_storage_could_misread_is_refused", () => {
  for (const name of ["", "a/b", ".", "..", "x".repeat(201), "\u00e9".repeat(101), "\ud800", 7, undefined]) {
    assert.throws(() => checkName(name), { kind: "Misuse" });
  }
  checkName("\u00fcber uns: 100%");
});
