// Runs one operation at a time on the engine.
//
// Must not know the queue, nor whose turn it is. The rules it keeps: a statement that was begun is run to its
// end or reset; what was begun for a call that fails is undone; rows leave in bounded chunks.

import type { Engine } from "./engine.ts";
import { DataSyncError } from "./errors.ts";
import { Exports } from "./exports.ts";
import type { Args, Mode, Op, Request, Result, Want, WireItem, WireResult, WireRows, WireStep } from "./protocol.ts";
import { bind, order, Statements, Supply, type Held } from "./statements.ts";
import type { ApplyResult, OnConflict, RunResult, Stats, VerifyReport } from "./types.ts";
import { decodeArrays, encode, head } from "./wire.ts";

const CHUNK_ROWS = 0x7fff_ffff;
const CHUNK_BYTES = 1 << 20;
const BEGIN: Record<Mode, string> = { deferred: "BEGIN", immediate: "BEGIN IMMEDIATE", exclusive: "BEGIN EXCLUSIVE" };

/** The savepoint of a batch that is a part of a transaction. */
const PART = "datasync_batch";

const KIND_OF_TABLE = "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE";

/** Operations that may end in a commit, if they belong to no transaction or end it. */
const COMMITS: ReadonlySet<Op> = new Set<Op>(["run", "statement", "cursor", "fetch", "commit", "batch", "apply"]);

/** What runs here: every operation on an open database. */
export type Runs = Exclude<Op, "open" | "importStore" | "storage" | "sync">;
type Handlers = { [K in Runs]: (args: Args<K>, tx: number | undefined) => Promise<Result<K>> };

/** Rows that are fetched as they are wanted: of a statement that is not over, or kept. */
type Cursor = { tx: number | undefined } & ({ held: Held } | { kept: Uint8Array[]; columns: string[] });

/** The operations of one session. */
export class Runner {
  readonly #engine: Engine;
  readonly #breathe: (stoppable: boolean) => Promise<void>;
  readonly #statements: Statements;
  readonly #exports: Exports;
  readonly #cursors = new Map<number, Cursor>();
  #lastCursor = 0;
  #importing = false;
  /** What the connection does with its commits, and what the call at hand wants of its own. */
  #witnessed = false;
  #wanted = false;
  /** What runs belongs to a transaction of somebody who ends it in another way. */
  #inside = false;
  /** A batch is under way. */
  #batching = false;
  /** The last rowid before a shared transaction. */
  #joinedFrom = 0n;
  /** The call has changed something, and is one that may end in a commit. */
  #changed = false;
  #commits = false;

  /** `breathe` lets messages in between two chunks, and throws when a call that is `stoppable` is no longer wanted. */
  constructor(engine: Engine, breathe: (stoppable: boolean) => Promise<void>) {
    this.#engine = engine;
    this.#breathe = breathe;
    this.#statements = new Statements(engine);
    this.#exports = new Exports(engine);
  }

  /** Runs `op` for the transaction `tx`, or for nobody's. `witnessed`: what it commits is to be that durable. */
  async run<K extends Runs>(op: K, args: Args<K>, tx: number | undefined, witnessed = false): Promise<Result<K>> {
    const handler = this.#handlers[op] as Handlers[K] | undefined;
    if (!handler) throw new DataSyncError("Misuse", `There is no operation "${op}". Are worker and page of one version?`);
    if (witnessed !== this.#witnessed && COMMITS.has(op)) {
      // Applied otherwise: the barrier is the mailbox's, once for a whole turn.
      await this.#plain(`PRAGMA datasync_durability = ${witnessed ? "witnessed" : "applied"}`);
      this.#witnessed = witnessed;
    }
    this.#wanted = witnessed;
    this.#inside = tx !== undefined;
    this.#changed = false;
    this.#commits = op === "commit" || op === "importEnd" || (tx === undefined && COMMITS.has(op));
    return handler(args, tx);
  }

  /** Whether anything may have been committed since this was asked last. */
  hasCommitted(): boolean {
    const changed = this.#commits && this.#changed;
    this.#changed = false;
    return changed;
  }

  readonly #handlers: Handlers = {
    run: ({ sql, params, keep }) => this.#run(sql, new Supply(params), keep),
    prepare: ({ sql }) => this.#prepare(sql),
    statement: async ({ statement, params, want }) => {
      const held = await this.#statements.recall(statement);
      return this.#use(held, new Supply(params), want, true);
    },
    finalize: async ({ statement }) => this.#forget(statement),
    cursor: ({ sql, params, maxRows }, tx) => this.#cursor(sql, new Supply(params), maxRows, tx),
    fetch: ({ cursor, maxRows }) => this.#fetch(cursor, maxRows),
    uncursor: async ({ cursor }) => this.#uncursor(cursor),
    begin: ({ mode }) => this.#begin(mode ?? "immediate"),
    commit: ({ id }) => this.#commit(id),
    rollback: ({ id }) => this.#rollback(id),
    batch: ({ items, mode }, tx) => this.#batch(items, mode, tx !== undefined),
    record: ({ tables }) => this.#record(tables),
    recorded: async ({ recording, patch }) => this.#engine.call("recorded", recording, patch),
    unrecord: async ({ recording }) => void this.#engine.raw.unrecord(recording),
    apply: ({ changes, onConflict }) => this.#apply(changes, onConflict),
    invert: async ({ changes }) => this.#engine.raw.invert(changes),
    stats: async () => this.status(),
    verify: () => this.#verify(),
    exportStart: () => this.#exports.start(),
    exportRead: ({ exporting, offset, length }) => this.#exports.read(exporting, offset, length),
    exportEnd: async ({ exporting }) => this.#exports.end(exporting),
    importStart: ({ bytes }) => this.#importStart(bytes),
    importWrite: async ({ bytes }) => void (await this.#engine.call("importWrite", bytes)),
    importEnd: () => this.#importEnd(),
    importCancel: () => this.#importCancel(),
    exportStore: () => this.#exports.storeFiles(),
    close: () => this.#close(),
  };

  /** Numbers about the database. */
  status(): Stats {
    return JSON.parse(this.#engine.raw.status()) as Stats;
  }

  /** Whether a transaction is open, whoever began it. */
  inTransaction(): boolean {
    return this.#engine.raw.inTransaction();
  }

  /** Frees the cursors of the transaction `tx`. */
  endOf(tx: number): void {
    for (const [id, cursor] of this.#cursors) if (cursor.tx === tx) this.#uncursor(id);
  }

  /** Whether `request` is one statement that may share a commit. `begins`: it also has to change something. */
  joins(request: Request, witnessed: boolean, begins: boolean): boolean {
    if (witnessed !== this.#witnessed || this.#cursors.size > 0) return false;
    if (request.op === "statement") return this.#statements.joins(request.statement, begins);
    return request.op === "run" && this.#statements.joins(request.sql, begins);
  }

  /** Begins a transaction for several calls. */
  async join(): Promise<void> {
    this.#joinedFrom = this.#engine.raw.lastInsertRowid();
    await this.#plain("BEGIN");
  }

  /** Whether a transaction for several calls may be begun. */
  mayJoin(): boolean {
    return this.#engine.raw.mayJoin();
  }

  /** Whether that transaction is still open, and keeps what each of its calls alone would have to keep. */
  isJoined(): boolean {
    return this.#engine.raw.isWhole();
  }

  async commitJoined(): Promise<void> {
    await this.#plain("COMMIT");
  }

  /** As if none of its calls had run. */
  async undoJoined(): Promise<void> {
    if (this.inTransaction()) await this.#plain("ROLLBACK");
    this.#engine.raw.setLastInsertRowid(this.#joinedFrom);
  }

  async #run(sql: string, supply: Supply, keep: Args<"run">["keep"]): Promise<Result<"run">> {
    const { raw } = this.#engine;
    let statements = 0, changes = 0, from = 0, inside = true;
    let steps: WireStep[] = [];
    try {
      for (let last = false; !last; statements += 1) {
        const held = await this.#statements.take(sql, from);
        if (!held) break;
        last = Statements.last(held);
        if (statements === 0 && !last) inside = raw.inTransaction();
        const { rows, ...done } = await this.#use(held, supply, keep === "nothing" ? "nothing" : "rows", last);
        from = held.prepared.tail;
        const step = { end: from, rows, ...done };
        if (keep === "all") steps.push(step);
        else if (rows) steps = [step];
        changes += done.changes;
        if (!last) await this.#pause();
      }
    } catch (error) {
      // A transaction that a script has begun does not outlive its failure: others' calls would run in it.
      if (!inside && this.inTransaction()) await this.#plain("ROLLBACK");
      throw error;
    }
    return { changes, lastInsertRowid: shrink(raw.lastInsertRowid()), statements, steps };
  }

  /** Binds and runs `held`, and gives it back. `last`: the supply must be used up. */
  async #use(held: Held, supply: Supply, want: Want, last: boolean): Promise<WireResult> {
    const { raw } = this.#engine;
    try {
      if (this.#inside) Statements.inside(held);
      bind(this.#engine, held, supply.next(held, last));
      const before = raw.totalChanges();
      if (!Statements.looks(held)) this.#changed = true;
      const rows = await this.#rows(held, want);
      const changes = raw.totalChanges() === before ? 0 : raw.changes();
      return { changes, lastInsertRowid: shrink(raw.lastInsertRowid()), rows };
    } finally {
      this.#statements.give(held);
    }
  }

  /** Between two chunks. A batch is rolled back as a whole; nothing else is: what has changed something runs to its end. */
  #pause(): Promise<void> {
    return this.#breathe(this.#batching || !this.#changed);
  }

  /** Steps `held` to its end. What fails on the way resets it. */
  async #rows(held: Held, want: Want): Promise<WireRows | undefined> {
    const { id, columns, readonly } = held.prepared;
    const chunks: Uint8Array[] = [];
    // A statement that changes something runs to its end, whatever is wanted of its rows.
    const firstOnly = want === "first" && readonly;
    try {
      for (;;) {
        const chunk = await this.#step(held, firstOnly ? 1 : CHUNK_ROWS);
        const { done, rows } = head(chunk);
        if (want !== "nothing" && (rows > 0 || chunks.length === 0)) chunks.push(chunk);
        if (done) break;
        if (firstOnly) {
          this.#engine.raw.reset(id);
          break;
        }
        await this.#pause();
      }
    } catch (error) {
      this.#reset(id);
      throw error;
    }
    return want === "nothing" || columns.length === 0 ? undefined : { columns, chunks };
  }

  async #step(held: Held, rows: number): Promise<Uint8Array> {
    const chunk = await this.#engine.call("step", held.prepared.id, rows, CHUNK_BYTES);
    // What another tab has written since it took the database over would look like damage.
    if (Statements.checks(held)) await this.#engine.owned();
    return chunk;
  }

  /** Resetting says again what the step said. */
  #reset(id: number): void {
    try {
      this.#engine.raw.reset(id);
    } catch {
      // The step's own error is being told.
    }
  }

  async #one(sql: string, what: string): Promise<Held> {
    const held = await this.#statements.take(sql, 0);
    if (!held) throw new DataSyncError("Misuse", `There is no statement in what ${what} was given.`);
    if (held.alone) return held;
    this.#statements.give(held);
    throw new DataSyncError("Misuse", `${what} takes one statement; this is more than one. Use exec or query for several.`);
  }

  async #prepare(sql: string): Promise<Result<"prepare">> {
    const held = await this.#one(sql, "prepare");
    const { columns, parameters, readonly } = held.prepared;
    return { statement: this.#statements.keep(held), columns, parameters, readonly };
  }

  #forget(statement: number): undefined {
    this.#statements.forget(statement);
  }

  async #cursor(sql: string, supply: Supply, maxRows: number, tx: number | undefined): Promise<Result<"cursor">> {
    const held = await this.#one(sql, "iterate");
    const cursor = ++this.#lastCursor;
    if (!held.prepared.readonly) {
      // Left half-run it would keep every other statement's commit from happening: it ends now, its rows are kept.
      const { rows } = await this.#use(held, supply, "rows", true);
      this.#cursors.set(cursor, { tx, kept: rows?.chunks ?? [encode([], 0)], columns: rows?.columns ?? [] });
      return { cursor, ...(await this.#fetch(cursor, maxRows)) };
    }
    this.#cursors.set(cursor, { held, tx });
    try {
      if (this.#inside) Statements.inside(held);
      bind(this.#engine, held, supply.next(held, true));
    } catch (error) {
      this.#uncursor(cursor);
      throw error;
    }
    return { cursor, ...(await this.#fetch(cursor, maxRows)) };
  }

  async #fetch(cursor: number, maxRows: number): Promise<Result<"fetch">> {
    const open = this.#cursors.get(cursor);
    if (!open) throw new DataSyncError("Expired", "These rows are no longer there: their transaction is over. Ask again.");
    if ("kept" in open) {
      const chunk = open.kept.shift() as Uint8Array;
      const done = open.kept.length === 0;
      if (done) this.#cursors.delete(cursor);
      return { columns: open.columns, chunk, done };
    }
    const { columns } = open.held.prepared;
    try {
      const chunk = await this.#step(open.held, maxRows);
      const { done } = head(chunk);
      if (done) this.#uncursor(cursor);
      return { columns, chunk, done };
    } catch (error) {
      this.#uncursor(cursor);
      throw error;
    }
  }

  #uncursor(cursor: number): undefined {
    const open = this.#cursors.get(cursor);
    if (!open) return;
    this.#cursors.delete(cursor);
    if ("kept" in open) return;
    this.#reset(open.held.prepared.id);
    this.#statements.give(open.held);
  }

  async #begin(mode: Mode): Promise<undefined> {
    if (this.inTransaction()) {
      throw new DataSyncError("Misuse", "A transaction that was begun with BEGIN is open. End it with COMMIT or ROLLBACK first.");
    }
    await this.#plain(BEGIN[mode]);
  }

  async #plain(sql: string): Promise<RunResult> {
    this.#inside = false;
    return this.#run(sql, new Supply(undefined), "nothing");
  }

  async #commit(tx: number): Promise<RunResult> {
    this.endOf(tx);
    const { changes, lastInsertRowid } = await this.#plain("COMMIT");
    return { changes, lastInsertRowid };
  }

  async #rollback(tx: number): Promise<undefined> {
    this.endOf(tx);
    if (this.#importing) await this.#importCancel();
    if (this.inTransaction()) await this.#plain("ROLLBACK");
  }

  /** Runs `items` in a transaction of their own; `inside` another one as a part of that. */
  async #batch(items: WireItem[], mode: Mode, inside: boolean): Promise<WireResult[]> {
    if (inside) await this.#plain(`SAVEPOINT ${PART}`);
    else await this.#begin(mode);
    let item = 0;
    this.#batching = true;
    try {
      const results: WireResult[] = [];
      this.#inside = true;
      for (; item < items.length; item += 1) {
        results.push(await this.#item(items[item] as WireItem));
      }
      await this.#plain(inside ? `RELEASE ${PART}` : "COMMIT");
      return results;
    } catch (error) {
      // What undoes it is not stopped by the signal that stopped it.
      this.#batching = false;
      if (this.inTransaction()) await this.#undo(inside);
      if (error instanceof Error && item < items.length) error.message = `Item ${item}: ${error.message}`;
      throw error;
    } finally {
      this.#batching = false;
    }
  }

  async #undo(part: boolean): Promise<void> {
    try {
      if (part) await this.#plain(`ROLLBACK TO ${PART}; RELEASE ${PART}`);
    } catch {
      // What it did must not be committed with the rest: then the rest goes too, and its owner is told.
      part = false;
    }
    if (!part && this.inTransaction()) await this.#plain("ROLLBACK");
  }

  async #item(item: WireItem): Promise<WireResult> {
    if (item.rows === undefined) {
      const { steps, changes, lastInsertRowid } = await this.#run(item.sql, new Supply(item.params), "rows");
      return { changes, lastInsertRowid, rows: steps[0]?.rows };
    }
    const { raw } = this.#engine;
    const before = raw.totalChanges();
    const held = await this.#one(item.sql, "a batch item with rows");
    try {
      Statements.inside(held);
      if (item.count > 0) await this.#engine.call("runMany", held.prepared.id, ordered(held, item));
    } catch (error) {
      this.#reset(held.prepared.id);
      throw error;
    } finally {
      this.#statements.give(held);
    }
    return { changes: raw.totalChanges() - before, lastInsertRowid: shrink(raw.lastInsertRowid()), rows: undefined };
  }

  async #verify(): Promise<VerifyReport> {
    const report = JSON.parse(await this.#engine.call("verify")) as VerifyReport;
    // What another tab has written since it took the database over would look like damage.
    if (!report.ok) await this.#engine.owned();
    return report;
  }

  async #record(tables: string[]): Promise<Result<"record">> {
    for (const table of tables) {
      const { steps } = await this.#run(KIND_OF_TABLE, new Supply([table]), "rows");
      const kind = steps[0]?.rows?.chunks.flatMap((chunk) => decodeArrays(chunk))[0]?.[0];
      // SQLite would wait in silence for such a table to come.
      if (kind === undefined) throw new DataSyncError("Sql", `There is no table "${table}" that could be recorded.`);
      if (kind === "table" || kind === "shadow") continue;
      throw new DataSyncError("Misuse", `"${table}" is a ${String(kind)}${kind === "virtual" ? " table" : ""}, and only ordinary tables are recorded.`);
    }
    return { recording: await this.#engine.call("record", tables.map((table) => `${table}\0`).join("")) };
  }

  async #apply(changes: Uint8Array, onConflict: OnConflict): Promise<ApplyResult> {
    // In a transaction it is a part of that; else it is one of its own.
    const alone = !this.inTransaction();
    if (alone) await this.#begin("immediate");
    try {
      const conflicts = await this.#engine.call("apply", changes, onConflict);
      if (alone) await this.#plain("COMMIT");
      return { conflicts };
    } catch (error) {
      if (alone && this.inTransaction()) await this.#plain("ROLLBACK");
      throw error;
    }
  }

  async #importStart(bytes: number): Promise<undefined> {
    if (this.inTransaction()) throw new DataSyncError("Misuse", "A transaction is open. End it, then import.");
    this.#exports.end();
    for (const cursor of [...this.#cursors.keys()]) this.#uncursor(cursor);
    this.#statements.changed();
    await this.#engine.call("importStart", bytes);
    this.#importing = true;
  }

  async #importEnd(): Promise<undefined> {
    await this.#engine.call("importEnd", this.#wanted);
    this.#importing = false;
    this.#changed = true;
    // It came with a new connection.
    this.#witnessed = false;
    this.#statements.changed();
    // The import is committed: what a database refuses to be set (a damaged one) is no failure of it.
    for (const sql of this.#statements.settings()) await this.#plain(sql).catch(() => {});
  }

  async #importCancel(): Promise<undefined> {
    if (this.#importing) await this.#engine.call("importCancel");
    this.#importing = false;
    this.#statements.changed();
  }

  async #close(): Promise<undefined> {
    for (const cursor of [...this.#cursors.keys()]) this.#uncursor(cursor);
    this.#exports.end();
    let failed: unknown;
    try {
      if (this.inTransaction()) await this.#plain("ROLLBACK");
      this.#statements.clear();
      await this.#engine.call("close");
    } catch (error) {
      if (this.#engine.trapped !== undefined) throw error;
      failed = error;
    }
    // Whatever failed: what is queued for IndexedDB goes out, and the place is given back.
    await this.#engine.raw.closed();
    if (failed !== undefined) throw failed;
  }
}

/** The rows of `item` in the order of the statement's parameters. */
function ordered(held: Held, item: Extract<WireItem, { count: number }>): Uint8Array {
  const wants = held.prepared.parameters.length;
  if (item.names === undefined) {
    const { columns } = head(item.rows);
    if (columns === wants) return item.rows;
    throw new DataSyncError("Misuse", `the statement takes ${wants} parameter(s), and its rows have ${columns} values.`);
  }
  const places = order(held, item.names);
  if (places.length === item.names.length && places.every((place, index) => place === index)) return item.rows;
  const rows = decodeArrays(item.rows, "bigint").map((row) => places.map((at) => row[at] ?? null));
  return encode(rows, places.length);
}

/** A number where it is exact. */
function shrink(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
