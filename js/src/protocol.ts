// Everything that is said between a page and its worker: one union, told apart by `type`; one table of operations.
//
// Types only. The rule it keeps: a message or an operation that is not here does not exist; both sides switch
// over it exhaustively. Calls are answered by id, exactly once; answers of one turn come in one message.

import type { ErrorParts } from "./errors.ts";
import type {
  ApplyResult, Backend, DatabaseEvents, Durability, OnConflict, OpenOptions, RecoveryReport, RunResult, SqlValue, Stats,
  StorageInfo, StoreFile, TransactionSettings, VerifyReport,
} from "./types.ts";

/** What the page says. */
export type ToWorker =
  /** Everything that was called in one turn of the page. */
  | { type: "calls"; calls: Call[] }
  /** The page no longer wants this call. */
  | { type: "cancel"; id: number }
  /** Which events the page listens to; nobody pays for the others. */
  | { type: "watch"; events: (keyof DatabaseEvents)[] }
  /** The page goes away: give the storage back at once. */
  | { type: "release" };

/** What the worker says. */
export type FromWorker =
  /** Its module runs. The lock of this name is held for as long as it lives. */
  | { type: "ready"; alive: string }
  /** The compiled wasm, for the next worker of this page. */
  | { type: "module"; module: WebAssembly.Module }
  | { type: "answers"; answers: Answer[] }
  | { type: "event"; event: WireEvent }
  /** The wasm trapped; nothing that was asked will be answered any more. */
  | { type: "died"; message: string };

/** Every message there is. */
export type Message = ToWorker | FromWorker;

/** One call. A call of a transaction names it; calls of others wait until it is over. */
export interface Call {
  id: number;
  tx?: number;
  durability?: Durability;
  request: Request;
}

/** The answer to one call. */
export type Answer = { id: number; ok: unknown } | { id: number; error: ErrorParts };

/** An event, with what it says. Errors travel as their parts. */
export type WireEvent = {
  [Name in keyof DatabaseEvents]: { name: Name; data: Name extends "error" ? ErrorParts : DatabaseEvents[Name] };
}[keyof DatabaseEvents];

/** Where a database is, as it can be posted. */
export type WirePlace = Pick<OpenOptions, "name" | "backend"> & { wasmUrl?: string };

/** How it is opened: what is not here, the worker or the wasm decides. */
export type WireOptions = WirePlace
  & Required<Pick<OpenOptions, "durability" | "create" | "readOnly" | "wait" | "foreignKeys" | "integers" | "autoSync">>
  & Pick<OpenOptions, "checksum" | "segmentBytes" | "logCapBytes" | "cacheBytes" | "residentLimitBytes">;

/** Parameters, checked on the page. */
export type WireParams = SqlValue[] | { names: string[]; values: SqlValue[] };

/** One item of a batch. `rows` is a chunk; `names` says what its columns are, unless by position. */
export type WireItem =
  | { sql: string; params: WireParams | undefined; rows?: undefined }
  | { sql: string; rows: Uint8Array; names: string[] | undefined; count: number };

/** Rows in chunks, with their columns' names. */
export interface WireRows {
  columns: string[];
  chunks: Uint8Array[];
}

/** A statement that the worker keeps. */
export interface WireStatement {
  statement: number;
  columns: string[];
  parameters: (string | null)[];
  readonly: boolean;
}

/** What rows of a cursor come in. */
export interface WireFetch {
  columns: string[];
  chunk: Uint8Array;
  done: boolean;
}

/** What one statement of several did. */
export interface WireStep extends RunResult {
  /** Where its text ends, as a UTF-16 index; it begins where the one before ends. */
  end: number;
  rows: WireRows | undefined;
}

/** What several statements did; `steps` holds what was asked to be kept. */
export interface WireRun extends RunResult {
  statements: number;
  steps: WireStep[];
}

/** Every operation: what it takes, what it gives. */
export interface Operations {
  open: [Opening, { backend: Backend; recovery: RecoveryReport }];
  /** Runs every statement of `sql`; keeps nothing, the last rows that there are, or what each did. */
  run: [{ sql: string; params: WireParams | undefined; keep: "nothing" | "rows" | "all" }, WireRun];
  prepare: [{ sql: string }, WireStatement];
  /** Runs a prepared statement to its end, or (`first`) to its first row. */
  statement: [{ statement: number; params: WireParams | undefined; want: Want }, WireResult];
  finalize: [{ statement: number }, undefined];
  /** Opens a cursor and returns its first chunk. */
  cursor: [{ sql: string; params: WireParams | undefined; maxRows: number }, WireFetch & { cursor: number }];
  fetch: [{ cursor: number; maxRows: number }, WireFetch];
  uncursor: [{ cursor: number }, undefined];
  /** Begins the transaction `id`; from then on only calls that name it run. */
  begin: [{ id: number } & Omit<TransactionSettings, "signal">, undefined];
  commit: [{ id: number }, RunResult];
  rollback: [{ id: number }, undefined];
  batch: [{ items: WireItem[]; mode: Mode }, WireResult[]];
  /** Begins to record changes of these tables, or of all if none is named. */
  record: [{ tables: string[] }, { recording: number }];
  recorded: [{ recording: number; patch: boolean }, Uint8Array];
  unrecord: [{ recording: number }, undefined];
  /** Applies a changeset or a patchset: all of it, or nothing. */
  apply: [{ changes: Uint8Array; onConflict: OnConflict }, ApplyResult];
  invert: [{ changes: Uint8Array }, Uint8Array];
  sync: [object, { committed: number; durable: number }];
  stats: [object, Stats];
  storage: [object, WireStorage];
  verify: [object, VerifyReport];
  exportStart: [object, { exporting: number; bytes: number }];
  /** Reads of the export `exporting`. */
  exportRead: [{ exporting: number; offset: number; length: number }, Uint8Array];
  exportEnd: [{ exporting: number }, undefined];
  /** Begins an import, which is alone like the transaction `id`. */
  importStart: [{ id: number; bytes: number }, undefined];
  importWrite: [{ bytes: Uint8Array }, undefined];
  importEnd: [object, undefined];
  importCancel: [object, undefined];
  exportStore: [object, StoreFile[]];
  /** Instead of `open`: makes a database of a store's raw files. */
  importStore: [Importing, { backend: Backend }];
  close: [object, undefined];
}

/** What a worker needs to open a database. */
export interface Opening {
  options: WireOptions;
  module: WebAssembly.Module | undefined;
}

/** What it needs to make one of a store's raw files. */
export interface Importing {
  options: WirePlace;
  module: WebAssembly.Module | undefined;
  files: StoreFile[];
}

/** What one statement did. */
export type WireResult = RunResult & { rows: WireRows | undefined };
/** How far a statement is run, and what is kept. */
export type Want = "nothing" | "first" | "rows";
/** SQLite's kinds of BEGIN. */
export type Mode = NonNullable<TransactionSettings["mode"]>;
/** What the worker knows of `StorageInfo`. */
export type WireStorage = Omit<StorageInfo, "persisted" | "quota" | "usage" | "isolated" | "headers">;

export type Op = keyof Operations;
export type Args<K extends Op> = Operations[K][0];
export type Result<K extends Op> = Operations[K][1];
export type Request = { [K in Op]: { op: K } & Args<K> }[Op];
