// DataSync through its public API, from the page: every call is a message to its worker and back. What a call
// resolved is durable.

import { SCHEMA, SQL } from "../data.js";

export async function open(name, options) {
  const { open: openDatabase } = await import("/js/dist/index.js");
  const db = await openDatabase({ name: `${options.backend}-${name}`, ...options });
  for (const sql of SCHEMA) await db.exec(sql);
  const compiling = Object.entries(SQL).map(async ([key, sql]) => [key, await db.prepare(sql)]);
  const statements = Object.fromEntries(await Promise.all(compiling));
  return {
    run: (key, params) => statements[key].run(params),
    batch: (list) => db.batch(inRuns(list)),
    all: (key, params) => statements[key].all(params, { rowMode: "array" }),
    stats: () => db.stats(),
    verify: async () => {
      const report = await db.verify();
      return report.ok ? [] : [`verify: ${JSON.stringify(report)}`];
    },
    recovery: () => {
      const { kind, commits, tornTailBytes } = db.recovery;
      return `${kind}, ${commits} commits in the log, ${tornTailBytes} torn bytes`;
    },
    close: () => db.close(),
  };
}

/** One item for each run of the same statement. */
function inRuns(list) {
  const items = [];
  let last;
  for (const [key, params] of list) {
    if (key !== last) items.push({ sql: SQL[key], rows: [] });
    items.at(-1).rows.push(params);
    last = key;
  }
  return items;
}
