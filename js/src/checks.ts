// What callers hand in, looked at where they call: whoever uses no TypeScript is told as clearly.
//
// Must not know the worker. The rule it keeps: what is not known is refused, and never taken for something else.

import { DataSyncError } from "./errors.ts";
import type { AutoSync } from "./types.ts";

const DURABILITIES: readonly unknown[] = ["durable", "applied", "witnessed"];
const MODES: readonly unknown[] = ["deferred", "immediate", "exclusive"];

/** Throws unless `value` is left out or one of these. */
export function oneOf(option: string, value: unknown, allowed: readonly unknown[]): void {
  if (value === undefined || allowed.includes(value)) return;
  throw new DataSyncError("Misuse", `${option} must be one of ${allowed.join(", ")}; it is ${String(value)}.`);
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
