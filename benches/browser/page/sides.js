// The sides of the comparison: which engine, how it is set up, where it runs and what its commit means.

/**
 * `medium`: where the bytes go. `place`: "worker" runs the workload inside the engine's worker, without a message
 * per statement; "page" runs it in the page. `hop: true` runs a worker's engine from the page, one message each
 * way per call. `strict`: a commit that resolved was given to the disk (flush or a strict transaction).
 */
export const SIDES = [
  {
    id: "datasync-opfs",
    title: "**DataSync, OPFS**",
    medium: "opfs",
    place: "page",
    engine: "datasync",
    options: { backend: "opfs" },
    strict: true,
    durability: "flush of the log before every answer",
  },
  {
    id: "datasync-indexeddb",
    title: "**DataSync, IndexedDB**",
    medium: "indexeddb",
    place: "page",
    engine: "datasync",
    options: { backend: "indexeddb" },
    strict: true,
    durability: "strict transaction, awaited before every answer",
  },
  {
    id: "raw-strict",
    title: "raw IndexedDB, strict",
    medium: "indexeddb",
    place: "worker",
    engine: "raw",
    options: { durability: "strict" },
    strict: true,
    durability: "strict transaction, awaited",
  },
  {
    id: "raw-relaxed",
    title: "raw IndexedDB, relaxed",
    medium: "indexeddb",
    place: "worker",
    engine: "raw",
    options: { durability: "relaxed" },
    strict: false,
    durability: "relaxed transaction, awaited: survives a killed browser, not a power cut",
  },
  {
    id: "absurd",
    title: "absurd-sql",
    medium: "indexeddb",
    place: "worker",
    engine: "absurd",
    attach: true,
    options: {},
    strict: false,
    durability: "relaxed transaction, not awaited: a killed browser may lose the last commits",
  },
  {
    id: "wa-idb-batch",
    title: "wa-sqlite IDBBatchAtomic",
    medium: "indexeddb",
    place: "worker",
    engine: "wa-sqlite",
    options: { setup: "idbBatch" },
    strict: true,
    durability: "synchronous=full: strict transaction, awaited",
  },
  {
    id: "wa-idb-mirror",
    title: "wa-sqlite IDBMirror",
    medium: "indexeddb",
    place: "worker",
    engine: "wa-sqlite",
    options: { setup: "idbMirror" },
    strict: true,
    durability: "synchronous=full: strict transaction; the whole database is held in memory",
  },
  {
    id: "wa-pool",
    title: "wa-sqlite AccessHandlePool, WAL, exclusive",
    medium: "opfs",
    place: "worker",
    engine: "wa-sqlite",
    options: { setup: "pool" },
    strict: true,
    durability: "synchronous=full: flush of the WAL at every commit",
  },
  {
    id: "wa-write-ahead",
    title: "wa-sqlite WriteAhead",
    medium: "opfs",
    place: "worker",
    engine: "wa-sqlite",
    options: { setup: "writeAhead" },
    strict: true,
    durability: "synchronous=full: flush of its log at every commit",
  },
  {
    id: "wa-coop",
    title: "wa-sqlite OPFSCoopSync",
    medium: "opfs",
    place: "worker",
    engine: "wa-sqlite",
    options: { setup: "coop" },
    strict: true,
    durability: "synchronous=full: rollback journal, flushes at every commit",
  },
  {
    id: "sah-wal",
    title: "sqlite-wasm opfs-sahpool, WAL, exclusive",
    medium: "opfs",
    place: "worker",
    engine: "sahpool",
    options: { wal: true },
    strict: true,
    durability: "synchronous=full: flush of the WAL at every commit",
  },
  {
    id: "sah",
    title: "sqlite-wasm opfs-sahpool",
    medium: "opfs",
    place: "worker",
    engine: "sahpool",
    options: { wal: false },
    strict: true,
    durability: "synchronous=full: rollback journal, flushes at every commit",
  },
  {
    id: "turso",
    title: "Turso",
    medium: "opfs",
    place: "page",
    engine: "turso",
    options: {},
    strict: true,
    durability: "synchronous=full: flush of its WAL at every commit",
  },
];

/** The same engine asked from the page: what its users pay when they keep it in a worker, as they must on OPFS. */
const ASKED_FROM_THE_PAGE = ["raw-strict", "wa-idb-batch", "wa-idb-mirror", "wa-pool", "wa-coop", "sah-wal"];
export const FROM_THE_PAGE = ASKED_FROM_THE_PAGE.map((id) => {
  const side = SIDES.find((known) => known.id === id);
  return { ...side, id: `${id}-hop`, title: `${side.title}, from the page`, place: "page", hop: true };
});

export function sideOf(id) {
  const side = [...SIDES, ...FROM_THE_PAGE].find((known) => known.id === id);
  if (!side) throw new Error(`there is no side ${id}`);
  return side;
}
