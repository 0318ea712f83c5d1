// In the worker: the database on its way out, as one plain file or as the raw files of its store.
//
// Must not know the queue. The rule it keeps: what is read belongs to one state, and to this owner of the storage.

import type { Engine } from "./engine.ts";
import { DataSyncError } from "./errors.ts";
import type { StoreFile } from "./types.ts";

/** Bytes read at a time. */
const PIECE = 1 << 20;

/** The exports of one session: one plain file at a time. */
export class Exports {
  readonly #engine: Engine;
  /** The number of the one under way. */
  #running: number | undefined;
  #last = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Begins one. */
  async start(): Promise<{ exporting: number; bytes: number }> {
    if (this.#running !== undefined) throw new DataSyncError("Misuse", "An export is under way. Wait for it to end, or cancel its stream.");
    const bytes = await this.#engine.call("exportStart");
    this.#running = ++this.#last;
    return { exporting: this.#running, bytes };
  }

  /** Reads of the one that `start` gave this number. */
  async read(exporting: number, offset: number, length: number): Promise<Uint8Array> {
    if (exporting === this.#running) return this.#engine.call("exportRead", offset, length);
    // Another one may have begun since: its bytes are of another state.
    throw new DataSyncError("Expired", "This export is over, because an import replaced the database. Export it again.");
  }

  /** Ends it, if it is under way. */
  end(exporting = this.#running): undefined {
    if (exporting === undefined || exporting !== this.#running) return;
    this.#engine.raw.exportEnd();
    this.#running = undefined;
  }

  /** The files of the store as they are. */
  async storeFiles(): Promise<StoreFile[]> {
    const files = JSON.parse(await this.#engine.call("storeFiles")) as { name: string; bytes: number }[];
    const out: StoreFile[] = [];
    for (const { name, bytes } of files) {
      const whole = new Uint8Array(bytes);
      for (let at = 0; at < bytes; at += PIECE) {
        whole.set(await this.#engine.call("storeRead", name, at, Math.min(PIECE, bytes - at)), at);
      }
      out.push({ name, bytes: whole });
    }
    // ORDER: after everything was read. Raw bytes say not whose they are; who is the owner now was it all the time.
    await this.#engine.owned();
    return out;
  }
}
