// A transaction: one owner, everything or nothing.
//
// Must not know the queue in the worker. The rule it keeps: when `inTransaction` settles, the transaction is
// over: committed and acknowledged if it resolves, gone without a trace if it rejects (or `Indeterminate`).

import { checkDurability, checkFunction, checkKeys, checkMode, checkMs } from "./checks.ts";
import type { Client } from "./client.ts";
import { aborted } from "./client.ts";
import { asError, DataSyncError } from "./errors.ts";
import { batchOn, Queries, type Port } from "./queries.ts";
import type { BatchItem, BatchResult, CallOptions, Durability, Integers, TransactionSettings } from "./types.ts";

/** What `transaction` hands to its function. Calls on the database itself wait until the transaction is over. */
export class Transaction extends Queries {
  protected override readonly port: Port;
  #over: DataSyncError | undefined;
  #depth = 0;

  /** Made by `Database.transaction`. */
  constructor(client: Client, tx: number, integers: Integers) {
    super();
    this.port = { client, tx, integers, durability: undefined, check: () => this.check() };
  }

  /**
   * A transaction inside this one: a savepoint. If `body` fails, what it did is undone, and only that.
   * It lies in this transaction's time: one at a time, and nothing is durable before this one commits.
   */
  async transaction<T>(body: (tx: Transaction) => Promise<T> | T): Promise<T> {
    this.#depth += 1;
    const name = `datasync_${this.#depth}`;
    try {
      await this.exec(`SAVEPOINT ${name}`);
      try {
        const value = await body(this);
        await this.exec(`RELEASE ${name}`);
        return value;
      } catch (error) {
        await this.exec(`ROLLBACK TO ${name}; RELEASE ${name}`).catch((why: unknown) => {
          // What it did is still there, and must not be committed by whoever goes on after its error.
          this.end(new DataSyncError("TransactionLost", `A part of this transaction could not be undone: ${asError(why).message}`));
        });
        throw error;
      }
    } finally {
      this.#depth -= 1;
    }
  }

  /**
   * Runs all items in one message, as a part of this transaction: all of them, or none. If one fails, only what they did is
   * undone, and this transaction goes on.
   */
  async batch(items: readonly BatchItem[], options: CallOptions = {}): Promise<BatchResult[]> {
    checkKeys(options, ["signal", "durability"]);
    return batchOn(this.port, items, options);
  }

  /** From now on every call fails with `error`. */
  end(error: DataSyncError): void {
    this.#over ??= error;
  }

  /** Throws if it is over. */
  check(): void {
    if (this.#over) throw this.#over;
  }
}

const SETTINGS: Record<keyof TransactionSettings, true> = { mode: true, timeoutMs: true, idleMs: true, durability: true, signal: true };

/** What a transaction is run on. */
export interface Stage {
  client: Client;
  integers: Integers;
  durability: Durability | undefined;
  /** Told before and after the part of `body` that runs before its first `await`. */
  inside(yes: boolean): void;
}

/** Runs `body` in the transaction `id`: commits when it resolves, rolls back when it rejects. */
export async function inTransaction<T>(
  stage: Stage, id: number, body: (tx: Transaction) => Promise<T> | T, options: TransactionSettings,
): Promise<T> {
  const { client, integers } = stage;
  checkFunction("transaction", body);
  checkKeys(options, Object.keys(SETTINGS));
  const { signal, mode = "immediate", timeoutMs, idleMs } = options;
  checkMode(mode);
  checkDurability(options.durability);
  checkMs("timeoutMs", timeoutMs);
  checkMs("idleMs", idleMs);
  const limits = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(idleMs === undefined ? {} : { idleMs }) };
  await client.call("begin", { id, mode, ...limits }, { signal });
  const tx = new Transaction(client, id, integers);
  const stop = stopped(signal, tx);
  try {
    const value = await Promise.race([run(stage, body, tx), stop.promise]);
    tx.check();
    tx.end(new DataSyncError("Misuse", "This transaction is over; its function has returned. Await every call in it."));
    const durability = options.durability ?? stage.durability;
    await client.call("commit", { id }, { tx: id, durability });
    return value;
  } catch (error) {
    tx.end(new DataSyncError("TransactionLost", `This transaction was rolled back: ${asError(error).message}`));
    if (!client.over) await client.call("rollback", { id }, { tx: id }).catch(() => {});
    throw error;
  } finally {
    stop.forget();
  }
}

async function run<T>(stage: Stage, body: (tx: Transaction) => Promise<T> | T, tx: Transaction): Promise<T> {
  stage.inside(true);
  let result: Promise<T> | T;
  try {
    result = body(tx);
  } finally {
    stage.inside(false);
  }
  return result;
}

/** A promise that only ever rejects: when the signal says stop. */
function stopped(signal: AbortSignal | undefined, tx: Transaction): { promise: Promise<never>; forget(): void } {
  let reject: (error: DataSyncError) => void = () => {};
  const promise = new Promise<never>((_, no) => (reject = no));
  promise.catch(() => {});
  const stop = () => {
    const error = aborted(signal as AbortSignal, "in mid-transaction; it is rolled back");
    tx.end(error);
    reject(error);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  return { promise, forget: () => signal?.removeEventListener("abort", stop) };
}
