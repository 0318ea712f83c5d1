// The words of the public API that are neither classes nor errors: options, values, results, reports.
//
// Types only; nothing here runs.

/** Where the database lives. */
export type Backend = "opfs" | "indexeddb" | "memory";

/**
 * What a resolved promise means.
 * - `durable`: the commit is on the medium; no crash takes it away.
 * - `witnessed`: the same, and even rot of the newest commit would be noticed.
 * - `applied`: visible to everyone; a crash may take the newest commits away, always a suffix, never a gap.
 */
export type Durability = "durable" | "applied" | "witnessed";

/** How integers come back: `auto` is a number where it is exact, else a bigint. */
export type Integers = "auto" | "bigint" | "number";

/** A value as it comes out of the database. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/** A value that can go in. `true` and `false` are stored as 1 and 0. */
export type Bindable = SqlValue | boolean | ArrayBuffer | ArrayBufferView;

/** Parameters by position (`?`, `?1`) or by name (`:name`, `@name`, `$name`; the sign may be left out). */
export type Params = readonly Bindable[] | { readonly [name: string]: Bindable };

/** A row with its columns' names. Of columns with the same name the last is kept; ask for arrays to see all. */
export type Row = Record<string, SqlValue>;

/** How to open a database. */
export interface OpenOptions {
  /** Its name in this origin: not empty, no "/", at most 200 bytes. */
  name: string;
  /** Default: where a database of this name is; for a new one OPFS where it works, else IndexedDB. Memory only by name. */
  backend?: Backend;
  /** What a resolved promise means. Default `durable`. */
  durability?: Durability;
  /** `false`: fail with `NotFound` if there is none. Default `true`. */
  create?: boolean;
  /** Opens without changing anything; a damaged database serves its last good state. Default `false`. */
  readOnly?: boolean;
  /** If somebody else has it open: wait for so many milliseconds, or (`true`) for as long as it takes. Default `false`. */
  wait?: boolean | number;
  /** Whether foreign keys are enforced. Default `true`, unlike in plain SQLite. */
  foreignKeys?: boolean;
  /** How integers come back. Default `auto`. */
  integers?: Integers;
  /** With `durability: "applied"`: when commits are made durable without being asked. */
  autoSync?: AutoSync | false;
  /** The checksum of a new database. Default `xxh3`. One that is there keeps its own: another is `AlgoMismatch`. */
  checksum?: "crc32" | "xxh3";
  /** Soft size of one log segment, bytes. Default 4 MiB. */
  segmentBytes?: number;
  /**
   * The log is folded before it is larger than this, bytes. Default 16 MiB, on IndexedDB 32 MiB, where all of it is
   * in memory; at least two segments.
   */
  logCapBytes?: number;
  /** Memory for what was read of the database, bytes. Default 8 MiB, on IndexedDB 16 MiB. */
  cacheBytes?: number;
  /** Where the browser cannot read IndexedDB on demand: the largest database held in memory, bytes. Default 256 MiB. */
  residentLimitBytes?: number;
  /** Where the worker's module is, if the bundler cannot find it. */
  workerUrl?: string | URL;
  /** Where the wasm is, if the worker cannot find it. */
  wasmUrl?: string | URL;
  /** Gives up opening. */
  signal?: AbortSignal;
}

/** Where `importStore` makes a database. */
export interface ImportStoreOptions {
  /** Its name in this origin, which no database has yet. */
  name: string;
  /** Default: OPFS where it works, else IndexedDB. */
  backend?: Exclude<Backend, "memory">;
  /** Where the worker's module is, if the bundler cannot find it. */
  workerUrl?: string | URL;
  /** Where the wasm is, if the worker cannot find it. */
  wasmUrl?: string | URL;
  /** Stops it; nothing of it stays. */
  signal?: AbortSignal;
}

/** When applied commits are made durable without being asked. */
export interface AutoSync {
  /** At most so long after the first undurable commit, ms. Default 1000; `Infinity`: whatever time goes by. */
  intervalMs?: number;
  /** At once when so many calls that may have committed are undurable. Default 100; `Infinity`: however many there are. */
  maxDirty?: number;
  /** When no commit came for so long, ms. Default: not looked at. */
  debounceMs?: number;
}

/** Options of one call. */
export interface CallOptions {
  /** Takes the call out of the queue; one that is running stops between two chunks of rows. */
  signal?: AbortSignal;
  /** What the promise means, this once. */
  durability?: Durability;
}

/** Options of a call that returns rows. */
export interface QueryOptions extends CallOptions {
  /** `object` (default) or `array`. */
  rowMode?: "object" | "array";
  /** How integers come back, this once. */
  integers?: Integers;
}

/** What a change did. */
export interface RunResult {
  /** Rows that the statements inserted, updated or deleted. */
  changes: number;
  /** The rowid of the newest insert on this connection; 0 if there was none. */
  lastInsertRowid: number | bigint;
}

/** What `exec` did. */
export interface ExecResult extends RunResult {
  /** How many statements ran. */
  statements: number;
}

/** What one statement of a script did. */
export interface ScriptStep extends RunResult {
  /** Its text. */
  sql: string;
  /** The names of its columns; empty if it returns no rows. */
  columns: string[];
  /** Its rows, as arrays: a console shows columns of the same name too. */
  rows: SqlValue[][];
}

/** One item of a batch: SQL; SQL with parameters; or one statement for many rows of parameters. */
export type BatchItem =
  | string
  | readonly [sql: string, params?: Params]
  | { sql: string; params?: Params; rows?: undefined }
  | { sql: string; rows: readonly Params[]; params?: undefined };

/** What one item of a batch did. */
export interface BatchResult extends RunResult {
  /** The rows it returned, if it returned any. */
  rows: Row[];
}

/** How to run a transaction. */
export interface TransactionSettings {
  /** SQLite's kinds of BEGIN. Default `immediate`: a transaction that will write. */
  mode?: "deferred" | "immediate" | "exclusive";
  /** Rolled back when it is not over after so long, ms. Default: no limit, as `Infinity`. */
  timeoutMs?: number;
  /** Rolled back when it did nothing for so long while others wait, ms. Default 10000; `Infinity`: never. */
  idleMs?: number;
  /** What the commit's acknowledgement means. */
  durability?: Durability;
  /** Rolls it back. */
  signal?: AbortSignal;
}

/** What becomes of a change that does not fit, because the row is not what it was when the change was recorded. */
export type OnConflict = "abort" | "omit" | "replace";

/** What to record. */
export interface SessionOptions {
  /** Names of tables. Default: every one, also those that are made later. */
  tables?: readonly string[];
  signal?: AbortSignal;
}

/** How to apply a changeset. */
export interface ApplyOptions extends CallOptions {
  /**
   * - `abort` (default): nothing is applied, and the call fails with `Conflict` or `Constraint`.
   * - `omit`: the change is left out.
   * - `replace`: the change wins over the row that is there; where there is none, or a constraint refuses it, it is left out.
   *
   * Whatever is said here, changes after which a foreign key would point nowhere are not applied.
   */
  onConflict?: OnConflict;
}

/** What applying did. */
export interface ApplyResult {
  /** Changes that did not fit. */
  conflicts: number;
}

/** Progress of long work. */
export interface Progress {
  /** Bytes done. */
  done: number;
  /** Bytes in all. */
  total: number;
}

/** Options of `import`. */
export interface ImportOptions {
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/** One raw file of a store, as it lies on the medium; natively they are the files of a `.datasync` directory. */
export interface StoreFile {
  name: string;
  bytes: Uint8Array;
}

/** Numbers about an open database. */
export interface Stats {
  /** The highest commit. */
  committed: number;
  /** The highest commit known to survive power loss. */
  durable: number;
  /** The number of this life. */
  epoch: number;
  /** Every commit up to this one is in the base. */
  folded: number;
  /** Segments of the log. */
  segments: number;
  /** Bytes in them. */
  logBytes: number;
  /** Distinct blocks in them. */
  logBlocks: number;
  /** Blocks of the base. */
  baseBlocks: number;
  /** Size of the database, bytes. */
  sizeBytes: number;
  /** Commits made in this life. */
  commits: number;
  /** Barriers run for them. */
  barriers: number;
  /** Folds finished. */
  folds: number;
  /** Reads that did not verify. */
  checksumFailures: number;
  /** Whether an earlier write failed. */
  poisoned: boolean;
  /** Every other number of the Rust crate's `Stats`, in camelCase. */
  [more: string]: unknown;
}

/** What was found when the database was opened. */
export interface RecoveryReport {
  /** `unclean`: after a crash, or a page that was left without `close`. */
  kind: "created" | "clean" | "unclean";
  /** This life's number. */
  epoch: number;
  /** The last commit that is there. */
  last: number;
  /** Commits read from the log. */
  commits: number;
  /** Bytes that were never acknowledged, and are gone. */
  tornTailBytes: number;
  /** Every other number of the Rust crate's `RecoveryReport`, in camelCase. */
  [more: string]: unknown;
}

/** What `verify` found. */
export interface VerifyReport {
  /** True if every byte is what was written. */
  ok: boolean;
  [more: string]: unknown;
}

/** Where the database is and what its promises rest on. */
export interface StorageInfo {
  backend: Backend;
  /** One sentence: why this backend. */
  why: string;
  /** What a resolved promise means here. `none` in memory, and where nothing is written: opened for reading. */
  durability: Durability | "none";
  /** Whether the browser promised not to evict this origin; `undefined` if it does not say. */
  persisted: boolean | undefined;
  /** Bytes this origin may use; `undefined` if the browser does not say. */
  quota: number | undefined;
  /** Bytes it uses. */
  usage: number | undefined;
  /**
   * How a block that is not in memory is read. On IndexedDB: `on-demand` where wasm can be suspended, `worker` by a
   * second worker where it cannot and the page is cross-origin isolated, else `resident`: all of it is in memory.
   */
  reads: "handle" | "memory" | "resident" | "on-demand" | "worker";
  /** Whether the page is cross-origin isolated. Nothing here needs it; `headers` are what would make it so. */
  isolated: boolean;
  headers: Record<string, string>;
}

/** A database that `list` found. */
export interface DatabaseInfo {
  name: string;
  backend: Exclude<Backend, "memory">;
}

/** What a database tells on its own. */
export interface DatabaseEvents {
  /** Commits became visible: the highest of them, the highest that is durable by then, and the bytes they took in the log. */
  commit: { committed: number; durable: number; bytes: number };
  /** Commits became durable; `ms` is how long it took. */
  sync: { committed: number; durable: number; ms: number; cause: "answer" | "timer" | "dirty" | "call" | "close" };
  /** How the database was found, once after opening. */
  recovery: RecoveryReport;
  /** The log was folded into the base. */
  compaction: { folds: number; logBytes: number; segments: number };
  /** Another tab would like to open this database; `close()` lets it. */
  wanted: { by: string };
  /** It is closed, by a call or because its worker is gone. */
  close: { reason: string };
  /** Something failed that no call was waiting for. */
  error: Error;
}
