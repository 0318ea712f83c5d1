// Turso's wasm build, called from the page as its users do; it keeps its own threads, and needs a page that is
// cross-origin isolated.

import { SCHEMA, SQL } from "../data.js";

export async function open(name) {
  const { connect } = await import("/benches/browser/node_modules/@tursodatabase/database-wasm/bundle/main.es.js");
  const db = await connect(`turso-${name}.db`);
  await db.exec("PRAGMA synchronous=full");
  for (const sql of SCHEMA) await db.exec(sql);
  const statements = {};
  for (const [key, sql] of Object.entries({ ...SQL, begin: "BEGIN IMMEDIATE", commit: "COMMIT" })) {
    statements[key] = (await db.prepare(sql)).raw(true);
  }
  let tail = Promise.resolve();
  const inTurn = (work) => {
    const turn = tail.then(work);
    tail = turn.catch(() => {});
    return turn;
  };
  return {
    run: (key, params) => inTurn(() => statements[key].run(...params)),
    batch: (list) =>
      inTurn(async () => {
        await statements.begin.run();
        for (const [key, params] of list) await statements[key].run(...params);
        await statements.commit.run();
      }),
    all: (key, params) => inTurn(() => statements[key].all(...params)),
    close: () => db.close(),
  };
}
