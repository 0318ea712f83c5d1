// When applied commits are made durable without being asked: after a while, after so many, after a pause.
//
// Must not know the session. The rule it keeps: once something is undurable, a sync is never further away than
// the interval, unless it is switched off.

import type { AutoSync } from "./types.ts";
import { later } from "./waiting.ts";

const INTERVAL_MS = 1000;
const MAX_DIRTY = 100;

/** The timer of one database. */
export class SyncTimer {
  readonly #policy: AutoSync | false;
  #sync: (cause: "timer" | "dirty") => void = () => {};
  #interval: ReturnType<typeof setTimeout> | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #count = 0;

  /** `false`: never without being asked. */
  constructor(policy: AutoSync | false) {
    this.#policy = policy;
  }

  /** From now on `sync` is called when it is time. */
  start(sync: (cause: "timer" | "dirty") => void): void {
    this.#sync = sync;
  }

  /** `calls` calls may have committed something that is not durable. */
  dirty(calls: number): void {
    const policy = this.#policy;
    if (!policy || calls === 0) return;
    this.#count += calls;
    if (this.#count >= (policy.maxDirty ?? MAX_DIRTY)) {
      this.#fire("dirty");
      return;
    }
    this.#interval ??= later(policy.intervalMs ?? INTERVAL_MS, () => this.#fire("timer"));
    if (policy.debounceMs === undefined) return;
    clearTimeout(this.#pause);
    this.#pause = later(policy.debounceMs, () => this.#fire("timer"));
  }

  /** Everything is durable. */
  clean(): void {
    clearTimeout(this.#interval);
    clearTimeout(this.#pause);
    this.#interval = this.#pause = undefined;
    this.#count = 0;
  }

  /** For good. */
  stop(): void {
    this.clean();
    this.#sync = () => {};
  }

  #fire(cause: "timer" | "dirty"): void {
    this.clean();
    this.#sync(cause);
  }
}
