// What a database and a transaction have in common: SQL in, rows out.
//
// Must not know who holds the worker, nor transactions. The rule it keeps: no promise resolves before what it
// reports is as durable as was asked for (the worker holds the answers back), and a cursor that is left early
// is freed.

import { checkCall, checkRowless } from "./checks.ts";
import type { Client } from "./client.ts";
import type { Args, Op, Result, WireFetch } from "./protocol.ts";
import { checkSql, fromWire, itemsToWire, toWire } from "./rows.ts";
import { checkChanges } from "./session.ts";
import { Statement } from "./statement.ts";
import type {
  ApplyOptions, ApplyResult, BatchItem, BatchResult, CallOptions, Durability, ExecResult, Integers, Params, QueryOptions, Row,
  ScriptStep, SqlValue, TransactionSettings,
} from "./types.ts";
import { decodeArrays, decodeObjects } from "./wire.ts";

/** Rows that a cursor asks for at a time, unless told otherwise. */
const CURSOR_ROWS = 1000;
const CURSOR_ROWS_MAX = 0x7fff_ffff;

/** Options of `iterate`. */
export interface IterateOptions extends QueryOptions {
  /** Rows that come in one message. Default 1000. */
  chunkRows?: number;
}

/** Where calls go. */
export interface Port {
  readonly client: Client;
  readonly tx: number | undefined;
  readonly integers: Integers;
  readonly durability: Durability | undefined;
  /** Throws when nothing may be called here any more. */
  check(): void;
}

/** Calls `op` through `port`, before it returns: calls are in the order in which they were made. Never throws, but rejects. */
export async function callOn<K extends Op>(
  port: Port, op: K, args: Args<K>, options: CallOptions = {}, transfer: Transferable[] = [],
): Promise<Result<K>> {
  port.check();
  checkCall(op, options);
  const durability = options.durability ?? port.durability;
  return port.client.call(op, args, { tx: port.tx, durability, signal: options.signal, transfer });
}

/** SQL in, rows out. */
export abstract class Queries {
  /** Where the calls go. */
  protected abstract readonly port: Port;

  /**
   * Runs every statement of `sql`, one after the other. An error stops it: what the statements before had
   * committed stays, and a transaction that they had begun is rolled back. Parameters by position are used up in the order of the statements.
   */
  async exec(sql: string, params?: Params, options: CallOptions = {}): Promise<ExecResult> {
    checkRowless(options);
    const args = { sql: checkSql(sql), params: toWire(params), keep: "nothing" as const };
    const { changes, lastInsertRowid, statements } = await callOn(this.port, "run", args, options);
    return { changes, lastInsertRowid, statements };
  }

  /** Runs every statement of `sql`; the rows of the last one that returns any, as arrays. */
  query(sql: string, params: Params | undefined, options: QueryOptions & { rowMode: "array" }): Promise<SqlValue[][]>;
  /** Runs every statement of `sql`; the rows of the last one that returns any, as objects. */
  query<T = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<T[]>;
  async query(sql: string, params?: Params, options: QueryOptions = {}): Promise<Row[] | SqlValue[][]> {
    const args = { sql: checkSql(sql), params: toWire(params), keep: "rows" as const };
    const { steps } = await callOn(this.port, "run", args, options);
    return fromWire(steps[0]?.rows, options, this.port.integers);
  }

  /** Runs every statement of `sql` and returns what each of them did: for consoles and scripts. */
  async script(sql: string, params?: Params, options: CallOptions & { integers?: Integers } = {}): Promise<ScriptStep[]> {
    const args = { sql: checkSql(sql), params: toWire(params), keep: "all" as const };
    const { steps } = await callOn(this.port, "run", args, options);
    return steps.map(({ end, rows, changes, lastInsertRowid }, index) => ({
      sql: sql.slice(steps[index - 1]?.end ?? 0, end).trim(),
      columns: rows?.columns ?? [],
      rows: fromWire(rows, { ...options, rowMode: "array" }, this.port.integers) as SqlValue[][],
      changes,
      lastInsertRowid,
    }));
  }

  /** The first row that `query` would give, or `undefined`. The statement runs to its end all the same. */
  async get<T = Row>(sql: string, params?: Params, options?: CallOptions & { integers?: Integers }): Promise<T | undefined> {
    return (await this.query<T>(sql, params, options))[0];
  }

  /** The rows of one statement, in chunks as they are wanted: bounded memory however many there are. */
  iterate(sql: string, params: Params | undefined, options: IterateOptions & { rowMode: "array" }): AsyncGenerator<SqlValue[], void, undefined>;
  iterate<T = Row>(sql: string, params?: Params, options?: IterateOptions): AsyncGenerator<T, void, undefined>;
  iterate(sql: string, params?: Params, options: IterateOptions = {}): AsyncGenerator<Row | SqlValue[], void, undefined> {
    return iterateOn(this.port, checkSql(sql), params, options);
  }

  /**
   * Applies the changes that a session recorded, or an inverted set of them: all in one commit, or nothing (in a
   * transaction: as one statement of it).
   */
  async applyChangeset(changes: Uint8Array | ArrayBuffer, options: ApplyOptions = {}): Promise<ApplyResult> {
    checkCall("apply", options);
    const { onConflict = "abort" } = options;
    return callOn(this.port, "apply", { changes: checkChanges(changes), onConflict }, options);
  }

  /** Compiles one statement, to be run many times. Call its `finalize` when it is no longer needed. */
  async prepare(sql: string): Promise<Statement> {
    return new Statement(this.port, checkSql(sql), await callOn(this.port, "prepare", { sql: checkSql(sql) }));
  }
}

/** Runs all items in one message: all of them, or none. */
export async function batchOn(
  port: Port, items: readonly BatchItem[], options: CallOptions & Pick<TransactionSettings, "mode">,
): Promise<BatchResult[]> {
  checkCall("batch", options);
  const wired = itemsToWire(items);
  const transfer = wired.flatMap((item) => (item.rows === undefined ? [] : [item.rows.buffer as ArrayBuffer]));
  const results = await callOn(port, "batch", { items: wired, mode: options.mode ?? "immediate" }, options, transfer);
  return results.map(({ changes, lastInsertRowid, rows }) => ({
    changes, lastInsertRowid, rows: fromWire(rows, {}, port.integers) as Row[],
  }));
}

/** The rows of one statement as a generator; the next chunk is on its way while this one is used. */
export async function* iterateOn(
  port: Port, sql: string, params: Params | undefined, options: IterateOptions,
): AsyncGenerator<Row | SqlValue[], void, undefined> {
  checkCall("cursor", options);
  const maxRows = Math.min(Math.max(1, Math.floor(options.chunkRows ?? CURSOR_ROWS)), CURSOR_ROWS_MAX);
  const how = options.integers ?? port.integers;
  const first = await callOn(port, "cursor", { sql, params: toWire(params), maxRows }, options);
  const cursor = first.cursor;
  let chunk: WireFetch = first;
  let next: Promise<WireFetch> | undefined;
  try {
    for (;;) {
      next = chunk.done ? undefined : callOn(port, "fetch", { cursor, maxRows }, options);
      next?.catch(() => {});
      const rows = options.rowMode === "array"
        ? decodeArrays(chunk.chunk, how)
        : decodeObjects(chunk.chunk, chunk.columns, how);
      yield* rows;
      if (next === undefined) return;
      chunk = await next;
    }
  } finally {
    if (!chunk.done && port.client.over === undefined) {
      await port.client.call("uncursor", { cursor }, { tx: port.tx }).catch(() => {});
    }
  }
}
