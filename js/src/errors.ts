// The one error of this package: a kind to act on and a sentence that says what to do.
//
// Must not know messages, workers or SQL. The rule it keeps: every promise that fails, fails with a
// `DataSyncError`, and its kind alone says what the caller does next.

/** What the caller does next. The words are those of the Rust crate's `ErrorKind`, and a few of the browser. */
export type ErrorKind =
  /** SQLite did not accept the statement: a syntax error, a missing table. Fix the SQL. */
  | "Sql"
  /** A constraint of the schema (UNIQUE, NOT NULL, CHECK, FOREIGN KEY) refused the change. */
  | "Constraint"
  /** A change of a changeset does not fit the row that is here. Nothing of it was applied; decide with `onConflict`. */
  | "Conflict"
  /** A text, a blob or a statement above SQLite's limits, or more than the memory that there is for it. Ask for less at a time. */
  | "TooLarge"
  /** The call itself is wrong. Fix the caller; nothing was changed. */
  | "Misuse"
  /** Somebody else has the database open: another tab, or this page; or the browser does not say. The message names the way out. */
  | "Busy"
  /** There is nothing under this name, and creating was not asked for. */
  | "NotFound"
  /** What stands there, or what was given to `import`, is no database. */
  | "NotAStore"
  /** Written by a newer version. Upgrade the package. */
  | "Unsupported"
  /** Opened for reading only. */
  | "ReadOnly"
  /** No space or quota left. Nothing of this commit was written. */
  | "Full"
  /** The storage refused a read or a write. Close, and open again. */
  | "Io"
  /** Bytes that had been durable are not what was written. Nothing was changed. */
  | "Corrupt"
  /**
   * Another checksum algorithm than the database's own. If `open` says so, its `checksum` asked for it: the database is sound,
   * leave the option out. If a read does, bytes name it, and as with `Corrupt` they are not data.
   */
  | "AlgoMismatch"
  /** The database was here and is gone: the browser removed it (eviction), or somebody cleared the storage. */
  | "Lost"
  /** A newer owner took the database over (another tab). Open again. */
  | "Fenced"
  /** The transaction read a state that is no longer the newest. Roll back, begin again. */
  | "Stale"
  /** A transaction or a cursor was held too long and has been ended. Begin again. */
  | "Expired"
  /** The transaction is over (rolled back by SQLite, or ended by a statement): nothing of it stays. */
  | "TransactionLost"
  /** An earlier write failed, so nothing can be promised any more. Open again: what was acknowledged is there. */
  | "Poisoned"
  /** This commit may or may not survive. Open again and look; `PRAGMA datasync_outcome` tells of its `commit`. */
  | "Indeterminate"
  /** The database is closed, or its worker is gone. Nothing of this call stays. Open again. */
  | "Closed"
  /** An `AbortSignal` stopped the call: before it began, between two chunks of its rows, in mid-transaction, while it opened. */
  | "Aborted"
  /** The browser, the page or the server lacks something. The message says what to change. */
  | "Environment";

/** What an error carries between the worker and the page. */
export interface ErrorParts {
  kind: ErrorKind;
  message: string;
  /** SQLite's extended result code, where SQLite was asked. */
  code?: number;
  /** The newest commit in doubt, "epoch.lsn": of all calls that one barrier was for. Only with `Indeterminate`. */
  commit?: string;
}

/** Every error of this package. */
export class DataSyncError extends Error {
  override readonly name = "DataSyncError";
  /** What the caller does next. */
  readonly kind: ErrorKind;
  /** SQLite's extended result code, where SQLite was asked: 2067 is a UNIQUE constraint. */
  readonly code: number | undefined;
  /** The newest commit in doubt, "epoch.lsn": of all calls that one barrier was for. Only with `Indeterminate`. */
  readonly commit: string | undefined;

  constructor(kind: ErrorKind, message: string, more: Omit<ErrorParts, "kind" | "message"> & { cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.kind = kind;
    this.code = more.code;
    this.commit = more.commit;
  }
}

/** An error from its parts. */
export function errorOf(parts: ErrorParts): DataSyncError {
  return new DataSyncError(parts.kind, parts.message, parts);
}

/** The parts of whatever was thrown. What is no error of ours is an `Io`: something below failed in its own words. */
export function partsOf(thrown: unknown): ErrorParts {
  if (typeof thrown !== "object" || thrown === null) {
    return { kind: "Io", message: String(thrown) };
  }
  const { kind, message, code, commit } = thrown as Partial<Record<keyof ErrorParts, unknown>>;
  const parts: ErrorParts = {
    kind: isKind(kind) ? kind : "Io",
    message: typeof message === "string" && message !== "" ? message : String(thrown),
  };
  if (typeof code === "number") parts.code = code;
  if (typeof commit === "string") parts.commit = commit;
  return parts;
}

/** Whatever was thrown, as our error. */
export function asError(thrown: unknown): DataSyncError {
  return thrown instanceof DataSyncError ? thrown : errorOf(partsOf(thrown));
}

const KINDS: Record<ErrorKind, true> = {
  Sql: true, Constraint: true, Conflict: true, TooLarge: true, Misuse: true, Busy: true, NotFound: true, NotAStore: true,
  Unsupported: true, ReadOnly: true, Full: true, Io: true, Corrupt: true, AlgoMismatch: true, Lost: true,
  Fenced: true, Stale: true, Expired: true, TransactionLost: true, Poisoned: true, Indeterminate: true,
  Closed: true, Aborted: true, Environment: true,
};

function isKind(word: unknown): word is ErrorKind {
  return typeof word === "string" && Object.hasOwn(KINDS, word);
}
