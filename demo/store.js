// The one file of this page that calls the package: opening the shop's database, and what the page does with it.
//
// Everything here is the public interface of `datasync`, used as any page would use it.

import { destroy, open } from "datasync";
import { controlsTransactions, split } from "./statements.js";

/** Small segments, so that there is something to see: rotations and folds after some dozens of commits. */
export const SEGMENT_BYTES = 256 * 1024;
const LOG_CAP_BYTES = 1024 * 1024;

/** Rows of one answer that the page shows. */
export const ROWS_MAX = 500;

/** The name of the database: one for each kind of storage, so that switching loses nothing. */
export function nameFor(backend) {
  return `record-shop-${backend}`;
}

/** Opens the shop; a new one is filled with the sample. `wait` waits for the tab that has it. */
export async function openShop({ backend, durability, wait = false, signal }) {
  const db = await open({
    name: nameFor(backend),
    backend,
    durability,
    wait,
    ...(signal === undefined ? {} : { signal }),
    segmentBytes: SEGMENT_BYTES,
    logCapBytes: LOG_CAP_BYTES,
  });
  try {
    const tables = await db.get("SELECT count(*) AS n FROM sqlite_schema");
    if (tables?.n === 0) await fillSample(db);
    return db;
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** Makes the sample's tables and rows, in one transaction. */
async function fillSample(db) {
  const answer = await fetch(new URL("sample.sql", import.meta.url));
  if (!answer.ok) throw new Error(`sample.sql cannot be read: ${answer.status}`);
  const text = await answer.text();
  await db.transaction((tx) => tx.exec(text));
}

/** Removes the shop from this browser. It must be closed. */
export async function removeShop(backend) {
  if (backend !== "memory") await destroy(nameFor(backend), { backend });
}

/** A name as SQL takes it, whatever is in it. */
export function quoted(name) {
  return `"${String(name).replaceAll('"', '""')}"`;
}

/**
 * Runs the statements of `text` one after the other and gives what each answers: its columns and first rows,
 * or how many rows it changed. A script with its own BEGIN and COMMIT goes in one call.
 */
export async function* runScript(db, text, signal) {
  const statements = split(text);
  if (controlsTransactions(statements)) {
    for (const step of await db.script(text, undefined, { signal })) yield described(step);
    return;
  }
  for (const sql of statements) yield await runStatement(db, sql, signal);
}

/** One step of a script as the console shows it. */
function described({ sql, columns, rows, changes }) {
  return { sql, columns, rows: rows.slice(0, ROWS_MAX), more: rows.length > ROWS_MAX, changes: counted(sql, changes) };
}

/** The number of changes, if the statement is one that changes rows. */
function counted(sql, changes) {
  return /^(INSERT|UPDATE|DELETE|REPLACE|WITH)\b/i.test(sql) ? changes : undefined;
}

async function runStatement(db, sql, signal) {
  const statement = await db.prepare(sql);
  try {
    const { columns } = statement;
    if (columns.length === 0) {
      const { changes } = await statement.run(undefined, { signal });
      return { sql, columns, rows: [], more: false, changes: counted(sql, changes) };
    }
    const rows = [];
    for await (const row of statement.iterate(undefined, { rowMode: "array", chunkRows: ROWS_MAX + 1, signal })) {
      if (rows.length === ROWS_MAX) return { sql, columns, rows, more: true, changes: undefined };
      rows.push(row);
    }
    return { sql, columns, rows, more: false, changes: undefined };
  } finally {
    await statement.finalize();
  }
}
