// The package's door: what `import ... from "datasync"` gives. Safe to import anywhere, servers included.

export { open, destroy, list, importStore } from "./open.ts";
export { Database } from "./database.ts";
export { Statement } from "./statement.ts";
export { ChangeSession } from "./session.ts";
export { Transaction } from "./transaction.ts";
export { DataSyncError, type ErrorKind } from "./errors.ts";
export { default, IsolationLevel, SQLiteDB } from "./compat.ts";
export type {
  ColumnValue, DatabaseConfig, PreparedStatementId, QueryResult, QueryRow, RowValues, TransactionOptions,
} from "./compat.ts";
export type { IterateOptions } from "./queries.ts";
export type { ImportSource } from "./transfer.ts";
export type { Listener } from "./events.ts";
export type {
  ApplyOptions, ApplyResult, AutoSync, Backend, BatchItem, BatchResult, Bindable, CallOptions, DatabaseEvents, DatabaseInfo,
  Durability, ExecResult, ImportOptions, ImportStoreOptions, Integers, OnConflict, OpenOptions, Params, Progress, QueryOptions, RecoveryReport,
  Row, RunResult, ScriptStep, SessionOptions, SqlValue, Stats, StorageInfo, StoreFile, TransactionSettings, VerifyReport,
} from "./types.ts";
