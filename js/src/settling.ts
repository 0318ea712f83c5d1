// Answers wait here until what they tell is durable.
//
// One barrier for everything that was executed since the one before: the group commit. Must not know SQL. The
// rule it keeps: an answer leaves after a barrier that began after it was made; if that barrier fails, every
// answer that waited for it is an error.

import type { Engine } from "./engine.ts";
import { partsOf } from "./errors.ts";
import type { Answer } from "./protocol.ts";

/** An answer and what moves with it. */
export interface Outgoing {
  answer: Answer;
  transfer: Transferable[];
  /** It promises nothing about durability, and does not wait. */
  now: boolean;
}

/** What is told after a barrier: how long it took, ms. */
export type Settled = (ms: number) => void;

/** The answers of one session that wait. */
export class Settling {
  readonly #engine: Engine;
  readonly #post: (ready: Outgoing[]) => void;
  readonly #settled: Settled;
  #held: Outgoing[] = [];
  #under: Promise<void> | undefined;

  constructor(engine: Engine, post: (ready: Outgoing[]) => void, settled: Settled) {
    this.#engine = engine;
    this.#post = post;
    this.#settled = settled;
  }

  /** Whether no answer waits and no barrier is under way. */
  get idle(): boolean {
    return this.#under === undefined && this.#held.length === 0;
  }

  /** Posts `turn` as soon as everything committed so far is durable. */
  hold(turn: Outgoing[]): void {
    this.#held.push(...turn);
    if (this.#under === undefined) this.#begin();
  }

  /** When everything committed so far is durable. Rejects as the barrier does. */
  async now(): Promise<void> {
    while (this.#under) await this.#under;
    const begun = performance.now();
    if (!this.#engine.raw.settleNow()) await this.#engine.raw.settle();
    this.#settled(performance.now() - begun);
  }

  /** When no barrier is under way. */
  async rest(): Promise<void> {
    while (this.#under) await this.#under;
  }

  #begin(): void {
    const batch = this.#held;
    this.#held = [];
    if (batch.length === 0) return;
    const begun = performance.now();
    try {
      if (this.#engine.raw.settleNow()) {
        this.#end(batch, begun);
        return;
      }
    } catch (error) {
      this.#fail(batch, error);
      return;
    }
    this.#under = this.#engine.raw
      .settle()
      .then(
        () => this.#end(batch, begun),
        (error: unknown) => this.#fail(batch, error),
      )
      .then(() => {
        this.#under = undefined;
        this.#begin();
      });
  }

  #end(batch: Outgoing[], begun: number): void {
    this.#post(batch);
    this.#settled(performance.now() - begun);
  }

  #fail(batch: Outgoing[], thrown: unknown): void {
    const error = partsOf(thrown);
    this.#post(
      batch.map(({ answer }) => {
        const failed = "error" in answer ? answer : { id: answer.id, error };
        return { answer: failed, transfer: [], now: false };
      }),
    );
  }
}
