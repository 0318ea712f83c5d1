// What callers hand in, looked at where they call: whoever uses no TypeScript is told as clearly.
//
// Must not know the worker. The rule it keeps: what is not known is refused, and never taken for something else.

import { DataSyncError } from "./errors.ts";
import type { Op } from "./protocol.ts";
import type { IterateOptions } from "./queries.ts";
import type { ApplyOptions, AutoSync, CallOptions, QueryOptions, SessionOptions, TransactionSettings } from "./types.ts";

const DURABILITIES: readonly unknown[] = ["durable", "applied", "witnessed"];
const INTEGERS: readonly unknown[] = ["auto", "bigint", "number"];
const MODES: readonly unknown[] = ["deferred", "immediate", "exclusive"];

/** Throws unless `value` is left out or one of these. */
export function oneOf(option: string, value: unknown, allowed: readonly unknown[]): void {
  if (value === undefined || allowed.includes(value)) return;
  throw new DataSyncError("Misuse", `${option} must be one of ${allowed.join(", ")}; it is ${String(value)}.`);
}

/** Throws unless every key of `options` is known. What is undefined counts as left out. */
export function checkKeys(options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new DataSyncError("Misuse", `Options are an object; this is ${options === null ? "null" : `a ${typeof options}`}.`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key) || (options as Record<string, unknown>)[key] === undefined) continue;
    const near = known.find((name) => isNear(key, name));
    const say = near === undefined ? `There are here: ${known.join(", ")}.` : `Did you mean ${near}?`;
    throw new DataSyncError("Misuse", `There is no option "${key}". ${say}`);
  }
}

/** Whether `one` is the other with a letter or two changed, put in or left out (of three letters one); capitals or not. */
function isNear(one: string, other: string): boolean {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [index, letter] of [...one.toLowerCase()].entries()) {
    const next = [index + 1];
    for (let at = 0; at < other.length; at += 1) {
      const changed = (row[at] as number) + (other[at]?.toLowerCase() === letter ? 0 : 1);
      next.push(Math.min(changed, (row[at + 1] as number) + 1, (next[at] as number) + 1));
    }
    row = next;
  }
  return (row.at(-1) as number) <= Math.min(2, Math.floor(one.length / 3));
}

const CALL: readonly (keyof CallOptions)[] = ["signal", "durability"];
const ROWS: readonly (keyof QueryOptions)[] = [...CALL, "rowMode", "integers"];
const CURSOR: readonly (keyof IterateOptions)[] = [...ROWS, "chunkRows"];
const SESSION: readonly (keyof SessionOptions)[] = ["tables", "signal"];
const APPLY: readonly (keyof ApplyOptions)[] = [...CALL, "onConflict"];

/** What the calls behind these operations take; others take what every call takes. */
const TAKEN: { readonly [op in Op]?: readonly string[] } = {
  run: ROWS, statement: ROWS, cursor: CURSOR, fetch: CURSOR, batch: [...CALL, "mode"], apply: APPLY, record: SESSION,
};

/** Throws unless `options` are those that every call takes, and no others: where no rows come back. */
export function checkRowless(options: CallOptions): void {
  checkKeys(options, CALL);
}

/** Throws unless `options` are those of a call behind `op`. */
export function checkCall(op: Op, options: IterateOptions & Pick<TransactionSettings, "mode">): void {
  checkKeys(options, TAKEN[op] ?? CALL);
  checkDurability(options.durability);
  oneOf("rowMode", options.rowMode, ["object", "array"]);
  checkIntegers(options.integers);
  checkCount("chunkRows", options.chunkRows);
  checkMode(options.mode);
}

/** Throws unless `value` says how integers come back. */
export function checkIntegers(value: unknown): void {
  oneOf("integers", value, INTEGERS);
}

/** Throws unless `value` says what a promise means. */
export function checkDurability(value: unknown): void {
  oneOf("durability", value, DURABILITIES);
}

/** Throws unless `value` is a kind of BEGIN. */
export function checkMode(value: unknown): void {
  oneOf("mode", value, MODES);
}

/** Throws unless `signal` is left out (as `fetch` takes it: null too) or can say that it was aborted. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null || typeof (signal as AbortSignal).addEventListener === "function") return;
  throw new DataSyncError("Misuse", "signal must be an AbortSignal: pass controller.signal.");
}

/** Throws unless `option` is left out or so many milliseconds. */
export function checkMs(option: string, value: unknown): void {
  if (value === undefined || (typeof value === "number" && value >= 0)) return;
  throw new DataSyncError("Misuse", `${option} must be a number of milliseconds; it is ${String(value)}.`);
}

/** Throws unless `value` says when applied commits are synced. */
export function checkAutoSync(value: unknown): void {
  if (value === undefined || value === false) return;
  if (typeof value !== "object" || value === null) {
    throw new DataSyncError("Misuse", `autoSync must be false, or an object with intervalMs, maxDirty or debounceMs; it is ${String(value)}.`);
  }
  checkKeys(value, ["intervalMs", "maxDirty", "debounceMs"]);
  const { intervalMs, maxDirty, debounceMs } = value as AutoSync;
  checkMs("autoSync.intervalMs", intervalMs);
  checkMs("autoSync.debounceMs", debounceMs);
  checkCount("autoSync.maxDirty", maxDirty);
}

/** Throws unless `option` is left out or a number from 1 on. */
export function checkCount(option: string, value: unknown): void {
  if (value === undefined || (typeof value === "number" && value >= 1)) return;
  throw new DataSyncError("Misuse", `${option} must be a number, at least 1; it is ${String(value)}.`);
}

/** Throws unless `call` can be called. */
export function checkFunction(what: string, call: unknown): void {
  if (typeof call === "function") return;
  throw new DataSyncError("Misuse", `${what} takes a function; this is ${call === null ? "null" : `a ${typeof call}`}.`);
}
