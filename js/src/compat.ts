// A second API, with names in snake case: `init`, `SQLiteDB` and their types, on top of `open`.
//
// Names and shapes are given and stay as they are: programs use them. The rule it keeps: it adds no meaning of its
// own; an awaited call is as durable here as everywhere.

import type { Database } from "./database.ts";
import { DataSyncError } from "./errors.ts";
import { checkPage } from "./environment.ts";
import { launch } from "./launch.ts";
import { open } from "./open.ts";
import { checkName } from "./places.ts";
import type { OpenOptions, Params, ScriptStep, SqlValue } from "./types.ts";

/** How to open a database. */
export interface DatabaseConfig {
  name: string;
  /** The version of its schema, kept in `PRAGMA user_version`. A database of a higher version is refused. */
  version?: number;
  /** `PRAGMA cache_size`: pages. */
  cache_size?: number;
  /** `PRAGMA page_size` of a new database, bytes. */
  page_size?: number;
  /** `PRAGMA auto_vacuum` of a new database. */
  auto_vacuum?: boolean;
}

/** One value, with its type. */
export type ColumnValue =
  | { type: "Null"; value?: undefined }
  | { type: "Integer"; value: number }
  | { type: "Real"; value: number }
  | { type: "Text"; value: string }
  | { type: "Blob"; value: Uint8Array };

/** A row's values. The values of a row with one column may be used as that one value, as programs do. */
export type RowValues = ColumnValue[] & ColumnValue;

/** One row. */
export interface QueryRow {
  values: RowValues;
}

/** What `execute` returns. */
export interface QueryResult {
  columns: string[];
  rows: QueryRow[];
  affected_rows: number;
  /** Absent if nothing was inserted. */
  last_insert_id?: number;
  /** From the call to its answer, ms; never 0, because browsers' clocks are coarse. */
  execution_time_ms: number;
}

/** SQL's names of isolation. SQLite gives every one of them the strongest. */
export const IsolationLevel = {
  ReadUncommitted: "ReadUncommitted",
  ReadCommitted: "ReadCommitted",
  RepeatableRead: "RepeatableRead",
  Serializable: "Serializable",
} as const;
export type IsolationLevel = (typeof IsolationLevel)[keyof typeof IsolationLevel];

/** How to begin a transaction. */
export interface TransactionOptions {
  isolation_level: IsolationLevel;
  /** It is rolled back when it is not over after so long, ms. */
  timeout_ms?: number;
}

/** A prepared statement. */
export type PreparedStatementId = number;

interface OpenTransaction {
  run: Database | { script: Database["script"] };
  /** Ends it: `undefined` commits. */
  end(error?: Error): void;
  over: Promise<void>;
}

const CLOCK_MS = 0.001;

/** A database. It opens by itself with the first call. */
export class SQLiteDB {
  readonly #config: DatabaseConfig;
  readonly #options: Partial<OpenOptions>;
  readonly #prepared = new Map<PreparedStatementId, string>();
  #opening: Promise<Database> | undefined;
  #transaction: OpenTransaction | undefined;
  #closed = false;
  #last = 0;

  /** `options`: those of `open` that have no name here (`backend`, `durability`...). */
  constructor(config: DatabaseConfig, options: Partial<OpenOptions> = {}) {
    checkName(config?.name);
    this.#config = config;
    this.#options = options;
  }

  /** Runs every statement of `sql`; the columns and rows of the last one that returns any. */
  async execute(sql: string, params?: Params): Promise<QueryResult> {
    const begun = performance.now();
    // Before anything is awaited: a commit or rollback that is called behind this one ends the transaction it belongs to.
    const run = this.#transaction?.run;
    const db = await this.#database();
    const steps = await (run ?? db).script(sql, params);
    return resultOf(steps, performance.now() - begun);
  }

  /** Remembers `sql` for `execute_prepared`; the worker compiles it once, when it is first run. */
  prepare(sql: string): PreparedStatementId {
    this.#check();
    this.#last += 1;
    this.#prepared.set(this.#last, sql);
    return this.#last;
  }

  /** Runs what `prepare` was given. */
  async execute_prepared(id: PreparedStatementId, params?: Params): Promise<QueryResult> {
    const sql = this.#prepared.get(id);
    if (sql === undefined) throw new DataSyncError("Misuse", `There is no prepared statement ${id}.`);
    return this.execute(sql, params);
  }

  /** Begins a transaction; every call until `commit` or `rollback` belongs to it. */
  async begin_transaction(options?: TransactionOptions): Promise<void> {
    const db = await this.#database();
    if (this.#transaction) {
      throw new DataSyncError("Misuse", "A transaction is open already. End it with commit() or rollback().");
    }
    const settings = options?.timeout_ms === undefined ? {} : { timeoutMs: options.timeout_ms };
    await new Promise<void>((begun, failed) => {
      const over = db.transaction((tx) => new Promise<void>((commit, rollBack) => {
        const end = (error?: Error) => (error ? rollBack(error) : commit());
        this.#transaction = { run: tx, end, over };
        begun();
      }), settings);
      over.catch(failed);
    });
  }

  /** Commits the transaction: durable when it resolves. */
  async commit(): Promise<void> {
    const { end, over } = this.#end("commit");
    end();
    await over;
  }

  /** Rolls the transaction back. */
  async rollback(): Promise<void> {
    const { end, over } = this.#end("rollback");
    const wanted = new Error("rolled back by rollback()");
    end(wanted);
    await over.catch((error: unknown) => {
      if (error !== wanted) throw error;
    });
  }

  /** Closes it. A transaction that is open is rolled back. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#transaction) await this.rollback().catch(() => {});
    const db = await this.#opening?.catch(() => undefined);
    await db?.close();
  }

  /** As `close`, without waiting. */
  free(): void {
    void this.close().catch(() => {});
  }

  #end(what: string): OpenTransaction {
    const transaction = this.#transaction;
    if (!transaction) throw new DataSyncError("Misuse", `${what}() without begin_transaction().`);
    this.#transaction = undefined;
    return transaction;
  }

  #check(): void {
    if (this.#closed) throw new DataSyncError("Closed", "This database is closed. Make a new SQLiteDB.");
  }

  #database(): Promise<Database> {
    try {
      this.#check();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#opening ??= opened(this.#config, this.#options).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }
}

async function opened(config: DatabaseConfig, options: Partial<OpenOptions>): Promise<Database> {
  const db = await open({ ...options, name: config.name });
  try {
    if (config.cache_size !== undefined) await db.exec(`PRAGMA cache_size = ${whole(config.cache_size, "cache_size")}`);
    const tables = await db.get<{ n: number }>("SELECT count(*) AS n FROM sqlite_schema");
    if (tables?.n === 0) await setUp(db, config);
    if (config.version !== undefined) await checkVersion(db, whole(config.version, "version"), config.name);
    return db;
  } catch (error) {
    await db.close().catch(() => {});
    throw error;
  }
}

/** What can only be chosen before there is anything in the database. */
async function setUp(db: Database, config: DatabaseConfig): Promise<void> {
  if (config.page_size !== undefined) await db.exec(`PRAGMA page_size = ${whole(config.page_size, "page_size")}`);
  if (config.auto_vacuum !== undefined) await db.exec(`PRAGMA auto_vacuum = ${config.auto_vacuum ? "FULL" : "NONE"}`);
}

async function checkVersion(db: Database, version: number, name: string): Promise<void> {
  const found = (await db.get<{ user_version: number }>("PRAGMA user_version"))?.user_version ?? 0;
  if (found > version) {
    throw new DataSyncError("Unsupported", `"${name}" has version ${found}, and this program knows ${version}. Update the program.`);
  }
  if (found < version) await db.exec(`PRAGMA user_version = ${version}`);
}

function whole(value: number, name: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw new DataSyncError("Misuse", `${name} must be a whole number; it is ${String(value)}.`);
}

function resultOf(steps: ScriptStep[], ms: number): QueryResult {
  const last = steps.findLast((step) => step.columns.length > 0);
  const changed = steps.findLast((step) => step.changes > 0 && Number(step.lastInsertRowid) !== 0);
  return {
    columns: last?.columns ?? [],
    rows: (last?.rows ?? []).map((row) => ({ values: valuesOf(row) })),
    affected_rows: steps.reduce((sum, step) => sum + step.changes, 0),
    ...(changed && { last_insert_id: Number(changed.lastInsertRowid) }),
    execution_time_ms: Math.max(ms, CLOCK_MS),
  };
}

function valuesOf(row: SqlValue[]): RowValues {
  const values = row.map(typed);
  const [only] = values;
  if (values.length === 1 && only) {
    Object.defineProperties(values, {
      type: { value: only.type, configurable: true },
      value: { value: only.value, configurable: true },
    });
  }
  return values as RowValues;
}

function typed(value: SqlValue): ColumnValue {
  if (value === null) return { type: "Null" };
  switch (typeof value) {
    case "string":
      return { type: "Text", value };
    case "bigint":
      // The type says number; beyond 2^53 `query` has the exact value.
      return { type: "Integer", value: Number(value) };
    case "number":
      return { type: Number.isInteger(value) ? "Integer" : "Real", value };
    default:
      return { type: "Blob", value };
  }
}

/** Gets the worker's code and the wasm ready, so that the first database opens sooner. Need not be called. */
export default async function init(): Promise<void> {
  checkPage();
  const { client } = await launch(undefined);
  client.terminate("it was only started to get ready");
}
