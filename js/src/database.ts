// An open database: what users hold.
//
// Must not know the worker's inside, nor how it was started. The rule it keeps: after `close`, or when the
// worker is gone, every call says so at once.

import { checkFunction } from "./checks.ts";
import type { Client } from "./client.ts";
import { DataSyncError, errorOf } from "./errors.ts";
import { Listeners, type Listener } from "./events.ts";
import { isolationHeaders } from "./environment.ts";
import type { WireEvent } from "./protocol.ts";
import { batchOn, callOn, Queries, type Port } from "./queries.ts";
import { beginSession, checkChanges, type ChangeSession } from "./session.ts";
import { inTransaction, type Stage, type Transaction } from "./transaction.ts";
import { bytesOf, exportStream, importFrom, type ImportSource } from "./transfer.ts";
import type {
  Backend, BatchItem, BatchResult, CallOptions, DatabaseEvents, Durability, ImportOptions, Integers, RecoveryReport,
  SessionOptions, Stats, StorageInfo, StoreFile, TransactionSettings, VerifyReport,
} from "./types.ts";

/** What `open` knows about a database it has opened. */
export interface Opened {
  name: string;
  backend: Backend;
  recovery: RecoveryReport;
  integers: Integers;
  durability: Durability;
}

/** An open database. Made by `open`. */
export class Database extends Queries {
  /** Its name in this origin. */
  readonly name: string;
  /** Where it lives. */
  readonly backend: Backend;
  /** How it was found when it was opened. */
  readonly recovery: RecoveryReport;
  protected override readonly port: Port;
  readonly #stage: Stage;
  readonly #listeners = new Listeners();
  #inside = false;
  #lastId = 0;
  #closing: Promise<void> | undefined;
  readonly #leave = (): void => this.#release();

  /** Made by `open`. */
  constructor(client: Client, opened: Opened) {
    super();
    const { integers, durability } = opened;
    this.name = opened.name;
    this.backend = opened.backend;
    this.recovery = opened.recovery;
    this.port = { client, tx: undefined, integers, durability, check: () => this.#check() };
    this.#stage = { client, integers, durability, inside: (yes) => void (this.#inside = yes) };
    client.onEvent = (event) => this.#hear(event);
    globalThis.addEventListener?.("pagehide", this.#leave);
    // After whoever awaits `open` has had a turn to listen.
    setTimeout(() => this.#listeners.tell("recovery", this.recovery), 0);
  }

  /** Whether it is closed, or its worker gone. */
  get closed(): boolean {
    return this.#closing !== undefined || this.port.client.over !== undefined;
  }

  /**
   * Runs `body` in a transaction: committed when it resolves, rolled back when it rejects. In `body` use the
   * transaction it is given; calls on the database itself, and other transactions, wait until it is over.
   */
  async transaction<T>(body: (tx: Transaction) => Promise<T> | T, options: TransactionSettings = {}): Promise<T> {
    this.#check();
    return inTransaction(this.#stage, ++this.#lastId, body, options);
  }

  /** Runs all items in one transaction and one message: all of them, or none. */
  async batch(
    items: readonly BatchItem[], options: CallOptions & Pick<TransactionSettings, "mode"> = {},
  ): Promise<BatchResult[]> {
    return batchOn(this.port, items, options);
  }

  /** Begins to record what changes in the tables, whoever changes it through this database. Call its `close`. */
  session(options: SessionOptions = {}): Promise<ChangeSession> {
    return beginSession(this.port, options);
  }

  /** The changeset that takes back what `changes` does: applied after it, nothing has changed. */
  async invertChangeset(changes: Uint8Array | ArrayBuffer, options: CallOptions = {}): Promise<Uint8Array> {
    return callOn(this.port, "invert", { changes: checkChanges(changes) }, options);
  }

  /** Makes everything committed so far durable; only needed with `durability: "applied"`. */
  sync(options: CallOptions = {}): Promise<{ committed: number; durable: number }> {
    return this.#call("sync", options);
  }

  /** The database as one plain SQLite file, as it is now, in pieces; commits go on meanwhile. */
  export(options: CallOptions = {}): ReadableStream<Uint8Array> {
    this.#check();
    return exportStream(this.port, options);
  }

  /** The database as one plain SQLite file, in memory. */
  async exportBytes(options: CallOptions = {}): Promise<Uint8Array> {
    return bytesOf(this.export(options));
  }

  /**
   * Replaces everything by the SQLite file `source`, in one commit: either all of it or nothing. What was set with PRAGMA
   * stays set; temporary tables, attached databases and sessions are over.
   */
  async import(source: ImportSource, options: ImportOptions = {}): Promise<void> {
    this.#check();
    await importFrom(this.port, ++this.#lastId, source, options);
  }

  /** The raw files of the store, as they lie on the medium: a `.datasync` directory natively. */
  exportStore(options: CallOptions = {}): Promise<StoreFile[]> {
    return this.#call("exportStore", options);
  }

  /** Numbers about the database. */
  stats(): Promise<Stats> {
    return this.#call("stats");
  }

  /** Reads and checks every byte. What is found is in the report, and is no error. */
  verify(options: CallOptions = {}): Promise<VerifyReport> {
    return this.#call("verify", options);
  }

  /** Where the database is, why there, and what its promises rest on. */
  async storage(): Promise<StorageInfo> {
    const info = await this.#call("storage");
    const manager = globalThis.navigator?.storage;
    const [estimate, persisted] = await Promise.all([
      manager?.estimate?.().catch(() => undefined),
      manager?.persisted?.().catch(() => undefined),
    ]);
    const isolated = globalThis.crossOriginIsolated === true;
    return { ...info, persisted, quota: estimate?.quota, usage: estimate?.usage, isolated, headers: isolationHeaders() };
  }

  /** Asks the browser never to evict this origin. True if it promised. May ask the user. */
  async persist(): Promise<boolean> {
    return (await globalThis.navigator?.storage?.persist?.()) ?? false;
  }

  /** Calls `listener` for every event of this name. Returns what takes it away again. */
  on<Name extends keyof DatabaseEvents>(name: Name, listener: Listener<Name>): () => void {
    checkFunction("on", listener);
    this.#listeners.add(name, listener);
    this.port.client.watch(this.#listeners.names());
    return () => this.off(name, listener);
  }

  /** Takes `listener` away. */
  off<Name extends keyof DatabaseEvents>(name: Name, listener: Listener<Name>): void {
    this.#listeners.remove(name, listener);
    this.port.client.watch(this.#listeners.names());
  }

  /** Finishes what was called, makes it durable, tidies up, gives the storage back. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** `await using db = await open(...)` closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Kills the worker in the middle of whatever it does, as a crash would: to try what survives. */
  terminate(): void {
    this.port.client.terminate("it was terminated on purpose");
  }

  async #close(): Promise<void> {
    const { client } = this.port;
    if (client.over) return;
    try {
      await client.call("close", {});
    } finally {
      client.terminate("close() was called");
    }
  }

  /** The page goes away. What was acknowledged is durable already; the storage must be free for the next page. */
  #release(): void {
    this.port.client.release("its page was left");
  }

  #call<K extends "sync" | "stats" | "storage" | "verify" | "exportStore">(op: K, options: CallOptions = {}) {
    return callOn(this.port, op, {}, options);
  }

  #check(): void {
    if (this.port.client.over) throw this.port.client.over;
    if (this.#closing) throw new DataSyncError("Closed", "This database is closed. Open it again.");
    if (this.#inside) {
      throw new DataSyncError(
        "Misuse",
        "Inside transaction(async tx => ...) use tx, not the database: a call on the database waits until the " +
          "transaction is over. For a transaction inside a transaction use tx.transaction(...).",
      );
    }
  }

  #hear(event: WireEvent): void {
    if (event.name === "close") globalThis.removeEventListener?.("pagehide", this.#leave);
    if (event.name === "error") {
      const error = errorOf(event.data);
      if (!this.#listeners.tell("error", error)) globalThis.reportError?.(error);
      return;
    }
    this.#listeners.tell(event.name, event.data as never);
  }
}
