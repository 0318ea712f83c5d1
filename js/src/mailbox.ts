// The worker's queue: one call at a time, whose turn it is, and when answers leave.
//
// Must not know SQL nor the wasm. The rules it keeps: every call is answered exactly once; while a transaction
// is open only its own calls run; the answers of one turn leave together, after one barrier.

import type { Engine } from "./engine.ts";
import { asError, DataSyncError, partsOf, type ErrorKind } from "./errors.ts";
import { Herald } from "./herald.ts";
import { join } from "./joining.ts";
import { Ownership } from "./ownership.ts";
import type { Call, FromWorker, Op, ToWorker, WireStorage } from "./protocol.ts";
import { Runner, type Runs } from "./runner.ts";
import { failed, Settling, type Outgoing } from "./settling.ts";
import { SyncTimer } from "./autosync.ts";
import { transfersOf } from "./transfers.ts";
import type { Durability } from "./types.ts";
import { Waitlist } from "./waitlist.ts";
import { inTime } from "./waiting.ts";

/** How long a turn executes before its answers leave, and a call before messages are let in, ms. */
const TURN_MS = 50;
/** How often files are made ready although calls keep coming, ms: that waits for the browser. */
const REFILL_MS = 200;
/** How long the browser may take for it, ms. */
const REFILL_LATE_MS = 15_000;
/**
 * How long after the last call background work begins at the earliest, ms. Between awaited calls is no time for it:
 * a fold that comes later, when the log has reached its cap, writes each block once for more commits.
 */
const SOON_MS = 20;
/** How long after the last call the newest commits get their durable proof, ms. */
const IDLE_MS = 200;

/** Errors behind which there may be another one, and what that can be: a better reason, to the same effect. */
const BETTER: { [kind in ErrorKind]?: ErrorKind[] } = { Poisoned: ["Full", "Fenced", "Lost", "Io"], Corrupt: ["Fenced", "Lost"] };

/** An open database, as `opening.ts` gives it. */
export interface Session {
  engine: Engine;
  storage: WireStorage;
  durability: Durability;
  autoSync: SyncTimer;
  /** What `open` answers. */
  answer: unknown;
  /** Gives the lock back. */
  leave(): void;
}

/** What the mailbox needs of the world. */
export interface World {
  post(message: FromWorker, transfer: Transferable[]): void;
  /** Runs `open` or `importStore`, which gives no session. `breathe` throws when the call is no longer wanted. */
  begin(call: Call, wanted: (by: string) => void, breathe: () => Promise<void>): Promise<{ session?: Session; answer: unknown }>;
  /** What the wasm had to say before it trapped. */
  lastWords(): string | undefined;
  /** A clock, ms. */
  now(): number;
  /** Lets waiting messages in. */
  breathe(): Promise<void>;
  /** Ends the worker. */
  end(): void;
}

/** The queue. */
export class Mailbox {
  readonly #world: World;
  readonly #ownership = new Ownership((id, error) => this.#expire(id, error));
  readonly #herald: Herald;
  readonly #queue = new Waitlist();
  #session: Session | undefined;
  #runner: Runner | undefined;
  #settling: Settling | undefined;
  #running: number | undefined;
  #busy = false;
  #begun = 0;
  #refilled = 0;
  #nap: { timer: ReturnType<typeof setTimeout>; idle: boolean; disturbed: boolean } | undefined;
  #cancelled = false;
  #dead = false;
  #closed: DataSyncError | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#herald = new Herald((event) => this.#world.post({ type: "event", event }, []));
  }

  /** Takes one message. */
  hear(message: ToWorker): void {
    if (this.#dead) return;
    switch (message.type) {
      case "calls":
        this.#queue.add(message.calls);
        for (const { request, tx } of message.calls) {
          if (request.op === "close") this.#giveUpOwner();
          // Heard is enough: it may have to wait for a barrier before it runs.
          if (tx !== undefined && tx === this.#ownership.owner) this.#ownership.stir();
        }
        void this.#drain();
        return;
      case "cancel":
        this.#cancel(message.id);
        return;
      case "watch":
        this.#herald.watch(message.events, this.#runner);
        return;
      case "release":
        this.#release();
        return;
      default:
        this.#herald.error(new DataSyncError("Misuse", `The worker was sent a message of unknown type "${String((message as { type?: unknown }).type)}".`));
    }
  }

  async #drain(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (!this.#dead) {
        const turn = await this.#turn();
        if (turn.length > 0) await this.#acknowledge(turn);
        // Looked at again: a call may have come after the turn had ended.
        else if (this.#next() < 0) break;
        if (this.#world.now() - this.#refilled > REFILL_MS) await this.#aside((engine) => this.#refill(engine));
      }
    } finally {
      this.#busy = false;
    }
    void this.#restOwner();
    this.#rest();
  }

  /** The owner may be asleep: nothing runs, and every answer that it waits for has left. */
  async #restOwner(): Promise<void> {
    await this.#settling?.rest();
    if (!this.#busy) this.#ownership.rest(this.#queue.length > 0);
  }

  /** Where in the queue the next call is that may run; -1 if there is none. */
  #next(): number {
    return this.#queue.find((call) => this.#ownership.lets(call));
  }

  /** Executes what may run, for one turn; the answers. */
  async #turn(): Promise<Outgoing[]> {
    const turn: Outgoing[] = [];
    this.#begun = this.#world.now();
    for (;;) {
      const at = this.#next();
      const call = this.#queue.at(at);
      if (!call) return turn;
      const { op } = call.request;
      // What was answered before is durable, or known not to be, before the session goes, and before another barrier
      // than this turn's: for what that makes durable, the failure of this one must not be told.
      if ((op === "close" || op === "sync") && turn.length > 0) return turn;
      if (this.#joins(at, true) && this.#joins(at + 1, false) && this.#runner?.mayJoin()) {
        for (const answer of await this.#joined(this.#runner)) turn.push(answer);
      } else {
        this.#queue.take(at);
        const answer = await this.#answer(call);
        // Nobody waits for 0. A sync has had its barrier.
        if (call.id !== 0 && op !== "sync") turn.push(answer);
        else if (call.id !== 0 && !this.#dead) this.#post([answer]);
      }
      if (this.#dead) return [];
      if (this.#isLate()) return turn;
    }
  }

  #isLate(): boolean {
    return this.#world.now() - this.#begun > TURN_MS;
  }

  /** Whether the call at `at` may share a commit with others. */
  #joins(at: number, begins: boolean): boolean {
    const call = this.#queue.at(at);
    if (call?.tx !== undefined || call === undefined || this.#ownership.owner !== undefined) return false;
    return this.#runner?.joins(call.request, this.#isWitnessed(call), begins) ?? false;
  }

  /** Executes calls that wait in one transaction; if that cannot be, one by one. */
  async #joined(runner: Runner): Promise<Outgoing[]> {
    const calls: Call[] = [];
    const next = () => {
      const at = this.#next();
      if (this.#dead || this.#isLate() || !this.#joins(at, false)) return undefined;
      const call = this.#queue.take(at);
      if (call) calls.push(call);
      return call;
    };
    const execute = async (call: Call) => {
      const answer = await this.#answer(call);
      if (this.#dead) throw new DataSyncError("Closed", "The wasm is gone.");
      return answer;
    };
    const joined = await join(runner, next, execute).catch((error: unknown) => {
      const all = calls.map(({ id }): Outgoing => ({ answer: { id, error: partsOf(error) }, transfer: [], now: true, commits: false }));
      return { answers: all, error };
    });
    if (this.#dead) return [];
    if (joined?.error !== undefined) {
      this.#trap(joined.error);
      return failed(joined.answers, await this.#reason(joined.error));
    }
    if (joined) return joined.answers;
    const answers: Outgoing[] = [];
    for (const call of calls) {
      answers.push(await this.#answer(call));
      if (this.#dead) return [];
    }
    return answers;
  }

  #isWitnessed(call: Call): boolean {
    return (call.durability ?? this.#session?.durability) === "witnessed";
  }

  async #answer(call: Call): Promise<Outgoing> {
    this.#running = call.id;
    this.#cancelled = false;
    const durability = call.durability ?? this.#session?.durability;
    const now = durability === "applied";
    try {
      const ok = await this.#execute(call);
      return { answer: { id: call.id, ok }, transfer: transfersOf(ok), now, commits: this.#hasCommitted() };
    } catch (thrown) {
      this.#trap(thrown);
      const error = await this.#reason(thrown);
      if (call.id === 0) this.#herald.error(asError(error));
      return { answer: { id: call.id, error: partsOf(error) }, transfer: [], now, commits: this.#hasCommitted() };
    } finally {
      this.#running = undefined;
    }
  }

  #hasCommitted(): boolean {
    return this.#runner?.hasCommitted() ?? false;
  }

  /**
   * Why a call really failed. A write that failed on its way to IndexedDB poisons what comes after it; the barrier
   * knows why it failed. What looks damaged may be what another tab has written since it took the database over.
   */
  async #reason(error: unknown): Promise<unknown> {
    const engine = this.#session?.engine;
    const { kind } = partsOf(error);
    const better = BETTER[kind];
    if (this.#dead || !engine || !better) return error;
    // A barrier says why it failed once only; whose the medium is now, it says as often as it is asked.
    const asked = kind === "Corrupt" ? [() => engine.owned()] : [() => engine.raw.settle(), () => engine.owned()];
    for (const ask of asked) {
      try {
        await ask();
      } catch (why) {
        if (better.includes(partsOf(why).kind)) return why;
      }
    }
    return error;
  }

  async #execute(call: Call): Promise<unknown> {
    const { op } = call.request;
    if (op === "open" || op === "importStore") return this.#open(call);
    const runner = this.#runner, session = this.#session;
    this.#ownership.check(call);
    if (!runner || !session) throw this.#closed ?? outOfOrder(op, 'before "open"');
    if (op === "storage") return session.storage;
    if (op === "sync") {
      if (call.id !== 0) this.#herald.cause = "call";
      return this.#sync(runner);
    }
    if (op === "close") return this.#close(call, runner, session);
    return this.#owned(call, op, runner);
  }

  /** Runs `op`, and keeps track of who owns the connection. */
  async #owned(call: Call, op: Runs, runner: Runner): Promise<unknown> {
    const { request } = call;
    if ((op === "commit" || (isImport(op) && op !== "importStart")) && call.tx === undefined) throw outOfOrder(op, "outside a transaction");
    const result = await runner.run(op, request as never, call.tx, this.#isWitnessed(call)).catch((error: unknown) => {
      if (call.tx !== undefined && op !== "rollback" && !isImport(op)) this.#lost(runner, error);
      throw error;
    });
    if (request.op === "begin") {
      this.#ownership.take(request.id, request);
      // One that came while it began found no owner to end.
      if (this.#queue.find(({ request: { op } }) => op === "close") >= 0) this.#giveUpOwner();
    } else if (request.op === "importStart") this.#ownership.take(request.id);
    else if (op === "commit" || op === "rollback" || op === "importEnd" || op === "importCancel") this.#ownership.leave();
    else if (call.tx !== undefined && !isImport(op)) this.#lost(runner, undefined);
    return result;
  }

  /** SQLite, or a statement, may have ended the transaction: then nothing more may run in its name. */
  #lost(runner: Runner, error: unknown): void {
    if (this.#ownership.owner === undefined || runner.inTransaction()) return;
    runner.endOf(this.#ownership.owner);
    const why = error === undefined
      ? "A statement ended the transaction."
      : `SQLite rolled the transaction back: ${asError(error).message}`;
    this.#ownership.leave(new DataSyncError("TransactionLost", why));
    if (error === undefined) throw new DataSyncError("TransactionLost", why);
  }

  async #open(call: Call): Promise<unknown> {
    if (this.#session) throw new DataSyncError("Misuse", 'A message came out of order: a second "open".');
    const { session, answer } = await this.#world.begin(call, (by) => this.#herald.wanted(by), () => this.#breathe(true));
    if (!session) return answer;
    const { engine } = session;
    this.#session = session;
    this.#runner = new Runner(engine, (stoppable) => this.#breathe(stoppable));
    this.#settling = new Settling(
      engine, (ready) => this.#post(ready), (ms) => this.#herald.synced(ms), (thrown) => this.#trap(thrown),
    );
    session.autoSync.start((cause) => this.#syncSoon(cause));
    return answer;
  }

  async #sync(runner: Runner): Promise<{ committed: number; durable: number }> {
    await this.#settling?.now();
    this.#session?.autoSync.clean();
    const { committed, durable } = runner.status();
    return { committed, durable };
  }

  /** The timer's sync: nobody's call. */
  #syncSoon(cause: "timer" | "dirty"): void {
    this.#herald.cause = cause;
    this.#queue.add([{ id: 0, request: { op: "sync" } }]);
    void this.#drain();
  }

  async #close(call: Call, runner: Runner, session: Session): Promise<undefined> {
    session.autoSync.stop();
    this.#herald.cause = "close";
    await this.#settling?.rest();
    try {
      await runner.run("close", {}, call.tx);
    } catch (error) {
      this.#trap(error);
      throw error;
    } finally {
      this.#session = this.#runner = this.#settling = undefined;
      this.#closed = new DataSyncError("Closed", "This database is closed. Open it again.");
      session.leave();
    }
  }

  async #acknowledge(turn: Outgoing[]): Promise<void> {
    if (this.#runner) this.#herald.turn(this.#runner);
    const now = this.#settling?.atOnce(turn) ?? turn;
    if (now.length > 0) this.#post(now);
    if (now.length === turn.length) {
      this.#session?.autoSync.dirty(now.filter(({ commits }) => commits).length);
      return;
    }
    this.#herald.cause = "answer";
    await this.#settling?.hold(turn.filter((outgoing) => !outgoing.now));
  }

  #post(ready: Outgoing[]): void {
    const answers = ready.map(({ answer }) => answer);
    this.#world.post({ type: "answers", answers }, ready.flatMap(({ transfer }) => transfer));
  }

  /** Background work, when nothing else is to do: folding soon, the proof of the newest commits later. */
  #rest(after = SOON_MS, idle = false): void {
    const running = this.#nap;
    if (running && !running.idle && !idle) {
      // Setting a timer anew would cost every awaited call more than its turn in this queue.
      running.disturbed = true;
      return;
    }
    clearTimeout(running?.timer);
    this.#nap = undefined;
    if (!this.#session || this.#dead) return;
    this.#nap = { timer: setTimeout(() => this.#wake(idle), after), idle, disturbed: false };
  }

  /** The nap is over. */
  #wake(idle: boolean): void {
    const disturbed = this.#nap?.disturbed === true;
    this.#nap = undefined;
    if (this.#busy || !this.#session) return;
    if (disturbed) {
      this.#rest();
      return;
    }
    this.#busy = true;
    void this.#tend(idle).then((more) => {
      this.#busy = false;
      if (this.#next() >= 0) void this.#drain();
      else if (more) this.#rest(0, idle);
      else if (!idle) this.#rest(IDLE_MS, true);
      // Calls may have come meanwhile that only wait for the owner.
      void this.#restOwner();
    });
  }

  /** One bounded step of background work; whether there is more. */
  #tend(idle: boolean): Promise<boolean> {
    return this.#aside(async (engine) => {
      const folding = await engine.call("tend", idle);
      return (await this.#refill(engine)) || folding;
    });
  }

  /** Does what is nobody's call; whether there is more of it. What fails is told, and ends it. */
  async #aside(work: (engine: Engine) => Promise<boolean>): Promise<boolean> {
    const engine = this.#session?.engine;
    if (!engine) return false;
    try {
      await this.#settling?.rest();
      const more = await work(engine);
      if (this.#runner) this.#herald.turn(this.#runner);
      return more;
    } catch (error) {
      this.#trap(error);
      this.#herald.error(asError(await this.#reason(error)));
      return false;
    }
  }

  #refill(engine: Engine): Promise<boolean> {
    this.#refilled = this.#world.now();
    // Calls wait behind it: a browser that says nothing must not hold them for ever.
    const late = new DataSyncError("Io", "The browser does not answer for a file that is made ready. Calls go on without it; reload the page if it stays so.");
    return inTime(REFILL_LATE_MS, engine.raw.refill(), late);
  }

  /** Lets messages in now and then. `stoppable`: stopping the call here leaves nothing of it behind. */
  async #breathe(stoppable: boolean): Promise<void> {
    const stop = () => {
      if (this.#cancelled && stoppable) throw cancelled("between two chunks; nothing of it stays");
    };
    stop();
    if (this.#world.now() - this.#begun <= TURN_MS) return;
    await this.#world.breathe();
    this.#begun = this.#world.now();
    stop();
  }

  #cancel(id: number): void {
    if (this.#running === id) this.#cancelled = true;
    const at = this.#queue.find((call) => call.id === id);
    if (at < 0) return;
    this.#queue.take(at);
    if (this.#queue.length === 0) this.#ownership.stir();
    const error = partsOf(cancelled("before it began; nothing was changed"));
    this.#post([{ answer: { id, error }, transfer: [], now: true, commits: false }]);
  }

  /** Rolls the transaction `id` back, before anything else. */
  #expire(id: number, error: DataSyncError): void {
    if (this.#ownership.owner !== id) return;
    this.#ownership.leave(error);
    // Calls of the transaction that wait are answered with the reason; the rollback is nobody's call.
    this.#queue.putFirst({ id: 0, request: { op: "rollback", id } });
    void this.#drain();
  }

  /** A database that is closed does not wait for a transaction that is not over. */
  #giveUpOwner(): void {
    const { owner } = this.#ownership;
    if (owner !== undefined) this.#expire(owner, new DataSyncError("Closed", "The database was closed in mid-transaction; it was rolled back."));
  }

  #release(): void {
    this.#dead = true;
    try {
      this.#session?.engine.raw.release();
    } finally {
      this.#session?.leave();
      this.#world.end();
    }
  }

  /** A wasm that trapped is in no state to be asked again. Whether this is the end of it. */
  #trap(error: unknown): boolean {
    // What was thrown on the way out, by a rollback or a statement given back, may have hidden it.
    const trap = error instanceof WebAssembly.RuntimeError ? error : this.#session?.engine.trapped;
    if (trap === undefined) return false;
    if (!this.#dead) {
      this.#dead = true;
      this.#world.post({ type: "died", message: this.#world.lastWords() ?? partsOf(trap).message }, []);
    }
    return true;
  }
}

function cancelled(when: string): DataSyncError {
  return new DataSyncError("Aborted", `Stopped by its AbortSignal ${when}.`);
}

function isImport(op: Op): boolean {
  return op === "importStart" || op === "importWrite" || op === "importEnd" || op === "importCancel";
}

function outOfOrder(op: Op, how: string): DataSyncError {
  return new DataSyncError("Misuse", `A message came out of order: "${String(op)}" ${how}.`);
}
