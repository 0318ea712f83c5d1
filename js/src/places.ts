// Where databases lie in this origin: names, finding them, removing them.
//
// The rule it keeps: nothing is removed while somebody holds the database's lock.

import { asError, DataSyncError } from "./errors.ts";
import type { Backend, DatabaseInfo } from "./types.ts";
import { inTime, resultOf } from "./waiting.ts";
import { forget } from "./witness.ts";

/** The OPFS directory that holds one directory for every database. */
export const OPFS_ROOT = "datasync";
/** What the names of our IndexedDB databases begin with. */
export const INDEXEDDB_PREFIX = "datasync:";
const NAME_BYTES = 200;
/** How long another tab may take to let go of records that are to be removed, ms. */
const PATIENCE_MS = 5_000;
/** How long the browser may take for an answer that waits for no tab, ms. */
const ANSWER_MS = 30_000;

/** The lock that whoever has the database `name` of `backend` open holds. */
export function lockOf(name: string, backend: Backend): string {
  return `datasync:${backend}:${name}`;
}

/** Throws unless `name` can be one. */
export function checkName(name: unknown): asserts name is string {
  const wrong = (why: string) =>
    new DataSyncError("Misuse", `"${String(name)}" cannot be the name of a database: ${why}.`);
  if (typeof name !== "string" || name === "") throw wrong("it must be a string that is not empty");
  if (name.includes("/")) throw wrong('it must not contain "/"');
  if (name === "." || name === "..") throw wrong("file systems keep it for themselves");
  if (/[\ud800-\udfff]/u.test(name)) throw wrong("it is no well-formed Unicode");
  if (new TextEncoder().encode(name).byteLength > NAME_BYTES) throw wrong(`it is longer than ${NAME_BYTES} bytes`);
}

/** Every database of this origin. */
export async function everywhere(): Promise<DatabaseInfo[]> {
  const [files, records] = await Promise.all([inOpfs(), inIndexedDb()]);
  return [
    ...files.map((name): DatabaseInfo => ({ name, backend: "opfs" })),
    ...records.map((name): DatabaseInfo => ({ name, backend: "indexeddb" })),
  ];
}

/** Whether `backend` holds a database of this name. */
export async function isIn(name: string, backend: DatabaseInfo["backend"]): Promise<boolean> {
  if (backend === "indexeddb") return (await inIndexedDb()).includes(name);
  try {
    const directory = await (await root())?.getDirectoryHandle(encodeURIComponent(name));
    return directory !== undefined && (await holdsBytes(directory));
  } catch {
    return false;
  }
}

/** Whether a file in `directory` has any bytes: a browser that gives no access handles leaves empty ones. */
async function holdsBytes(directory: FileSystemDirectoryHandle): Promise<boolean> {
  for await (const [, entry] of directory.entries()) {
    if (entry.kind === "directory") continue;
    // What cannot be looked at is somebody's.
    const size = await (entry as FileSystemFileHandle).getFile().then((file) => file.size, () => 1);
    if (size > 0) return true;
  }
  return false;
}

/** Removes the database from `backend`, or from wherever it is. */
export async function destroyAt(name: string, backend: DatabaseInfo["backend"] | undefined): Promise<void> {
  for (const one of backend ? [backend] : (["opfs", "indexeddb"] as const)) {
    await alone(name, one, async () => {
      // ORDER: the sign first. A crash in between leaves a database without one, not an alarm without a loss.
      await forget(name, one);
      await (one === "opfs" ? removeFiles(name) : removeRecords(name));
    });
  }
}

/** Calls `use` while nobody has the database open. */
function alone(name: string, backend: Backend, use: () => Promise<void>): Promise<void> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return use();
  return locks.request(lockOf(name, backend), { ifAvailable: true }, async (lock) => {
    if (lock) return use();
    throw new DataSyncError("Busy", `"${name}" is open in this or another tab. Close it there, then destroy it.`);
  });
}

async function root(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(OPFS_ROOT);
  } catch {
    // No OPFS here, or nothing in it: there are no databases in it either.
    return undefined;
  }
}

async function inOpfs(): Promise<string[]> {
  const directory = await root();
  const names: string[] = [];
  if (!directory) return names;
  for await (const [entry, handle] of directory.entries()) {
    if (handle.kind === "directory" && (await holdsBytes(handle as FileSystemDirectoryHandle))) names.push(...nameOf(entry));
  }
  return names;
}

async function inIndexedDb(): Promise<string[]> {
  let asked: Promise<IDBDatabaseInfo[]>;
  try {
    asked = indexedDB.databases().catch(() => []);
  } catch {
    // No IndexedDB here.
    return [];
  }
  const words = "IndexedDB does not say which databases there are. Close this site's other tabs, or start the browser anew.";
  return (await inTime(ANSWER_MS, asked, new DataSyncError("Busy", words)))
    .map(({ name }) => name ?? "")
    .filter((name) => name.startsWith(INDEXEDDB_PREFIX))
    .flatMap((name) => nameOf(name.slice(INDEXEDDB_PREFIX.length)));
}

/** The name that `entry` stands for; none if it is not one that we gave. */
function nameOf(entry: string): string[] {
  try {
    return [decodeURIComponent(entry)];
  } catch {
    return [];
  }
}

async function removeFiles(name: string): Promise<void> {
  const directory = await root();
  if (!directory) return;
  for (let tries = 0; ; tries += 1) {
    try {
      await directory.removeEntry(encodeURIComponent(name), { recursive: true });
      return;
    } catch (error) {
      if ((error as Error).name === "NotFoundError") return;
      // The handles of a page that was left a moment ago are given back a little later.
      if (tries === 10) {
        throw new DataSyncError("Busy", `The files of "${name}" are still in use (${(error as Error).name}). Try again later.`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50 * (tries + 1)));
    }
  }
}

async function removeRecords(name: string): Promise<void> {
  if (!globalThis.indexedDB) return;
  const request = indexedDB.deleteDatabase(INDEXEDDB_PREFIX + encodeURIComponent(name));
  const busy = new DataSyncError("Busy", `"${name}" is open in another tab, and will be gone when it is closed there.`);
  const blocked = new Promise<never>((_, reject) => {
    // A tab that is asked to let go writes out what it has queued before it does.
    request.onblocked = () => void setTimeout(reject, PATIENCE_MS, busy);
  });
  try {
    await inTime(ANSWER_MS, Promise.race([resultOf(request), blocked]), busy);
  } catch (error) {
    throw error === busy ? busy : new DataSyncError("Io", `IndexedDB would not remove "${name}": ${asError(error).message}`);
  }
}
