// Who owns the connection: nobody, or one transaction (an import is one too).
//
// Must not know SQL. The rule it keeps: while somebody owns it nobody else's call runs; and nobody owns it for
// ever: a transaction ends by its own word, by its time limit, or because it sleeps while others wait.

import { DataSyncError } from "./errors.ts";
import type { Call, Op } from "./protocol.ts";
import { later } from "./waiting.ts";

/** How long a transaction may do nothing while others wait, ms. */
const IDLE_MS = 10_000;
/** How many ended transactions are remembered, to say why they ended. */
const REMEMBERED = 64;

/** What only gives something back waits for no transaction, and outlives the one it came in. */
const FREES: ReadonlySet<Op> = new Set<Op>(["finalize", "unrecord"]);

interface Owner {
  id: number;
  idleMs: number;
  limit: ReturnType<typeof setTimeout> | undefined;
  idle: ReturnType<typeof setTimeout> | undefined;
}

/** The owner of the connection. */
export class Ownership {
  readonly #expire: (id: number, error: DataSyncError) => void;
  readonly #ended = new Map<number, DataSyncError>();
  #owner: Owner | undefined;

  /** `expire` is told which transaction has to be rolled back, and why. */
  constructor(expire: (id: number, error: DataSyncError) => void) {
    this.#expire = expire;
  }

  /** Whose it is. */
  get owner(): number | undefined {
    return this.#owner?.id;
  }

  /** Whether `call` may run now. */
  lets(call: Call): boolean {
    // A barrier disturbs no transaction: it covers the commits before it.
    if (call.request.op === "sync" || FREES.has(call.request.op)) return true;
    return this.#owner === undefined || call.tx === this.#owner.id || this.#isOver(call);
  }

  /** Throws if `call` belongs to a transaction that is over, or never was. */
  check(call: Call): void {
    if (call.tx === undefined || call.tx === this.#owner?.id || FREES.has(call.request.op)) return;
    throw this.#ended.get(call.tx) ?? new DataSyncError("TransactionLost", "This transaction is over. Begin a new one.");
  }

  /** Makes `id` the owner. */
  take(id: number, limits: { timeoutMs?: number; idleMs?: number } = {}): void {
    const { timeoutMs, idleMs = IDLE_MS } = limits;
    const late = () =>
      this.#expire(id, new DataSyncError("Expired", `The transaction was not over after ${timeoutMs} ms and was rolled back.`));
    const limit = timeoutMs === undefined ? undefined : later(timeoutMs, late);
    this.#owner = { id, idleMs, limit, idle: undefined };
  }

  /** The owner is gone; `error` is what its later calls are told. */
  leave(error?: DataSyncError): void {
    const owner = this.#owner;
    if (!owner) return;
    clearTimeout(owner.limit);
    clearTimeout(owner.idle);
    this.#owner = undefined;
    if (!error) return;
    this.#ended.set(owner.id, error);
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }

  /** The queue has come to rest; `waiting` says whether somebody waits for the owner. */
  rest(waiting: boolean): void {
    const owner = this.#owner;
    if (!owner || !waiting || owner.idle !== undefined) return;
    const asleep = () =>
      this.#expire(owner.id, new DataSyncError(
        "Expired",
        `The transaction did nothing for ${owner.idleMs} ms while other calls waited, and was rolled back. ` +
          "Inside transaction(async tx => ...) use tx: calls on the database itself wait until the transaction is over.",
      ));
    owner.idle = later(owner.idleMs, asleep);
  }

  /** The owner has said something, or nobody waits for it any more. */
  stir(): void {
    if (!this.#owner) return;
    clearTimeout(this.#owner.idle);
    this.#owner.idle = undefined;
  }

  #isOver(call: Call): boolean {
    return call.tx !== undefined && call.tx !== this.#owner?.id;
  }
}
