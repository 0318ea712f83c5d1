// A compiled statement, kept in the worker.
//
// The rule it keeps: it stays right when the schema changes (the worker compiles it again), and after
// `finalize` every call says so.

import { DataSyncError } from "./errors.ts";
import type { WireRows, WireStatement } from "./protocol.ts";
import { callOn, iterateOn, type IterateOptions, type Port } from "./queries.ts";
import { fromWire, toWire } from "./rows.ts";
import type { CallOptions, Params, QueryOptions, Row, RunResult, SqlValue } from "./types.ts";

/** One compiled statement. */
export class Statement {
  /** The SQL it was made from. */
  readonly sql: string;
  /** The names of the columns it returns; empty if it returns no rows. */
  readonly columns: readonly string[];
  /** Its parameters in order: a name with its sign, or null for `?`. */
  readonly parameters: readonly (string | null)[];
  /** Whether it changes nothing. */
  readonly readonly: boolean;
  readonly #port: Port;
  readonly #id: number;
  #finalized = false;

  /** Made by `prepare`. */
  constructor(port: Port, sql: string, made: WireStatement) {
    this.#port = port;
    this.#id = made.statement;
    this.sql = sql;
    this.columns = made.columns;
    this.parameters = made.parameters;
    this.readonly = made.readonly;
  }

  /** Runs it to its end. */
  async run(params?: Params, options: CallOptions = {}): Promise<RunResult> {
    const { changes, lastInsertRowid } = await this.#call(params, "nothing", options);
    return { changes, lastInsertRowid };
  }

  /** Its first row, or `undefined`. */
  get(params: Params | undefined, options: QueryOptions & { rowMode: "array" }): Promise<SqlValue[] | undefined>;
  get<T = Row>(params?: Params, options?: QueryOptions): Promise<T | undefined>;
  async get(params?: Params, options: QueryOptions = {}): Promise<Row | SqlValue[] | undefined> {
    const { rows } = await this.#call(params, "first", options);
    return fromWire(rows, options, this.#port.integers)[0];
  }

  /** All its rows. */
  all(params: Params | undefined, options: QueryOptions & { rowMode: "array" }): Promise<SqlValue[][]>;
  all<T = Row>(params?: Params, options?: QueryOptions): Promise<T[]>;
  async all(params?: Params, options: QueryOptions = {}): Promise<Row[] | SqlValue[][]> {
    const { rows } = await this.#call(params, "rows", options);
    return fromWire(rows, options, this.#port.integers);
  }

  /** Its rows in chunks as they are wanted. Leaving the loop early frees what the worker holds for it. */
  iterate(params: Params | undefined, options: IterateOptions & { rowMode: "array" }): AsyncGenerator<SqlValue[], void, undefined>;
  iterate<T = Row>(params?: Params, options?: IterateOptions): AsyncGenerator<T, void, undefined>;
  iterate(params?: Params, options: IterateOptions = {}): AsyncGenerator<Row | SqlValue[], void, undefined> {
    this.#check();
    return iterateOn(this.#port, this.sql, params, options);
  }

  /** Gives back what the worker keeps for it. May be called again. */
  async finalize(): Promise<void> {
    if (this.#finalized) return;
    this.#finalized = true;
    if (this.#port.client.over) return;
    await this.#port.client.call("finalize", { statement: this.#id }, { tx: this.#port.tx });
  }

  /** `await using statement = await db.prepare(...)` finalizes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.finalize();
  }

  #call(
    params: Params | undefined, want: "nothing" | "first" | "rows", options: CallOptions,
  ): Promise<RunResult & { rows: WireRows | undefined }> {
    this.#check();
    return callOn(this.#port, "statement", { statement: this.#id, params: toWire(params), want }, options);
  }

  #check(): void {
    if (this.#finalized) {
      throw new DataSyncError("Misuse", "This statement was finalized. Prepare it again.");
    }
  }
}
