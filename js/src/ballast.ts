// Makes Chromium's IndexedDB begin a new log after a crash.
//
// LevelDB, on which it stands, may go on writing behind a record that the crash left half-written; the next start of the
// browser then drops what lies behind it, or everything (decision 0018). Once as much was written as LevelDB keeps in
// memory, what it holds is in tables and its log is a new one. Must not know the store: it has a database of its own.

import { connectionOf, endOf, inTime } from "./waiting.ts";

/** Pieces: 4.1 MiB in all, where LevelDB keeps 4 MiB in memory at most. Half of that was seen to do. */
const BALLAST = 70;
/** Larger values are kept in files of their own, and would not count. */
const PIECE = 60 << 10;

const NAME = "datasync-ballast";
/** Whoever opens a database waits so long for each step, ms: it is a help, and no condition. */
const PATIENCE_MS = 10_000;

/** Whether this browser's IndexedDB is LevelDB. */
export function needsBallast(): boolean {
  return /Chrom(e|ium)\//.test(navigator.userAgent);
}

/** Writes it and takes it away. What fails is left out: then it is as it would have been without. */
export async function throwBallast(): Promise<void> {
  let database: IDBDatabase | undefined;
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("pieces");
    database = await connectionOf(request, PATIENCE_MS);
    const pieces = database.transaction("pieces", "readwrite", { durability: "relaxed" });
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < BALLAST; at += 1) pieces.objectStore("pieces").put(piece, at);
    await inTime(PATIENCE_MS, endOf(pieces));
    // LevelDB looks at how much it holds when the next record comes.
    const gone = database.transaction("pieces", "readwrite", { durability: "strict" });
    gone.objectStore("pieces").clear();
    await inTime(PATIENCE_MS, endOf(gone));
  } catch {
    // Full, or refused: whoever commits next is told.
  } finally {
    database?.close();
  }
}
