// Calls that wait, in their order.
//
// Must not know whose turn it is. The rule it keeps: taking the first takes no longer the more there are behind it.

import type { Call } from "./protocol.ts";

/** So many places in front that were emptied are worth moving all others, if they are half of all. */
const EMPTIED = 1024;

/** Calls that wait. Places are counted from 0, which is whose turn comes first. */
export class Waitlist {
  #calls: (Call | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#calls.length - this.#first;
  }

  /** The call at `place`, if there is one. */
  at(place: number): Call | undefined {
    return place < 0 ? undefined : this.#calls[this.#first + place];
  }

  /** Where the first call is that is `wanted`; -1 if there is none. */
  find(wanted: (call: Call) => boolean): number {
    for (let place = 0; place < this.length; place += 1) if (wanted(this.at(place) as Call)) return place;
    return -1;
  }

  /** Puts `calls` behind all others. One by one: a hundred thousand are too many arguments for one `push`. */
  add(calls: readonly Call[]): void {
    for (const call of calls) this.#calls.push(call);
  }

  /** Puts `call` before all others. */
  putFirst(call: Call): void {
    if (this.#first === 0) this.#calls.unshift(call);
    else this.#calls[(this.#first -= 1)] = call;
  }

  /** Takes out the call at `place`. */
  take(place: number): Call | undefined {
    if (place > 0) return this.#calls.splice(this.#first + place, 1)[0];
    const call = this.at(place);
    if (call === undefined) return undefined;
    this.#calls[this.#first] = undefined;
    this.#first += 1;
    if (this.length === 0 || (this.#first >= EMPTIED && this.#first >= this.length)) {
      this.#calls = this.#calls.slice(this.#first);
      this.#first = 0;
    }
    return call;
  }
}
