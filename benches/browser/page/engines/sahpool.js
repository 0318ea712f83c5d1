// SQLite's own wasm build on its OPFS pool of access handles: as it comes, or in WAL mode with an exclusive lock.

import { SCHEMA, SQL } from "../data.js";

export async function open(name, { wal }) {
  const { default: init } = await import("/benches/browser/node_modules/@sqlite.org/sqlite-wasm/dist/index.mjs");
  const sqlite3 = await init({ print: () => {}, printErr: () => {} });
  const directory = `.sahpool-${wal ? "wal" : "plain"}-${name}`;
  const pool = await sqlite3.installOpfsSAHPoolVfs({ name: directory, directory });
  const db = new pool.OpfsSAHPoolDb(`/${name}.db`);
  if (wal) {
    db.exec("PRAGMA locking_mode=exclusive");
    const mode = db.selectValue("PRAGMA journal_mode=wal");
    if (mode !== "wal") throw new Error(`asked for WAL, got ${mode}`);
  }
  db.exec("PRAGMA synchronous=full");
  for (const sql of SCHEMA) db.exec(sql);
  const statements = {};
  for (const [key, sql] of Object.entries({ ...SQL, begin: "BEGIN IMMEDIATE", commit: "COMMIT" })) {
    statements[key] = db.prepare(sql);
  }
  const run = (key, params) => {
    const statement = statements[key];
    if (params.length > 0) statement.bind(params);
    statement.step();
    statement.reset();
  };
  return {
    run,
    batch: (list) => {
      run("begin", []);
      for (const [key, params] of list) run(key, params);
      run("commit", []);
    },
    all: (key, params) => {
      const statement = statements[key];
      if (params.length > 0) statement.bind(params);
      const rows = [];
      while (statement.step()) rows.push(statement.get([]));
      statement.reset();
      return rows;
    },
    close: () => {
      for (const statement of Object.values(statements)) statement.finalize();
      db.close();
      // Gives the access handles back, so that the page may open it again.
      pool.pauseVfs();
    },
  };
}
