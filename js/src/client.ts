// The page's end of one worker: numbers the calls, sends those of one turn in one message, settles every promise.
//
// Must not know what the operations mean, except which of them may have changed the database. The rule it
// keeps: every call settles exactly once, also when the worker dies: with `Indeterminate` where a change may
// have become durable, with `Closed` where nothing can have.

import { checkSignal } from "./checks.ts";
import { asError, DataSyncError, errorOf } from "./errors.ts";
import type { Answer, Args, Call, FromWorker, Op, Request, Result, ToWorker, WireEvent } from "./protocol.ts";
import type { DatabaseEvents, Durability } from "./types.ts";

/** What a call may carry beside its operation. */
export interface CallExtras {
  tx?: number | undefined;
  durability?: Durability | undefined;
  signal?: AbortSignal | undefined;
  transfer?: Transferable[];
}

/** A call on its way, and what moves with it. */
interface Outgoing {
  call: Call;
  transfer: Transferable[];
}

interface Waiting {
  op: Op;
  tx: number | undefined;
  sent: boolean;
  /** The commit of its transaction was sent behind it. */
  ending: boolean;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  done(): void;
}

/** Operations outside a transaction, or of one whose commit is sent, that may have committed something when no answer comes. */
const MAY_COMMIT: ReadonlySet<Op> = new Set<Op>([
  "run", "statement", "cursor", "fetch", "batch", "apply", "importStore", "sync",
]);
/** And those that end a transaction, or an import, with a commit. */
const COMMITS: ReadonlySet<Op> = new Set<Op>(["commit", "importEnd"]);

/** One worker. */
export class Client {
  /** Called for every event of the worker, and once with `close` when it is gone. */
  onEvent: (event: WireEvent) => void = () => {};
  /** Called with the compiled wasm. */
  onModule: (module: WebAssembly.Module) => void = () => {};

  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #outgoing: Outgoing[] = [];
  #last = 0;
  #over: DataSyncError | undefined;
  readonly #watch = new AbortController();

  /** `alive` is the lock that the worker holds for as long as it lives. */
  constructor(worker: Worker, alive: string) {
    this.#worker = worker;
    worker.onmessage = (event: MessageEvent<FromWorker>) => this.#hear(event.data);
    worker.onmessageerror = () => this.#die("a message of its worker could not be read");
    worker.onerror = (event) => {
      event.preventDefault();
      this.#die(`its worker failed: ${event.message || "no reason given"}`);
    };
    this.#watchOver(alive);
  }

  /** Why nothing can be called any more, if that is so. */
  get over(): DataSyncError | undefined {
    return this.#over;
  }

  /** Aborted when the worker is gone. */
  get ended(): AbortSignal {
    return this.#watch.signal;
  }

  /** Calls `op`; settles when the worker answered, or is gone. */
  call<K extends Op>(op: K, args: Args<K>, extras: CallExtras = {}): Promise<Result<K>> {
    const { tx, durability, signal, transfer } = extras;
    if (this.#over) return Promise.reject(this.#over);
    try {
      checkSignal(signal);
    } catch (error) {
      return Promise.reject(error);
    }
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const id = ++this.#last;
    const call: Call = { id, request: { op, ...args } as Request };
    if (tx !== undefined) call.tx = tx;
    if (durability !== undefined) call.durability = durability;
    return new Promise((resolve, reject) => {
      const abort = () => this.#abort(id, signal as AbortSignal);
      signal?.addEventListener("abort", abort);
      const done = () => signal?.removeEventListener("abort", abort);
      this.#waiting.set(id, { op, tx, sent: false, ending: false, resolve: resolve as (value: unknown) => void, reject, done });
      if (this.#outgoing.length === 0) queueMicrotask(() => this.#send());
      this.#outgoing.push({ call, transfer: transfer ?? [] });
    });
  }

  /** Tells the worker which events somebody listens to. */
  watch(events: (keyof DatabaseEvents)[]): void {
    this.#post({ type: "watch", events });
  }

  /** The page goes away: gives the storage back without tidying up; what was acknowledged stays. */
  release(reason: string): void {
    this.#post({ type: "release" });
    this.#end(reason);
  }

  /** Stops the worker in the middle of whatever it does, as a crash would. */
  terminate(reason: string): void {
    this.#worker.terminate();
    this.#end(reason);
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    if (!this.#over) this.#worker.postMessage(message, transfer);
  }

  #send(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    for (const { call } of outgoing) {
      const waiting = this.#waiting.get(call.id);
      if (!waiting) continue;
      waiting.sent = true;
      if (COMMITS.has(waiting.op)) this.#ends(waiting.tx);
    }
    if (outgoing.length > 0) this.#sendAll(outgoing);
  }

  /** The transaction `tx` is about to be committed, with calls of it whose answers nobody has awaited. */
  #ends(tx: number | undefined): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.tx === tx) waiting.ending = true;
    }
  }

  #sendAll(outgoing: Outgoing[]): void {
    try {
      this.#post({ type: "calls", calls: outgoing.map(({ call }) => call) }, outgoing.flatMap(({ transfer }) => transfer));
    } catch (error) {
      const [first, ...others] = outgoing as [Outgoing, ...Outgoing[]];
      if (others.length > 0) {
        // Nothing has left: the others are not to blame.
        for (const one of outgoing) this.#sendAll([one]);
        return;
      }
      const message = `the arguments cannot be sent to the worker: ${asError(error).message}`;
      this.#settle({ id: first.call.id, error: { kind: "Misuse", message } });
    }
  }

  #hear(message: FromWorker): void {
    switch (message.type) {
      case "answers":
        message.answers.forEach((answer) => this.#settle(answer));
        return;
      case "event":
        this.onEvent(message.event);
        return;
      case "module":
        this.onModule(message.module);
        return;
      case "died":
        this.#worker.terminate();
        this.#die(`its worker stopped: ${message.message}`);
        return;
      case "ready":
        return;
      default:
        this.onEvent(unknownMessage(message));
    }
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if (!waiting) return;
    this.#waiting.delete(answer.id);
    waiting.done();
    if ("error" in answer) waiting.reject(errorOf(answer.error));
    else waiting.resolve(answer.ok);
  }

  /** What is not sent yet is over; what is sent, the worker decides: it alone knows whether it ran. */
  #abort(id: number, signal: AbortSignal): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (waiting.sent) {
      this.#post({ type: "cancel", id });
      return;
    }
    this.#outgoing = this.#outgoing.filter(({ call }) => call.id !== id);
    this.#waiting.delete(id);
    waiting.done();
    waiting.reject(aborted(signal));
  }

  /** When the lock can be had, the worker that held it is gone: no event says so otherwise. */
  #watchOver(alive: string): void {
    const locks = globalThis.navigator?.locks;
    if (!locks || alive === "") return;
    locks
      .request(alive, { signal: this.#watch.signal }, () => this.#die("its worker is gone"))
      .catch(() => {});
  }

  #die(reason: string): void {
    if (this.#over) return;
    this.#worker.terminate();
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = new DataSyncError("Closed", `The database is closed: ${reason}. Open it again.`);
    this.#watch.abort();
    const left = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#outgoing = [];
    for (const waiting of left) {
      waiting.done();
      waiting.reject(unanswered(waiting, reason));
    }
    this.onEvent({ name: "close", data: { reason } });
  }
}

function unanswered(waiting: Waiting, reason: string): DataSyncError {
  const ends = waiting.tx === undefined || waiting.ending;
  const committing = COMMITS.has(waiting.op) || (ends && MAY_COMMIT.has(waiting.op));
  if (waiting.sent && committing) {
    return new DataSyncError(
      "Indeterminate",
      `No answer came, because ${reason}. What this call changed is either there as a whole or not at all: ` +
        "open the database again and look.",
    );
  }
  return new DataSyncError("Closed", `Nothing of this call stays, because ${reason}. Open the database again.`);
}

/** The error of a call that its signal stopped; `when` says how far it had come, and what becomes of it. */
export function aborted(signal: AbortSignal, when = "before it began; nothing was changed"): DataSyncError {
  return new DataSyncError("Aborted", `Stopped by its AbortSignal ${when}.`, { cause: signal.reason as unknown });
}

function unknownMessage(message: never): WireEvent {
  const type = String((message as { type?: unknown }).type);
  return {
    name: "error",
    data: { kind: "Misuse", message: `The worker sent a message of unknown type "${type}". Are both of one version?` },
  };
}
