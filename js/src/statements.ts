// The worker's prepared statements: a bounded cache by text, those the page keeps, and binding by name.
//
// Must not know the queue. The rule it keeps: a statement is used by one call at a time; one whose schema may
// have changed is compiled again before it is used, so that its columns are what it says.

import type { Engine, Prepared } from "./engine.ts";
import { DataSyncError } from "./errors.ts";
import type { WireParams } from "./protocol.ts";
import type { SqlValue } from "./types.ts";
import { encodeRow } from "./wire.ts";

/** Statements kept by their text. */
const CACHED = 64;
/** Where in `sql`, from `at` on, the first thing stands that is neither white space, nor `;`, nor a comment. */
function skip(sql: string, at: number): number {
  for (;;) {
    // Looked for, not run over: a pattern of repeated comments tries each in every length, and with 40 never ends.
    const something = /[^\s;]/g;
    something.lastIndex = at;
    at = something.exec(sql)?.index ?? sql.length;
    const ends = sql.startsWith("--", at) ? "\n" : sql.startsWith("/*", at) ? "*/" : undefined;
    if (ends === undefined) return at;
    const end = sql.indexOf(ends, at + 2);
    at = end < 0 ? sql.length : end + ends.length;
  }
}

/** Finds in a statement one of these words where it begins. */
function beginning(words: string): (text: string) => RegExpExecArray | null {
  const pattern = new RegExp(`(?:${words})`, "iy");
  return (text) => {
    pattern.lastIndex = skip(text, 0);
    return pattern.exec(text);
  };
}

/** What the text of a statement says of it. Looked at once: a statement is used again and again. */
export interface Nature {
  /** Columns of others may have other names after it. */
  schema: boolean;
  /** It begins or ends a transaction. */
  boundary: boolean;
  looks: boolean;
  checks: boolean;
  joins: boolean;
}

export function natureOf(text: string): Nature {
  return {
    schema: schema(text) !== null,
    boundary: boundary(text) !== null,
    looks: looks(text) !== null,
    checks: CHECKS.test(text),
    joins: joins(text) !== null && !COUNTS.test(text),
  };
}

/** Statements after which columns may have other names. */
const schema = beginning(String.raw`(?:create|drop|alter|attach|detach|pragma(?!\s+datasync_)|rollback|reindex|vacuum)\b`);
/** Statements that begin or end transactions; ROLLBACK TO a savepoint does not. */
const boundary = beginning(String.raw`(?:begin|commit|end|rollback(?!\s+(?:transaction\s+)?to))\b`);
/** Statements that only look. To SQLite others are read-only too: COMMIT, RELEASE, ATTACH. */
const looks = beginning(String.raw`(?:select|values|with|explain)\b`);
/** Statements that may be one of several in a transaction that is not theirs, and nobody can tell. */
const joins = beginning(String.raw`(?:insert|update|delete|replace|select|values|with)\b`);
/** Statements that set what belongs to the connection, and not to the database. */
const setting = beginning(String.raw`pragma\s+(?:\w+\s*\.\s*)?(analysis_limit|automatic_index|busy_timeout|cache_size|` +
  "cache_spill|case_sensitive_like|cell_size_check|count_changes|foreign_keys|full_column_names|ignore_check_constraints|" +
  "legacy_alter_table|max_page_count|query_only|read_uncommitted|recursive_triggers|reverse_unordered_selects|" +
  String.raw`secure_delete|short_column_names|synchronous|temp_store|threads|trusted_schema|writable_schema)\s*[=(]`);
/** Statements that look for damage. */
const CHECKS = /(?:integrity|quick)_check/i;
/** But these tell what ran before them, and would tell of a run that was undone. */
const COUNTS = /changes\b/i;

/** A statement in use. */
export interface Held {
  prepared: Prepared;
  sql: string;
  /** The part of `sql` that is this statement. */
  text: string;
  /** The whole text was this one statement. */
  alone: boolean;
  /** Which schema it was compiled under. */
  schema: number;
  /** It is the page's: given back to it, not to the cache. */
  kept: boolean;
  nature: Nature;
}

/** All statements of one session. */
export class Statements {
  readonly #engine: Engine;
  readonly #cache = new Map<string, Held>();
  readonly #kept = new Map<number, Held>();
  readonly #settings = new Map<string, string>();
  #last = 0;
  #schema = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The statement that begins at `from` in `sql`; `undefined` if none is left. */
  async take(sql: string, from: number): Promise<Held | undefined> {
    const cached = from === 0 ? this.#cache.get(sql) : undefined;
    if (cached) {
      this.#cache.delete(sql);
      if (cached.schema === this.#schema) return cached;
      this.#engine.raw.finalize(cached.prepared.id);
    }
    const prepared = await this.#engine.call("prepare", sql, from);
    if (!prepared) return undefined;
    const alone = from === 0 && skip(sql, prepared.tail) === sql.length;
    const text = sql.slice(from, prepared.tail);
    return { prepared, sql, text, alone, schema: this.#schema, kept: false, nature: natureOf(text) };
  }

  /** Whether the statement of this number or text may share its commit, as far as is known before it is compiled. */
  joins(statement: number | string, begins: boolean): boolean {
    const held = typeof statement === "number" ? this.#kept.get(statement) : this.#cache.get(statement);
    return held !== undefined && held.alone && held.nature.joins && !(begins && held.prepared.readonly);
  }

  /** Gives back a statement that `take` or `recall` gave; it has been reset. */
  give(held: Held): void {
    if (held.nature.schema) {
      this.#schema += 1;
      this.#remember(held.text);
    }
    if (held.kept) return;
    if (!held.alone || this.#cache.has(held.sql)) {
      this.#engine.raw.finalize(held.prepared.id);
      return;
    }
    this.#cache.set(held.sql, held);
    if (this.#cache.size <= CACHED) return;
    const [oldest] = this.#cache;
    if (!oldest) return;
    this.#cache.delete(oldest[0]);
    this.#engine.raw.finalize(oldest[1].prepared.id);
  }

  /** Whether nothing but white space and comments follows `held`. */
  static last(held: Held): boolean {
    return held.alone || skip(held.sql, held.prepared.tail) === held.sql.length;
  }

  /** Whether `held`, stopped half-way, leaves nothing behind. */
  static looks(held: Held): boolean {
    return held.prepared.readonly && held.nature.looks;
  }

  /** Whether `held` looks for damage, and would tell of it in rows. */
  static checks(held: Held): boolean {
    return held.prepared.readonly && held.nature.checks;
  }

  /** Throws if `held` would begin or end a transaction. */
  static inside(held: Held): void {
    if (!held.nature.boundary) return;
    throw new DataSyncError(
      "Misuse",
      `"${brief(held)}" inside a transaction that is not its own. A batch is one transaction, and transaction() commits ` +
        "when its function returns and rolls back when it throws: leave BEGIN, COMMIT and ROLLBACK out.",
    );
  }

  /** Keeps `held` for the page; its number. */
  keep(held: Held): number {
    const id = ++this.#last;
    this.#kept.set(id, { ...held, kept: true });
    return id;
  }

  /** The statement that is kept as `id`, compiled again if the schema may have changed. */
  async recall(id: number): Promise<Held> {
    const held = this.#kept.get(id);
    if (!held) throw new DataSyncError("Misuse", "This statement was finalized. Prepare it again.");
    if (held.schema !== this.#schema) {
      const prepared = await this.#engine.call("prepare", held.sql, 0);
      if (!prepared) throw new DataSyncError("Misuse", "This statement is empty.");
      this.#engine.raw.finalize(held.prepared.id);
      held.prepared = prepared;
      held.schema = this.#schema;
    }
    return held;
  }

  /** Forgets the statement kept as `id`. */
  forget(id: number): void {
    const held = this.#kept.get(id);
    if (!held) return;
    this.#kept.delete(id);
    this.#engine.raw.finalize(held.prepared.id);
  }

  /** The statements that have set something of the connection, the newest of each kind: what a new one lacks. */
  settings(): string[] {
    return [...this.#settings.values()];
  }

  #remember(text: string): void {
    const name = setting(text)?.[1]?.toLowerCase();
    // SQLite leaves this one as it is inside a transaction.
    if (name === undefined || (name === "foreign_keys" && this.#engine.raw.inTransaction())) return;
    this.#settings.delete(name);
    this.#settings.set(name, text);
  }

  /** Everything is compiled again before it is used: the whole database was replaced. */
  changed(): void {
    this.#schema += 1;
  }

  /** Forgets every statement: the session is about to close, or to be replaced. */
  clear(): void {
    for (const held of [...this.#cache.values(), ...this.#kept.values()]) this.#engine.raw.finalize(held.prepared.id);
    this.#cache.clear();
    this.#kept.clear();
  }
}

/** Hands the parameters of one call to its statements, one after the other. */
export class Supply {
  readonly #params: WireParams | undefined;
  #used = 0;

  constructor(params: WireParams | undefined) {
    this.#params = params;
  }

  /** The values for `held`, in its order. `last`: nothing may be left over. */
  next(held: Held, last: boolean): SqlValue[] {
    const { parameters } = held.prepared;
    const params = this.#params;
    if (params === undefined) {
      if (parameters.length > 0) throw count(held, 0);
      return [];
    }
    if (!Array.isArray(params)) return byName(held, params, last);
    const left = params.length - this.#used;
    if (left < parameters.length || (last && left > parameters.length)) throw count(held, left);
    const from = this.#used;
    this.#used += parameters.length;
    return params.slice(from, this.#used);
  }
}

/** Where in `names` each parameter of `held` is. */
export function order(held: Held, names: readonly string[]): number[] {
  const bare = names.map((name) => name.replace(/^[:@$]/, ""));
  return held.prepared.parameters.map((parameter, index) => {
    if (parameter === null || parameter.startsWith("?")) {
      throw new DataSyncError("Misuse", `Parameter ${index + 1} has no name: pass the parameters as an array. In: ${brief(held)}`);
    }
    const exact = names.indexOf(parameter);
    const at = exact >= 0 ? exact : bare.indexOf(parameter.slice(1));
    if (at < 0) throw new DataSyncError("Misuse", `No value was given for parameter ${parameter}. In: ${brief(held)}`);
    return at;
  });
}

function byName(held: Held, params: { names: string[]; values: SqlValue[] }, last: boolean): SqlValue[] {
  const places = order(held, params.names);
  if (held.alone && last && places.length < params.names.length) {
    const extra = params.names.filter((_, index) => !places.includes(index));
    throw new DataSyncError("Misuse", `There is no parameter ${extra.join(", ")} in: ${brief(held)}`);
  }
  return places.map((at) => params.values[at] as SqlValue);
}

function count(held: Held, given: number): DataSyncError {
  const wants = held.prepared.parameters.length;
  return new DataSyncError("Misuse", `The statement takes ${wants} parameter(s), and ${given} were given. In: ${brief(held)}`);
}

function brief(held: Held): string {
  const text = held.text.trim().replace(/\s+/g, " ");
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Binds `values` by position. */
export function bind(engine: Engine, held: Held, values: SqlValue[]): void {
  if (values.length > 0) engine.raw.bind(held.prepared.id, encodeRow(values));
}
