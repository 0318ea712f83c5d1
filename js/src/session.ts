// A session in SQLite's sense: records what changes in some tables, and gives it as a changeset.
//
// In the worker it is called a recording, because a session is an open database there. The rules it keeps: the
// bytes that come in stay the caller's; after `close` every call says so.

import { checkCall } from "./checks.ts";
import { DataSyncError } from "./errors.ts";
import { callOn, type Port } from "./queries.ts";
import { copyOf } from "./rows.ts";
import type { CallOptions, SessionOptions } from "./types.ts";

/** A set of changes that is being recorded. Made by `db.session()`; it ends with the database at the latest. */
export class ChangeSession {
  readonly #port: Port;
  readonly #id: number;
  #closed = false;

  /** Made by `db.session()`. */
  constructor(port: Port, id: number) {
    this.#port = port;
    this.#id = id;
  }

  /** What has changed since it began, with the old values: can be applied, checked against, and inverted. */
  changeset(options: CallOptions = {}): Promise<Uint8Array> {
    return this.#recorded(false, options);
  }

  /** The same without old values of rows: smaller, but notices fewer conflicts and cannot be inverted. */
  patchset(options: CallOptions = {}): Promise<Uint8Array> {
    return this.#recorded(true, options);
  }

  /** Stops recording, and gives back the memory that it took. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#port.client.over) return;
    await this.#port.client.call("unrecord", { recording: this.#id });
  }

  /** `await using session = await db.session()` closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #recorded(patch: boolean, options: CallOptions): Promise<Uint8Array> {
    if (this.#closed) throw new DataSyncError("Misuse", "This session was closed. Begin another with db.session().");
    return callOn(this.#port, "recorded", { recording: this.#id, patch }, options);
  }
}

/** Begins one on `port`. */
export async function beginSession(port: Port, options: SessionOptions): Promise<ChangeSession> {
  checkCall("record", options);
  const { tables } = options;
  if (tables !== undefined && !(Array.isArray(tables) && tables.length > 0 && tables.every(isName))) {
    throw new DataSyncError("Misuse", "session's tables are an array of their names. Leave it out to record every table.");
  }
  const { recording } = await callOn(port, "record", { tables: [...(tables ?? [])] }, options);
  return new ChangeSession(port, recording);
}

function isName(name: unknown): boolean {
  return typeof name === "string" && name !== "" && !name.includes("\0");
}

/** `changes` as they are now, if they are bytes. */
export function checkChanges(changes: unknown): Uint8Array {
  if (changes instanceof Uint8Array || changes instanceof ArrayBuffer) return copyOf(changes);
  throw new DataSyncError("Misuse", "A changeset is a Uint8Array or an ArrayBuffer.");
}
