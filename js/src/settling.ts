// Answers wait here until what they tell is durable.
//
// One barrier for everything that was executed since the one before: the group commit. Must not know SQL. The
// rule it keeps: an answer leaves after a barrier that began after it was made; if that barrier fails, every
// answer that waited for it is an error; if the wasm traps in it, nobody knows, and nobody is answered.

import type { Engine } from "./engine.ts";
import { partsOf } from "./errors.ts";
import type { Answer } from "./protocol.ts";

/** An answer and what moves with it. */
export interface Outgoing {
  answer: Answer;
  transfer: Transferable[];
  /** It promises nothing about durability, and does not wait. */
  now: boolean;
  /** Its call may have committed something. */
  commits: boolean;
}

/** What is told after a barrier: how long it took, ms. */
export type Settled = (ms: number) => void;

/** The answers of one session that wait. */
export class Settling {
  readonly #engine: Engine;
  readonly #post: (ready: Outgoing[]) => void;
  readonly #settled: Settled;
  readonly #trapped: (thrown: unknown) => boolean;
  #held: Outgoing[] = [];
  #under: Promise<void> | undefined;

  /** `trapped` says whether what was thrown is the end of the wasm, and tells of it. */
  constructor(
    engine: Engine, post: (ready: Outgoing[]) => void, settled: Settled, trapped: (thrown: unknown) => boolean,
  ) {
    this.#engine = engine;
    this.#post = post;
    this.#settled = settled;
    this.#trapped = trapped;
  }

  /** Those of `turn` that wait for no barrier. None if the medium has to catch up: the others are in memory until it has. */
  atOnce(turn: Outgoing[]): Outgoing[] {
    if (this.#engine.raw.isBehind()) for (const outgoing of turn) outgoing.now = false;
    return turn.filter((outgoing) => outgoing.now);
  }

  /**
   * Posts `turn` as soon as everything committed so far is durable. Resolves when the next call may be executed:
   * while a barrier is under way, unless the medium is behind, or calls can be suspended, which would meet the
   * barrier's end.
   */
  async hold(turn: Outgoing[]): Promise<void> {
    for (const outgoing of turn) this.#held.push(outgoing);
    if (this.#under === undefined) await this.#begin();
    if (this.#engine.suspends || this.#engine.raw.isBehind()) await this.rest();
  }

  /** Resolves when everything committed so far is durable. Rejects as the barrier does. */
  async now(): Promise<void> {
    await this.rest();
    const begun = performance.now();
    if (!(await this.#engine.call("settleNow"))) await this.#engine.raw.settle();
    this.#settled(performance.now() - begun);
  }

  /** Resolves when no barrier is under way. */
  async rest(): Promise<void> {
    while (this.#under) await this.#under;
  }

  async #begin(): Promise<void> {
    const batch = this.#held;
    this.#held = [];
    if (batch.length === 0) return;
    const begun = performance.now();
    try {
      if (await this.#engine.call("settleNow")) {
        this.#end(batch, begun);
        return;
      }
    } catch (error) {
      this.#fail(batch, error);
      return;
    }
    this.#under = this.#flush(batch, begun);
  }

  async #flush(batch: Outgoing[], begun: number): Promise<void> {
    try {
      await this.#engine.raw.settle();
      this.#end(batch, begun);
    } catch (error) {
      this.#fail(batch, error);
    }
    this.#under = undefined;
    await this.#begin();
  }

  #end(batch: Outgoing[], begun: number): void {
    this.#post(batch);
    this.#settled(performance.now() - begun);
  }

  #fail(batch: Outgoing[], thrown: unknown): void {
    if (this.#trapped(thrown)) {
      this.#held = [];
      return;
    }
    this.#post(failed(batch, thrown));
  }
}

/** The answers of calls that had succeeded until their commit or its barrier failed. */
export function failed(batch: Outgoing[], thrown: unknown): Outgoing[] {
  const error = partsOf(thrown);
  return batch.map((outgoing) => {
    const { answer } = outgoing;
    return "error" in answer ? outgoing : { ...outgoing, answer: { id: answer.id, error }, transfer: [] };
  });
}
