// absurd-sql on its fork of sql.js, as its README sets it up: it needs a page that is cross-origin isolated.
// Its COMMIT queues an IndexedDB transaction and does not wait for it.

import { SCHEMA, SQL } from "../data.js";

const BASE = "/benches/browser/node_modules";

// Bundlers replace this word; here there is none.
globalThis.process ??= { env: { NODE_ENV: "production" } };

/** In the page, before the engine's worker opens: it asks the page for a worker of its own. */
export async function attach(worker) {
  const { initBackend } = await import(`${BASE}/absurd-sql/dist/indexeddb-main-thread.js`);
  initBackend(worker);
}

export async function open(name) {
  const [{ SQLiteFS }, { default: Backend }, script] = await Promise.all([
    import(`${BASE}/absurd-sql/dist/index.js`),
    import(`${BASE}/absurd-sql/dist/indexeddb-backend.js`),
    fetch(`${BASE}/@jlongster/sql.js/dist/sql-wasm.js`).then((response) => response.text()),
  ]);
  // A CommonJS file: give it the module object it looks for.
  const module = { exports: {} };
  new Function("module", "exports", script)(module, module.exports);
  const SQL_JS = await module.exports({ locateFile: (file) => `${BASE}/@jlongster/sql.js/dist/${file}` });
  const files = new SQLiteFS(SQL_JS.FS, new Backend());
  SQL_JS.register_for_idb(files);
  SQL_JS.FS.mkdir("/sql");
  SQL_JS.FS.mount(files, {}, "/sql");
  const db = new SQL_JS.Database(`/sql/absurd-${name}.sqlite`, { filename: true });
  db.exec("PRAGMA journal_mode=MEMORY");
  for (const sql of SCHEMA) db.exec(sql);
  const statements = {};
  for (const [key, sql] of Object.entries({ ...SQL, begin: "BEGIN IMMEDIATE", commit: "COMMIT" })) {
    statements[key] = db.prepare(sql);
  }
  const all = (key, params) => {
    const statement = statements[key];
    if (params.length > 0) statement.bind(params);
    const rows = [];
    while (statement.step()) rows.push(statement.get());
    statement.reset();
    return rows;
  };
  return {
    run: all,
    batch: (list) => {
      all("begin", []);
      for (const [key, params] of list) all(key, params);
      all("commit", []);
    },
    all,
    close: () => {
      for (const statement of Object.values(statements)) statement.free();
      db.close();
    },
  };
}
