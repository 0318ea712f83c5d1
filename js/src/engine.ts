// The wasm as TypeScript sees it, and which of its two forms is called.
//
// Must not know messages. The rule it keeps: a call that may read the medium goes through here, so that the
// form that can be suspended is used where (and only where) the medium must be waited for.

import { DataSyncError, partsOf, type ErrorKind } from "./errors.ts";
import { inTime } from "./waiting.ts";

/** What `prepare` gives. */
export interface Prepared {
  id: number;
  /** Where the statement's text ends, as a UTF-16 index. */
  tail: number;
  columns: string[];
  parameters: (string | null)[];
  readonly: boolean;
}

/** A session of the wasm. One call at a time. */
export interface RawSession {
  prepare(sql: string, from: number): Prepared | undefined;
  bind(id: number, params: Uint8Array): void;
  step(id: number, maxRows: number, maxBytes: number): Uint8Array;
  runMany(id: number, params: Uint8Array): void;
  reset(id: number): void;
  finalize(id: number): void;
  /** Names of tables, each ended by a NUL; none for all. */
  record(tables: string): number;
  recorded(id: number, patch: boolean): Uint8Array;
  unrecord(id: number): void;
  apply(changes: Uint8Array, onConflict: string): number;
  invert(changes: Uint8Array): Uint8Array;
  settleNow(): boolean;
  settle(): Promise<void>;
  /** Whether `settle` is to be awaited before more is done: what is on its way to the medium takes memory. */
  isBehind(): boolean;
  inTransaction(): boolean;
  /** Whether a transaction may be begun that is committed in one step: none is open, nothing is attached. */
  mayJoin(): boolean;
  /** Whether a transaction is open that keeps all foreign keys, the deferred ones too. */
  isWhole(): boolean;
  tend(idle: boolean): boolean;
  refill(): Promise<boolean>;
  /** Resolves if the database is still this worker's; rejects with `Fenced` or `Lost` if not. */
  owned(): Promise<void>;
  /** Whether calls may read the medium now; if not, `quiet` waits for it. */
  isQuiet(): boolean;
  quiet(): Promise<void>;
  status(): string;
  recovery(): string;
  changes(): number;
  totalChanges(): number;
  lastInsertRowid(): bigint;
  setLastInsertRowid(rowid: bigint): void;
  verify(): string;
  exportStart(): number;
  exportRead(offset: number, length: number): Uint8Array;
  exportEnd(): void;
  importStart(bytes: number): void;
  importWrite(bytes: Uint8Array): void;
  importEnd(witnessed: boolean): void;
  importCancel(): void;
  storeFiles(): string;
  storeRead(name: string, offset: number, length: number): Uint8Array;
  close(): void;
  closed(): Promise<void>;
  release(): void;
}

/** A medium before it is recovered. */
export interface RawMedium {
  start(options: string): RawSession;
  /** As a session's, once `start` has failed. */
  owned(): Promise<void>;
}

/** The methods that may read the medium: each exists as `x` and as `x_jspi`. */
type Reading = {
  [K in keyof RawSession]: RawSession[K] extends (...args: never[]) => Promise<unknown> ? never : K;
}[keyof RawSession];

type Returned<K extends Reading> = ReturnType<RawSession[K]>;

/**
 * How a call waits for what it reads: `never`, because it is at hand; `suspended`, where the browser can suspend wasm;
 * `blocked`, while another worker reads: then nothing may be on its way that needs this worker's event loop.
 */
export type Waiting = "never" | "suspended" | "blocked";

/** How long the browser may take to say whose the database is, ms. */
const OWNED_MS = 30_000;

/** How an opening fails that reads what is not its own any more, and how the browser says that it is so. */
const SUSPECT: ReadonlySet<ErrorKind> = new Set<ErrorKind>(["Corrupt", "AlgoMismatch", "NotAStore", "Unsupported", "Poisoned"]);
const TAKEN: ReadonlySet<ErrorKind> = new Set<ErrorKind>(["Fenced", "Lost"]);

/** A session, called in the form that fits. */
export class Engine {
  /** The session itself, for the calls that never read. */
  readonly raw: RawSession;
  /** Whether calls may be suspended. Nothing else may be called meanwhile. */
  readonly suspends: boolean;
  /** What ended the wasm in the middle of a call: whatever is asked of it afterwards is refused, for the wrong reason. */
  trapped: unknown;
  readonly #blocks: boolean;

  constructor(raw: RawSession, waiting: Waiting) {
    this.raw = raw;
    this.suspends = waiting === "suspended";
    this.#blocks = waiting === "blocked";
  }

  /** Calls `method`; what it returns is a promise if the medium has to be waited for. */
  call<K extends Reading>(method: K, ...args: Parameters<RawSession[K]>): Returned<K> | Promise<Returned<K>> {
    if (this.#blocks && !this.raw.isQuiet()) return this.raw.quiet().then(() => this.call(method, ...args));
    try {
      const result = invoke(this.raw, method, this.suspends, args);
      if (result instanceof Promise) result.catch((error: unknown) => this.#look(error));
      return result as Returned<K> | Promise<Returned<K>>;
    } catch (error) {
      this.#look(error);
      throw error;
    }
  }

  /** What the wasm has to say for itself has a kind; what has none went through it without leaving it in order. */
  #look(error: unknown): void {
    if (typeof (error as { kind?: unknown } | null)?.kind !== "string") this.trapped ??= error;
  }

  /** Rejects with `Fenced` or `Lost` if the database is no longer this worker's, with `Io` if the browser does not say. */
  async owned(): Promise<void> {
    await ownedInTime(this.raw);
  }
}

/** Starts a session on `medium`: reads and recovers what is there. */
export async function start(medium: RawMedium, options: string, waiting: Waiting): Promise<Engine> {
  try {
    return new Engine((await invoke(medium, "start", waiting === "suspended", [options])) as RawSession, waiting);
  } catch (error) {
    if (!SUSPECT.has(partsOf(error).kind)) throw error;
    // What looks damaged may be what another tab has written since it took the database over.
    throw await ownedInTime(medium).then(() => error, (why: unknown) => (TAKEN.has(partsOf(why).kind) ? why : error));
  }
}

function ownedInTime(whose: Pick<RawMedium, "owned">): Promise<void> {
  const error = new DataSyncError("Io", "The browser does not say whose the database is now. Reload the page.");
  return inTime(OWNED_MS, whose.owned(), error);
}

function invoke(target: object, method: string, suspends: boolean, args: unknown[]): unknown {
  const methods = target as Record<string, ((...args: unknown[]) => unknown) | undefined>;
  const chosen = (suspends ? methods[`${method}_jspi`] : undefined) ?? methods[method];
  if (chosen === undefined) throw new TypeError(`the wasm has no ${method}; are it and the worker of one version?`);
  return chosen.apply(target, args);
}
