// The workloads, run against an engine: `run(statement, params)` is one commit and resolves when it is as durable
// as the engine promises, `batch([[statement, params], ..])` is one transaction, `all(statement, params)` reads.
// Must not know which engine it is, nor where it runs: the same code runs in a worker and in a page.

import { dice, text } from "./data.js";

/** Each takes the engine, the number of the slice and its sizes; returns {ms, count, each?: ms of every operation}. */
export const WORKLOADS = {
  /** Single-row transactions, awaited one by one. */
  async commits(engine, slice, { commits }) {
    const roll = dice(1000 + slice);
    const rows = keyed(slice * commits, commits, roll);
    const each = [];
    const begun = performance.now();
    let before = begun;
    for (const row of rows) {
      await engine.run("logInsert", row);
      const after = performance.now();
      each.push(after - before);
      before = after;
    }
    return { ms: before - begun, count: commits, each };
  },

  /** Single-row transactions, sixteen under way at any time. */
  async inflight(engine, slice, { inflight, lanes = 16 }) {
    const roll = dice(2000 + slice);
    const rows = keyed(10_000_000 + slice * inflight, inflight, roll);
    let next = 0;
    const lane = async () => {
      while (next < rows.length) await engine.run("logInsert", rows[next++]);
    };
    const begun = performance.now();
    await Promise.all(Array.from({ length: lanes }, lane));
    return { ms: performance.now() - begun, count: inflight };
  },

  /** Many rows in one transaction. */
  async bulk(engine, slice, { rows, rowBytes = 100 }) {
    const roll = dice(3000 + slice);
    const statements = keyed(0, rows, roll, rowBytes).map((row) => ["kvInsert", row]);
    const begun = performance.now();
    await engine.batch(statements);
    return { ms: performance.now() - begun, count: rows };
  },

  /** A part of the database that cold starts open. */
  async fill(engine, slice, { part, rowBytes }) {
    const roll = dice(6000 + slice);
    const begun = performance.now();
    await engine.batch(keyed(slice * part, part, roll, rowBytes).map((row) => ["kvInsert", row]));
    return { ms: performance.now() - begun, count: part };
  },

  /** Transactions that change fifty rows each, anywhere in the table. */
  async updates(engine, slice, { updates, rows, perUpdate = 50 }) {
    const roll = dice(4000 + slice);
    const transactions = Array.from({ length: updates }, () =>
      Array.from({ length: perUpdate }, () => ["kvUpdate", [text(roll, 100), roll(rows)]]),
    );
    const each = [];
    const begun = performance.now();
    let before = begun;
    for (const transaction of transactions) {
      await engine.batch(transaction);
      const after = performance.now();
      each.push(after - before);
      before = after;
    }
    return { ms: before - begun, count: updates, each };
  },

  /** Rows by their key, one query each. */
  async points(engine, slice, { points, rows }) {
    const roll = dice(5000 + slice);
    const keys = Array.from({ length: points }, () => [roll(rows)]);
    const begun = performance.now();
    for (const key of keys) {
      const found = await engine.all("kvGet", key);
      if (found.length !== 1) throw new Error(`row ${key} is not there`);
    }
    return { ms: performance.now() - begun, count: points };
  },

  /** An aggregate over all rows. */
  async scan(engine, _slice, { rows }) {
    const begun = performance.now();
    const [[count]] = await engine.all("kvScan", []);
    const ms = performance.now() - begun;
    if (Number(count) !== rows) throw new Error(`the scan saw ${count} rows of ${rows}`);
    return { ms, count: 1 };
  },
};

function keyed(first, count, roll, bytes = 100) {
  return Array.from({ length: count }, (_, index) => [first + index, text(roll, bytes)]);
}
