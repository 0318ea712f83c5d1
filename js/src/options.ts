// What `open` and `importStore` are given: checked, with what was left out filled in, and split into what stays here
// and what goes to the worker.
//
// The rule it keeps: a default is decided here, once. What depends on the place or belongs to the store (sizes, the
// checksum) is left to the worker and the wasm.

import { checkAutoSync, checkDurability, checkIntegers, checkKeys, checkSignal, oneOf } from "./checks.ts";
import { DataSyncError } from "./errors.ts";
import { checkName } from "./places.ts";
import type { WireOptions, WirePlace } from "./protocol.ts";
import type { ImportStoreOptions, OpenOptions } from "./types.ts";

/** Checked options. */
export interface Checked<Wire> {
  signal: AbortSignal | undefined;
  workerUrl: string | undefined;
  wire: Wire;
}

const STORED: readonly unknown[] = ["opfs", "indexeddb"];
const BACKENDS: readonly unknown[] = [...STORED, "memory"];
const CHECKSUMS: readonly unknown[] = ["crc32", "xxh3"];
const SIZES = ["segmentBytes", "logCapBytes", "cacheBytes", "residentLimitBytes"] as const;

// Maps, so that the compiler notices a name that is missing.
const OPEN: Record<keyof OpenOptions, true> = {
  name: true, backend: true, durability: true, create: true, readOnly: true, wait: true, foreignKeys: true, integers: true,
  autoSync: true, checksum: true, segmentBytes: true, logCapBytes: true, cacheBytes: true, residentLimitBytes: true,
  workerUrl: true, wasmUrl: true, signal: true,
};
const IMPORT: Record<keyof ImportStoreOptions, true> = { name: true, backend: true, workerUrl: true, wasmUrl: true, signal: true };

/** Throws unless `backend` is left out, or one that keeps what it is given. */
export function checkStored(backend: unknown): void {
  oneOf("backend", backend, STORED);
}

/** The options of `open`. */
export function checkOpening(given: OpenOptions | string): Checked<WireOptions> {
  const options = typeof given === "string" ? { name: given } : ((given as OpenOptions | null | undefined) ?? ({} as OpenOptions));
  const { signal, workerUrl, wasmUrl, ...rest } = options;
  checkName(rest.name);
  checkKeys(options, Object.keys(OPEN));
  oneOf("backend", rest.backend, BACKENDS);
  checkDurability(rest.durability);
  checkIntegers(rest.integers);
  oneOf("checksum", rest.checksum, CHECKSUMS);
  for (const name of ["create", "readOnly", "foreignKeys"] as const) oneOf(name, rest[name], [true, false]);
  if (rest.wait !== undefined && typeof rest.wait !== "boolean" && !(Number.isSafeInteger(rest.wait) && rest.wait >= 0)) {
    throw new DataSyncError("Misuse", `wait must be true, false or a whole number of milliseconds; it is ${String(rest.wait)}.`);
  }
  checkAutoSync(rest.autoSync);
  for (const name of SIZES) {
    const value = rest[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new DataSyncError("Misuse", `${name} must be a whole number of bytes above 0; it is ${String(value)}.`);
    }
  }
  const {
    durability = "durable", create = true, readOnly = false, wait = false, foreignKeys = true, integers = "auto", autoSync = {},
  } = rest;
  const filled = { ...rest, durability, create, readOnly, wait, foreignKeys, integers, autoSync };
  return placed({ signal, workerUrl, wasmUrl }, filled);
}

/** The options of `importStore`. */
export function checkImporting(given: ImportStoreOptions): Checked<WirePlace> {
  const options = (given as ImportStoreOptions | null | undefined) ?? ({} as ImportStoreOptions);
  const { signal, workerUrl, wasmUrl, ...rest } = options;
  checkName(rest.name);
  checkKeys(options, Object.keys(IMPORT));
  checkStored(rest.backend);
  return placed({ signal, workerUrl, wasmUrl }, rest);
}

/** What is no place and no setting: it stays here, or is said to the worker in another way. */
type Apart = { [name in "signal" | "workerUrl" | "wasmUrl"]: OpenOptions[name] | undefined };

function placed<Wire extends WirePlace>({ signal, workerUrl, wasmUrl }: Apart, wire: Wire): Checked<Wire> {
  checkSignal(signal);
  if (wasmUrl !== undefined) wire.wasmUrl = absolute("wasmUrl", wasmUrl);
  return { signal: signal ?? undefined, workerUrl: workerUrl === undefined ? undefined : absolute("workerUrl", workerUrl), wire };
}

function absolute(option: string, url: string | URL): string {
  try {
    return new URL(url, globalThis.location?.href).href;
  } catch {
    throw new DataSyncError("Misuse", `${option} is no address: ${String(url)}.`);
  }
}
