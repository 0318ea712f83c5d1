// Events: what changed between two looks at the session's numbers.
//
// The rule it keeps: what nobody listens to costs nothing.

import { type DataSyncError, partsOf } from "./errors.ts";
import type { WireEvent } from "./protocol.ts";
import type { DatabaseEvents, Stats } from "./types.ts";

/** Who can be asked for the numbers. */
export interface Numbers {
  status(): Stats;
}

/** Events that come of numbers. */
const NUMBERED = ["commit", "sync", "compaction"] as const;

/** Tells the page's listeners. */
export class Herald {
  /** Why the next sync happens. */
  cause: DatabaseEvents["sync"]["cause"] = "answer";
  readonly #post: (event: WireEvent) => void;
  #watched: ReadonlySet<keyof DatabaseEvents> = new Set();
  #numbers: Numbers | undefined;
  #committed = 0;
  #durable = 0;
  #folds = 0;
  #bytes = 0;
  /** Who asked for the database when nobody listened: it may be while the page waits for `open`. */
  #asked: string | undefined;

  constructor(post: (event: WireEvent) => void) {
    this.#post = post;
  }

  /** From now on the page listens to `events`. */
  watch(events: readonly (keyof DatabaseEvents)[], numbers: Numbers | undefined): void {
    const counted = this.#hears(...NUMBERED);
    this.#watched = new Set(events);
    if (this.#asked !== undefined) this.wanted(this.#asked);
    if (!numbers || counted || !this.#hears(...NUMBERED)) return;
    try {
      // What is so already is no news.
      this.#durable = this.#look(numbers).durable;
    } catch {
      // The session is in the middle of a call; the next turn looks.
    }
  }

  /** Something was executed. */
  turn(numbers: Numbers): void {
    this.#numbers = numbers;
    if (!this.#hears(...NUMBERED)) return;
    const committed = this.#committed, folds = this.#folds, bytes = this.#bytes;
    const now = this.#look(numbers);
    if (now.committed > committed && this.#watched.has("commit")) {
      this.#post({ name: "commit", data: { committed: now.committed, durable: now.durable, bytes: this.#bytes - bytes } });
    }
    if (now.folds > folds && this.#watched.has("compaction")) {
      this.#post({ name: "compaction", data: { folds: now.folds, logBytes: now.logBytes, segments: now.segments } });
    }
  }

  /** A barrier is over. */
  synced(ms: number): void {
    if (!this.#numbers || !this.#hears(...NUMBERED)) return;
    const durable = this.#durable;
    const now = this.#numbers.status();
    this.#durable = now.durable;
    if (now.durable <= durable || !this.#watched.has("sync")) return;
    this.#post({ name: "sync", data: { committed: now.committed, durable: now.durable, ms, cause: this.cause } });
  }

  /** Another tab asks for the database. */
  wanted(by: string): void {
    const heard = this.#hears("wanted");
    this.#asked = heard ? undefined : by;
    if (heard) this.#post({ name: "wanted", data: { by } });
  }

  /** Something failed that no call was waiting for. Told whether or not somebody listens. */
  error(error: DataSyncError): void {
    this.#post({ name: "error", data: partsOf(error) });
  }

  #hears(...names: (keyof DatabaseEvents)[]): boolean {
    return names.some((name) => this.#watched.has(name));
  }

  #look(numbers: Numbers): Stats {
    const now = numbers.status();
    this.#numbers = numbers;
    this.#committed = now.committed;
    this.#folds = now.folds;
    this.#bytes = Number(now["bytesAppended"] ?? 0);
    return now;
  }
}
