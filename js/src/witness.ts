// That there was a database, remembered in another kind of storage than its own: the Cache API.
//
// A database whose storage is gone (evicted, or cleared by hand) looks like one that never was; opening it as new
// would hide the loss. The wasm leaves such a sign for every IndexedDB database; this file does for OPFS, and
// looks at both. The rule it keeps: it only ever helps; where there is no Cache API nothing fails.

import { DataSyncError } from "./errors.ts";
import type { Backend } from "./types.ts";
import { inTime } from "./waiting.ts";

const CACHE = "datasync-witness";
const PATIENCE_MS = 10_000;

/** Remembers that OPFS holds the database `name`; a database in IndexedDB is remembered by the wasm. */
export async function remember(name: string, backend: Backend): Promise<void> {
  if (backend === "opfs") await inCache((cache) => cache.put(address(name, backend), new Response("1")));
}

/** Forgets it: it is being destroyed on purpose. */
export async function forget(name: string, backend: Backend): Promise<void> {
  await inCache((cache) => cache.delete(address(name, backend)));
}

/** Throws `Lost` if one of `backends`, none of which holds the database now, did so once. */
export async function mourn(name: string, backends: readonly Backend[]): Promise<void> {
  for (const backend of backends) {
    if (!(await inCache((cache) => cache.match(address(name, backend))))) continue;
    const where = backend === "opfs" ? "OPFS" : "IndexedDB";
    throw new DataSyncError(
      "Lost",
      `The database "${name}" was in this browser's ${where} and is gone: its storage was evicted or cleared. It is not ` +
        `opened as a new one by itself: call destroy("${name}") to begin anew, or to restore it with importStore.`,
    );
  }
}

function address(name: string, backend: Backend): string {
  const folder = backend === "opfs" ? "opfs/" : "";
  return `${globalThis.location.origin}/${CACHE}/${folder}${encodeURIComponent(name)}`;
}

async function inCache<T>(use: (cache: Cache) => Promise<T>): Promise<T | undefined> {
  try {
    return await inTime(PATIENCE_MS, caches.open(CACHE).then(use));
  } catch {
    // No Cache API here, or it is refused, or does not answer: then there is no witness.
    return undefined;
  }
}
