// wa-sqlite (the fork that is on npm and current): a synchronous build for the OPFS file systems, the JSPI build
// for the IndexedDB ones, each set up as its own README tells for full durability.

import { SCHEMA, SQL } from "../data.js";

const BASE = "/benches/browser/node_modules/@journeyapps/wa-sqlite";

/** Name: file system, build, pragmas. */
const SETUPS = {
  pool: ["AccessHandlePoolVFS", "wa-sqlite", ["locking_mode=exclusive", "journal_mode=wal", "synchronous=full"]],
  writeAhead: ["OPFSWriteAheadVFS", "wa-sqlite", ["synchronous=full"]],
  coop: ["OPFSCoopSyncVFS", "wa-sqlite", ["synchronous=full"]],
  // Batch-atomic writes want a page cache that holds the transaction.
  idbBatch: ["IDBBatchAtomicVFS", "wa-sqlite-jspi", ["cache_size=-65536", "synchronous=full"]],
  idbMirror: ["IDBMirrorVFS", "wa-sqlite-jspi", ["synchronous=full"]],
};

export async function open(name, { setup }) {
  const [vfsName, build, pragmas] = SETUPS[setup];
  const [{ default: factory }, SQLite, vfsModule] = await Promise.all([
    import(`${BASE}/dist/${build}.mjs`),
    import(`${BASE}/src/sqlite-api.js`),
    import(`${BASE}/src/examples/${vfsName}.js`),
  ]);
  const module = await factory();
  const sqlite3 = SQLite.Factory(module);
  const vfs = await vfsModule[vfsName].create(`wa-${setup}-${name}`, module);
  sqlite3.vfs_register(vfs, true);
  const db = await sqlite3.open_v2(`wa-${setup}-${name}.db`);
  for (const pragma of pragmas) await sqlite3.exec(db, `PRAGMA ${pragma}`);
  for (const sql of SCHEMA) await sqlite3.exec(db, sql);
  const statements = {};
  for (const [key, sql] of Object.entries({ ...SQL, begin: "BEGIN IMMEDIATE", commit: "COMMIT" })) {
    for await (const statement of sqlite3.statements(db, sql, { unscoped: true })) statements[key] = statement;
  }
  const step = async (key, params) => {
    const statement = statements[key];
    if (params.length > 0) sqlite3.bind_collection(statement, params);
    const rows = [];
    while ((await sqlite3.step(statement)) === SQLite.SQLITE_ROW) rows.push(sqlite3.row(statement));
    await sqlite3.reset(statement);
    return rows;
  };
  // A statement may be suspended in the middle: the next waits, as its users do with a queue of their own.
  let tail = Promise.resolve();
  const inTurn = (work) => {
    const turn = tail.then(work);
    tail = turn.catch(() => {});
    return turn;
  };
  const batch = async (list) => {
    await step("begin", []);
    for (const [key, params] of list) await step(key, params);
    await step("commit", []);
  };
  return {
    run: (key, params) => inTurn(() => step(key, params)),
    batch: (list) => inTurn(() => batch(list)),
    all: (key, params) => inTurn(() => step(key, params)),
    close: () =>
      inTurn(async () => {
        for (const statement of Object.values(statements)) await sqlite3.finalize(statement);
        await sqlite3.close(db);
        await vfs.close?.();
      }),
  };
}
