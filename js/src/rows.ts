// Parameters on their way to the worker, rows on their way from it.
//
// Must not know the worker. The rule it keeps: parameters are checked here, where the caller's stack is.

import { DataSyncError } from "./errors.ts";
import type { WireItem, WireParams, WireRows } from "./protocol.ts";
import type { BatchItem, Bindable, Integers, Params, QueryOptions, Row, SqlValue } from "./types.ts";
import { decodeArrays, decodeObjects, encode, normalize } from "./wire.ts";

/** `params`, checked and ready to be posted. */
export function toWire(params: Params | undefined): WireParams | undefined {
  const wired = checked(params);
  if (wired === undefined) return undefined;
  const values = Array.isArray(wired) ? wired : wired.values;
  for (const [at, value] of values.entries()) if (value instanceof Uint8Array) values[at] = copyOf(value);
  return wired;
}

/** `bytes` as they are now: what was called is sent at the end of the turn, and until then they are the caller's. */
export function copyOf(bytes: Uint8Array | ArrayBuffer): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes);
  } catch {
    throw new DataSyncError("Misuse", "Bytes cannot be read, because their buffer was moved away. Pass a copy to one of the two.");
  }
}

/** `params`, checked. Bytes in it are still the caller's. */
function checked(params: Params | undefined): WireParams | undefined {
  if (params === undefined) return undefined;
  if (Array.isArray(params)) {
    // Not by its own method: that leaves holes as they are.
    return Array.from(params as readonly Bindable[], (value, index) => normalize(value, `Parameter ${index + 1}`));
  }
  if (typeof params !== "object" || params === null || ArrayBuffer.isView(params)) {
    throw new DataSyncError("Misuse", "Parameters are an array, or an object with their names. Write [value] for one.");
  }
  const named = params as { readonly [name: string]: Bindable };
  const names = Object.keys(named);
  return { names, values: names.map((name) => normalize(named[name], `Parameter ${name}`)) };
}

/** `sql`, if it is one. */
export function checkSql(sql: unknown): string {
  if (typeof sql === "string") return sql;
  throw new DataSyncError("Misuse", `SQL must be a string; this is ${sql === null ? "null" : `a ${typeof sql}`}.`);
}

/** The items of a batch, ready to be posted. */
export function itemsToWire(items: readonly BatchItem[]): WireItem[] {
  if (Array.isArray(items)) return Array.from(items, itemToWire);
  throw new DataSyncError("Misuse", "batch takes an array of its items.");
}

/** One of them. */
export function itemToWire(item: BatchItem): WireItem {
  if (typeof item === "string") return { sql: item, params: undefined };
  if (Array.isArray(item)) {
    const [sql, params] = item as readonly [string, Params?];
    return { sql: checkSql(sql), params: toWire(params) };
  }
  if (typeof item !== "object" || item === null) {
    throw new DataSyncError("Misuse", "An item of a batch is SQL, [sql, params] or { sql, params } or { sql, rows }.");
  }
  const one = item as Exclude<BatchItem, string | readonly [string, Params?]>;
  const sql = checkSql(one.sql);
  return one.rows === undefined ? { sql, params: toWire(one.params) } : manyRows(sql, one.rows);
}

function manyRows(sql: string, rows: readonly Params[]): WireItem {
  if (!Array.isArray(rows)) throw new DataSyncError("Misuse", "rows is an array: an array or an object of parameters for each row.");
  const wired = Array.from(rows as readonly Params[], (row, index) => {
    const params = checked(row);
    if (params === undefined) throw new DataSyncError("Misuse", `Row ${index} is undefined.`);
    return params;
  });
  const first = wired[0];
  if (first === undefined) return { sql, rows: encode([], 0), names: undefined, count: 0 };
  if (Array.isArray(first)) {
    if (!wired.every(Array.isArray)) throw mixed();
    return { sql, rows: encode(wired as SqlValue[][], first.length), names: undefined, count: rows.length };
  }
  const names = first.names;
  const values = wired.map((row, index) => {
    if (Array.isArray(row)) throw mixed();
    if (row.names.length === names.length && row.names.every((name, at) => name === names[at])) return row.values;
    return names.map((name) => {
      const at = row.names.indexOf(name);
      if (at < 0 || row.names.length !== names.length) {
        throw new DataSyncError("Misuse", `Row ${index} has other names than the first: give every row the same.`);
      }
      return row.values[at] as SqlValue;
    });
  });
  return { sql, rows: encode(values, names.length), names, count: rows.length };
}

function mixed(): DataSyncError {
  return new DataSyncError("Misuse", "Some rows are arrays and some are objects. Give every row the same form.");
}

/** The rows of all chunks, as the options ask. */
export function fromWire(rows: WireRows | undefined, options: QueryOptions, integers: Integers): Row[] | SqlValue[][] {
  if (rows === undefined) return [];
  const { columns, chunks } = rows;
  const how = options.integers ?? integers;
  const arrays = options.rowMode === "array";
  const parts = chunks.map((chunk) => (arrays ? decodeArrays(chunk, how) : decodeObjects(chunk, columns, how)));
  return parts.length === 1 ? (parts[0] as Row[] | SqlValue[][]) : (parts.flat() as Row[] | SqlValue[][]);
}
