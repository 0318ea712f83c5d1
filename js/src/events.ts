// Listeners of a database's events.
//
// The rule it keeps: a listener that throws is reported, and disturbs neither the others nor the database.

import type { DatabaseEvents } from "./types.ts";

/** What `on` takes. */
export type Listener<Name extends keyof DatabaseEvents> = (data: DatabaseEvents[Name]) => void;

/** Listeners by event. */
export class Listeners {
  readonly #sets = new Map<keyof DatabaseEvents, Set<Listener<never>>>();

  /** Adds `listener`. */
  add<Name extends keyof DatabaseEvents>(name: Name, listener: Listener<Name>): void {
    const set = this.#sets.get(name) ?? new Set();
    this.#sets.set(name, set.add(listener));
  }

  /** Takes `listener` away again, if it is there. */
  remove<Name extends keyof DatabaseEvents>(name: Name, listener: Listener<Name>): void {
    const set = this.#sets.get(name);
    set?.delete(listener);
    if (set?.size === 0) this.#sets.delete(name);
  }

  /** The events that somebody listens to. */
  names(): (keyof DatabaseEvents)[] {
    return [...this.#sets.keys()];
  }

  /** Tells everybody who listens; whether there was anybody. */
  tell<Name extends keyof DatabaseEvents>(name: Name, data: DatabaseEvents[Name]): boolean {
    const set = this.#sets.get(name);
    if (!set) return false;
    for (const listener of [...set]) {
      try {
        (listener as Listener<Name>)(data);
      } catch (error) {
        globalThis.reportError?.(error);
      }
    }
    return true;
  }
}
