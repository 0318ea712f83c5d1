// Opening, listing and destroying databases: what is called before there is a `Database`.
//
// The rule it keeps: either a database that is open, recovered and alone on its storage, or an error and no
// worker left behind.

import { checkAutoSync, checkDurability, checkSignal, oneOf } from "./checks.ts";
import { aborted } from "./client.ts";
import { Database } from "./database.ts";
import { asError, DataSyncError } from "./errors.ts";
import { checkPage } from "./environment.ts";
import { launch } from "./launch.ts";
import { checkName, destroyAt, everywhere } from "./places.ts";
import type { WireOptions } from "./protocol.ts";
import type { Backend, DatabaseInfo, OpenOptions, StoreFile } from "./types.ts";

/**
 * Opens the database `name`, or makes it. What an earlier life acknowledged is there, whatever ended it.
 *
 * Fails with `Busy` if somebody else has it open (`wait` waits) or the browser does not answer, `Lost` if the browser removed it, `Corrupt`,
 * `Unsupported`, `NotFound`, `Full`, `Environment` (the message says what to change), `Misuse`.
 */
export async function open(options: OpenOptions | string): Promise<Database> {
  const given = typeof options === "string" ? { name: options } : ((options as OpenOptions | undefined) ?? ({} as OpenOptions));
  const { signal, workerUrl, wire } = checked(given);
  checkPage();
  if (signal?.aborted) throw aborted(signal);
  const { client, module } = await launch(workerUrl);
  const stop = () => client.terminate("opening it was stopped");
  signal?.addEventListener("abort", stop);
  // A signal that came while the worker started says nothing more.
  if (signal?.aborted) stop();
  try {
    const { backend, recovery } = await client.call("open", { options: wire, module });
    const { name, integers = "auto", durability = "durable" } = wire;
    return new Database(client, { name, backend, recovery, integers, durability });
  } catch (error) {
    client.terminate("it could not be opened");
    throw signal?.aborted ? aborted(signal) : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Makes the database `name` of a store's raw files (`exportStore`, or a native `.datasync` directory). */
export async function importStore(files: readonly StoreFile[], options: OpenOptions): Promise<void> {
  const { workerUrl, wire } = checked(options);
  if (!Array.isArray(files) || !files.every(isFile)) {
    throw new DataSyncError("Misuse", "importStore takes an array of { name, bytes }, as exportStore gives it: a string and a Uint8Array each.");
  }
  checkPage();
  const { client, module } = await launch(workerUrl);
  try {
    await client.call("importStore", { options: wire, module, files: [...files] });
  } finally {
    client.terminate("importing is over");
  }
}

/** Removes the database `name` and everything in it. Fails with `Busy` while somebody has it open. */
export async function destroy(name: string, options: { backend?: Exclude<Backend, "memory"> } = {}): Promise<void> {
  checkName(name);
  oneOf("backend", options.backend, STORED);
  await destroyAt(name, options.backend).catch(rethrow);
}

/** The databases of this origin. */
export async function list(): Promise<DatabaseInfo[]> {
  return everywhere().catch(rethrow);
}

const STORED: readonly unknown[] = ["opfs", "indexeddb"];
const BACKENDS: readonly unknown[] = [...STORED, "memory"];
const INTEGERS: readonly unknown[] = ["auto", "bigint", "number"];
const CHECKSUMS: readonly unknown[] = ["crc32", "xxh3"];

function checked(options: OpenOptions): Pick<OpenOptions, "signal" | "workerUrl"> & { wire: WireOptions } {
  const { signal, workerUrl, wasmUrl, ...rest } = options;
  checkName(rest.name);
  oneOf("backend", rest.backend, BACKENDS);
  checkDurability(rest.durability);
  oneOf("integers", rest.integers, INTEGERS);
  oneOf("checksum", rest.checksum, CHECKSUMS);
  for (const name of ["create", "readOnly", "foreignKeys"] as const) oneOf(name, rest[name], [true, false]);
  if (rest.wait !== undefined && typeof rest.wait !== "boolean" && !(Number.isSafeInteger(rest.wait) && rest.wait >= 0)) {
    throw new DataSyncError("Misuse", `wait must be true, false or a whole number of milliseconds; it is ${String(rest.wait)}.`);
  }
  checkAutoSync(rest.autoSync);
  checkSignal(signal);
  for (const name of ["segmentBytes", "logCapBytes", "cacheBytes", "residentLimitBytes"] as const) {
    const value = rest[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new DataSyncError("Misuse", `${name} must be a whole number of bytes above 0; it is ${String(value)}.`);
    }
  }
  const wire: WireOptions = { ...rest };
  if (wasmUrl !== undefined) wire.wasmUrl = absolute("wasmUrl", wasmUrl);
  return { ...(signal && { signal }), ...(workerUrl !== undefined && { workerUrl: absolute("workerUrl", workerUrl) }), wire };
}

/** What a browser throws has no kind. */
function rethrow(error: unknown): never {
  throw asError(error);
}

function absolute(option: string, url: string | URL): string {
  try {
    return new URL(url, globalThis.location?.href).href;
  } catch {
    throw new DataSyncError("Misuse", `${option} is no address: ${String(url)}.`);
  }
}

function isFile(file: Partial<StoreFile> | null): boolean {
  return typeof file?.name === "string" && file.bytes instanceof Uint8Array;
}
