// That there was a database, remembered in another kind of storage than its own.
//
// A database whose storage is gone (evicted, or cleared by hand) looks like one that never was; opening it as new
// would hide the loss. So OPFS databases are remembered in IndexedDB, and the other way round. The rule it keeps:
// it only ever helps: where the other kind of storage is missing, nothing is remembered and nothing fails.

import { DataSyncError } from "./errors.ts";
import type { Backend } from "./types.ts";

/** The OPFS directory, and the IndexedDB database, of the witnesses. */
const PLACE = "datasync-witness";
const STORE = "names";

/** Remembers that `backend` holds the database `name`. */
export async function remember(name: string, backend: Backend): Promise<void> {
  await quietly(() => {
    if (backend === "opfs") return inRecords((names) => names.put(Date.now(), name));
    if (backend === "indexeddb") return inFiles(async (files) => void (await files.getFileHandle(encodeURIComponent(name), { create: true })));
    return undefined;
  });
}

/** Forgets it: it was destroyed on purpose. */
export async function forget(name: string, backend: Backend | undefined): Promise<void> {
  if (backend !== "indexeddb") await quietly(() => inRecords((names) => names.delete(name)));
  if (backend !== "opfs") await quietly(() => inFiles((files) => files.removeEntry(encodeURIComponent(name))));
}

/** Throws `Lost` if one of `backends`, none of which holds the database now, did so once. */
export async function mourn(name: string, backends: readonly Backend[]): Promise<void> {
  for (const backend of backends) {
    const there = await quietly<unknown>(() => {
      if (backend === "opfs") return inRecords((names) => names.get(name));
      if (backend === "indexeddb") return inFiles((files) => files.getFileHandle(encodeURIComponent(name)));
      return undefined;
    });
    if (there === undefined) continue;
    throw new DataSyncError(
      "Lost",
      `The database "${name}" was in this browser's ${backend === "opfs" ? "OPFS" : "IndexedDB"} and is gone: its storage was evicted ` +
        `or cleared. It is not opened as a new one by itself: restore it with importStore, or call destroy("${name}") to begin anew.`,
    );
  }
}

async function quietly<T>(look: () => Promise<T> | T): Promise<T | undefined> {
  try {
    return await look();
  } catch {
    // Not there, or the other kind of storage cannot be used: then there is no witness.
    return undefined;
  }
}

async function inFiles<T>(use: (files: FileSystemDirectoryHandle) => Promise<T>): Promise<T> {
  const root = await navigator.storage.getDirectory();
  return use(await root.getDirectoryHandle(PLACE, { create: true }));
}

async function inRecords<T>(use: (names: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open(PLACE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await finished(opening);
  try {
    return await finished(use(database.transaction(STORE, "readwrite").objectStore(STORE)));
  } finally {
    database.close();
  }
}

function finished<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
