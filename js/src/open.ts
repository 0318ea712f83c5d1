// Opening, listing and destroying databases: what is called before there is a `Database`.
//
// The rule it keeps: either a database that is open, recovered and alone on its storage, or an error and no
// worker left behind.

import { checkKeys } from "./checks.ts";
import { aborted } from "./client.ts";
import { Database } from "./database.ts";
import { asError, DataSyncError } from "./errors.ts";
import { checkPage } from "./environment.ts";
import { launch } from "./launch.ts";
import { checkImporting, checkOpening, checkStored } from "./options.ts";
import { checkName, destroyAt, everywhere } from "./places.ts";
import type { Backend, DatabaseInfo, ImportStoreOptions, OpenOptions, StoreFile } from "./types.ts";

/** When `open` was stopped, and what that leaves. */
const OPENING = "while it opened; what was acknowledged earlier is there, and a new database may have been made";

/**
 * Opens the database `name`, or makes it. What an earlier life acknowledged is there, whatever ended it.
 *
 * Fails with `Busy` if somebody else has it open (`wait` waits) or the browser does not answer, `Lost` if the browser removed it, `Corrupt`,
 * `Unsupported`, `NotFound`, `Full`, `Environment` (the message says what to change), `Misuse`.
 */
export async function open(options: OpenOptions | string): Promise<Database> {
  const { signal, workerUrl, wire } = checkOpening(options);
  checkPage();
  if (signal?.aborted) throw aborted(signal);
  const { client, module } = await launch(workerUrl);
  const stop = () => client.terminate("opening it was stopped");
  signal?.addEventListener("abort", stop);
  // A signal that came while the worker started says nothing more.
  if (signal?.aborted) stop();
  try {
    const { backend, recovery } = await client.call("open", { options: wire, module });
    const { name, integers, durability } = wire;
    return new Database(client, { name, backend, recovery, integers, durability });
  } catch (error) {
    client.terminate("it could not be opened");
    throw signal?.aborted ? aborted(signal, OPENING) : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/**
 * Makes the database `name` of a store's raw files (`exportStore`, or a native `.datasync` directory): all of it, or nothing.
 *
 * Fails with `Misuse` if there is one of this name, `NotAStore`, `Full`, `Aborted`, `Environment`.
 */
export async function importStore(files: readonly StoreFile[], options: ImportStoreOptions): Promise<void> {
  const { signal, workerUrl, wire } = checkImporting(options);
  if (!Array.isArray(files) || !files.every(isFile)) {
    throw new DataSyncError("Misuse", "importStore takes an array of { name, bytes }, as exportStore gives it: a string and a Uint8Array each.");
  }
  checkPage();
  if (signal?.aborted) throw aborted(signal);
  const { client, module } = await launch(workerUrl);
  try {
    // Stopped by the worker, which takes back what it has written.
    await client.call("importStore", { options: wire, module, files: [...files] }, { signal });
  } finally {
    client.terminate("importing is over");
  }
}

/** Removes the database `name` and everything in it. Fails with `Busy` while somebody has it open. */
export async function destroy(name: string, options: { backend?: Exclude<Backend, "memory"> } = {}): Promise<void> {
  checkName(name);
  checkKeys(options, ["backend"]);
  checkStored(options.backend);
  await destroyAt(name, options.backend).catch(rethrow);
}

/** The databases of this origin. */
export async function list(): Promise<DatabaseInfo[]> {
  return everywhere().catch(rethrow);
}

/** What a browser throws has no kind. */
function rethrow(error: unknown): never {
  throw asError(error);
}

function isFile(file: Partial<StoreFile> | null): boolean {
  return typeof file?.name === "string" && file.bytes instanceof Uint8Array;
}
