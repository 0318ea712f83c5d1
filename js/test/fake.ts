// A session without wasm, for the tests of the queue: a list of values and a few words.
//
// PUT ? (or INSERT ?, but for "taken") appends, GET (or SELECT) returns all, BEGIN / COMMIT / ROLLBACK, FAIL fails, ABORT
// fails and rolls back, DAMAGED reads a damaged block, TRAP traps.
// As in SQLite, what only begins or ends a transaction is read-only. `barrier` decides how a settle ends.

import { Engine, type Prepared, type RawSession } from "../src/engine.ts";
import { Mailbox, type World } from "../src/mailbox.ts";
import { SyncTimer } from "../src/autosync.ts";
import type { Answer, Call, FromWorker, Request, ToWorker } from "../src/protocol.ts";
import type { Durability } from "../src/types.ts";
import { decodeArrays, encode } from "../src/wire.ts";

export class FakeSession {
  values: unknown[] = [];
  durable = 0;
  settles = 0;
  tends = 0;
  released = false;
  pragmas: string[] = [];
  /** Transactions that ended with COMMIT. */
  commits = 0;
  /** What COMMIT throws; the transaction stays open. */
  refusal: Error | undefined;
  attached = false;
  /** While this is so, a foreign key is broken that COMMIT would complain about. */
  owes: () => boolean = () => false;
  rowid = 0n;
  /** `undefined`: the barrier is over at once. */
  barrier: (() => Promise<void>) | undefined;
  /** What ROLLBACK TO throws. */
  stuck: Error | undefined;
  #savepoints: unknown[][] = [];
  #before: unknown[] | undefined;
  #statements = new Map<number, { sql: string; params: unknown[]; at: number }>();
  #last = 0;
  #changes = 0;
  #trapped = false;

  prepare(sql: string, from: number): Prepared | undefined {
    const rest = sql.slice(from);
    const blank = /^(?:[\s;]|--[^\n]*\n)*/.exec(rest)?.[0].length ?? 0;
    if (blank === rest.length) return undefined;
    const semicolon = rest.indexOf(";", blank);
    const end = semicolon < 0 ? rest.length : semicolon + 1;
    const text = rest.slice(blank, end).replace(/;$/, "").trim();
    const word = /^ROLLBACK TO/i.test(text) ? "UNDO" : (text.split(" ")[0] ?? "").toUpperCase();
    if (!/^(PUT|INSERT|GET|SELECT|BEGIN|COMMIT|ROLLBACK|FAIL|ABORT|TRAP|DAMAGED|SAVEPOINT|RELEASE|UNDO|PRAGMA)$/.test(word)) {
      throw Object.assign(new Error(`near "${word}": syntax error`), { kind: "Sql", code: 1 });
    }
    if (word === "PRAGMA") this.pragmas.push(text);
    this.#last += 1;
    this.#statements.set(this.#last, { sql: word, params: [], at: 0 });
    const parameters = [...text.matchAll(/[?]|:\w+/g)].map(([name]) => (name === "?" ? null : name));
    const columns = /^(GET|SELECT)$/.test(word) ? ["value"] : [];
    const readonly = !/^(PUT|INSERT|FAIL|ABORT|TRAP|DAMAGED)$/.test(word);
    return { id: this.#last, tail: from + end, columns, parameters, readonly };
  }
  bind(id: number, chunk: Uint8Array): void {
    this.#of(id).params = decodeArrays(chunk)[0] ?? [];
  }
  step(id: number, maxRows: number): Uint8Array {
    const statement = this.#of(id);
    const rows: unknown[][] = [];
    switch (statement.sql) {
      case "PUT":
      case "INSERT":
        if (statement.params[0] === "taken") throw unique();
        this.values.push(statement.params[0]);
        this.rowid = BigInt(this.values.length);
        this.#changes += 1;
        break;
      case "GET":
      case "SELECT": {
        rows.push(...this.values.slice(statement.at, statement.at + maxRows).map((value) => [value]));
        statement.at += rows.length;
        const chunk = encode(rows as never, 1);
        if (statement.at >= this.values.length) this.#done(chunk, statement);
        return chunk;
      }
      case "BEGIN":
        this.#before = [...this.values];
        break;
      case "SAVEPOINT":
        this.#savepoints.push([...this.values]);
        break;
      case "RELEASE":
        this.#savepoints.pop();
        break;
      case "UNDO":
        if (this.stuck) throw this.stuck;
        this.values = [...(this.#savepoints.at(-1) ?? [])];
        break;
      case "COMMIT":
        if (this.refusal) throw this.refusal;
        this.commits += 1;
        this.#before = undefined;
        break;
      case "ROLLBACK":
        this.values = this.#before ?? this.values;
        this.#before = undefined;
        break;
      case "FAIL":
        throw unique();
      case "ABORT":
        this.values = this.#before ?? this.values;
        this.#before = undefined;
        throw Object.assign(new Error("disk full"), { kind: "Full", code: 13 });
      case "DAMAGED":
        throw Object.assign(new Error("block 7 is not what was written"), { kind: "Corrupt", code: 10 });
      case "TRAP":
        this.#trapped = true;
        throw new WebAssembly.RuntimeError("unreachable");
    }
    const chunk = encode([], 0);
    this.#done(chunk, statement);
    return chunk;
  }
  runMany(id: number, chunk: Uint8Array): void {
    for (const row of decodeArrays(chunk)) {
      this.#of(id).params = row;
      this.step(id, 0);
    }
  }
  /** The word that a statement is. */
  wordOf(id: number): string {
    return this.#of(id).sql;
  }
  reset(id: number): void {
    this.#of(id).at = 0;
  }
  finalize(id: number): void {
    this.#inOrder();
    if (!this.#statements.delete(id)) throw new Error(`statement ${id} was finalized twice`);
  }
  apply(changes: Uint8Array): number {
    if (changes.length === 0) throw Object.assign(new Error("it does not fit"), { kind: "Conflict" });
    this.values.push(...changes);
    return 0;
  }
  settleNow(): boolean {
    if (this.barrier && this.durable < this.values.length) return false;
    if (this.durable < this.values.length) this.settles += 1;
    this.durable = this.values.length;
    return true;
  }
  async settle(): Promise<void> {
    this.settles += 1;
    const upTo = this.values.length;
    await this.barrier?.();
    this.durable = upTo;
  }
  /** Values that may be undurable before new ones wait. */
  most = Infinity;
  isBehind(): boolean {
    return this.values.length - this.durable > this.most;
  }
  inTransaction(): boolean {
    this.#inOrder();
    return this.#before !== undefined;
  }
  mayJoin(): boolean {
    return !this.inTransaction() && !this.attached;
  }
  isWhole(): boolean {
    return this.inTransaction() && !this.owes();
  }
  tend(): boolean {
    this.tends += 1;
    return false;
  }
  async refill(): Promise<boolean> {
    return false;
  }
  /** Rejects when another tab has taken the database over. */
  owned: () => Promise<void> = async () => {};
  status(): string {
    const committed = this.values.length;
    return JSON.stringify({ committed, durable: this.durable, folds: 0, logBytes: 0, segments: 1, bytesAppended: 100 * committed });
  }
  totalChanges(): number {
    return this.#changes;
  }
  changes(): number {
    return 1;
  }
  lastInsertRowid(): bigint {
    return this.rowid;
  }
  setLastInsertRowid(rowid: bigint): void {
    this.rowid = rowid;
  }
  exportStart(): number {
    return this.values.length;
  }
  exportRead(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.values.slice(offset, offset + length) as number[]);
  }
  exportEnd(): void {}
  importStart(): void {
    this.values = [];
  }
  importWrite(bytes: Uint8Array): void {
    this.values.push(...bytes);
  }
  importEnd(witnessed: boolean): void {
    this.pragmas.push(`import, witnessed: ${witnessed}`);
  }
  report = { ok: true };
  verify(): string {
    return JSON.stringify(this.report);
  }
  storeFiles(): string {
    return JSON.stringify([{ name: "base.db", bytes: 3 }]);
  }
  storeRead(): Uint8Array {
    return new Uint8Array([1, 2, 3]);
  }
  close(): void {
    if (this.#statements.size > 0) throw new Error(`${this.#statements.size} statements are left`);
    this.settleNow();
  }
  async closed(): Promise<void> {}
  release(): void {
    this.released = true;
  }

  /** After a trap the session is as it was in the middle of that call. */
  #inOrder(): void {
    if (this.#trapped) throw Object.assign(new Error("another call is under way"), { kind: "Misuse" });
  }
  #of(id: number) {
    const statement = this.#statements.get(id);
    if (!statement) throw new Error(`there is no statement ${id}`);
    return statement;
  }
  #done(chunk: Uint8Array, statement: { at: number }): void {
    new DataView(chunk.buffer).setUint32(12, 1, true);
    statement.at = 0;
  }
}

function unique(): Error {
  return Object.assign(new Error("UNIQUE constraint failed"), { kind: "Constraint", code: 2067 });
}

/** A mailbox over a fake session, already opened. */
export async function opened(durability: Durability = "durable") {
  const session = new FakeSession();
  const posted: FromWorker[] = [];
  const waiting = new Map<number, (answer: Answer) => void>();
  const clock = { ms: 0 };
  let last = 0, ended = false, breaths = 0;
  const world: World = {
    post(message) {
      posted.push(message);
      if (message.type === "answers") for (const answer of message.answers) waiting.get(answer.id)?.(answer);
    },
    begin: async () => ({
      session: {
        engine: new Engine(session as unknown as RawSession, "never"),
        storage: { backend: "memory", why: "a test", durability: "none", reads: "memory" },
        durability,
        autoSync: new SyncTimer({}),
        answer: "open",
        leave: () => {},
      },
      answer: "open",
    }),
    lastWords: () => undefined,
    // A clock that stands still unless it is set: turns end when there is nothing left, on a busy machine too.
    now: () => clock.ms,
    breathe: async () => {
      breaths += 1;
    },
    end: () => (ended = true),
  };
  const mailbox = new Mailbox(world);
  const number = (request: Request, more: Partial<Call> = {}): Call => ({ id: ++last, request, ...more });
  const answerTo = (id: number) =>
    new Promise<unknown>((resolve, reject) => waiting.set(id, (answer) => ("error" in answer ? reject(answer.error) : resolve(answer.ok))));
  const send = (...calls: Call[]): Promise<unknown>[] => {
    const answers = calls.map(({ id }) => answerTo(id));
    answers.forEach((answer) => answer.catch(() => {}));
    mailbox.hear({ type: "calls", calls });
    return answers;
  };
  const call = (request: Request, more: Partial<Call> = {}): Promise<any> => send(number(request, more))[0] as Promise<any>;
  const run = (sql: string, params?: unknown[], more: Partial<Call> = {}): Promise<any> =>
    call({ op: "run", sql, params: params as never, keep: "rows" }, more);
  await call({ op: "open", options: { name: "t" } as never, module: undefined });
  posted.length = 0;
  return { session, mailbox, clock, posted, send, call, run, number, isEnded: () => ended, breaths: () => breaths };
}

/** Every task that can run has run. */
export function rest(ms = 5): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A barrier that ends when it is told to. */
export function gate() {
  let open: () => void = () => {}, fail: (error: Error) => void = () => {};
  const shut = new Promise<void>((resolve, reject) => ([open, fail] = [resolve, reject]));
  return { wait: () => shut, open, fail };
}

/** Everything has run that waits for no timer. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A worker that starts, keeps what it hears, and answers those calls to which `grant` gives something. */
export function workerThat(grant: (call: Call) => { ok: unknown } | undefined) {
  const heard: Call[] = [];
  class FakeWorker {
    onmessage: ((event: unknown) => void) | undefined;
    constructor() {
      setTimeout(() => this.onmessage?.({ data: { type: "ready", alive: "" } }));
    }
    postMessage(message: ToWorker): void {
      if (message.type !== "calls") return;
      heard.push(...message.calls);
      const answers = message.calls.flatMap((call) => {
        const granted = grant(call);
        return granted ? [{ id: call.id, ...granted }] : [];
      });
      setTimeout(() => this.onmessage?.({ data: { type: "answers", answers } }));
    }
    terminate(): void {}
  }
  return { FakeWorker, heard };
}
