// What every promise of the package is tried with: databases of its own, and ways to say what was wanted.
//
// Must not know any promise.

/** The package in one backend, under a name that nobody else uses. */
export class Use {
  constructor(datasync, backend, name) {
    Object.assign(this, datasync, { backend, name, opened: [] });
  }
  async db(options = {}) {
    const db = await this.open({ name: this.name, backend: this.backend, ...options });
    this.opened.push(db);
    return db;
  }
  /** Whether the backend keeps anything. */
  get keeps() {
    return this.backend !== "memory";
  }
  async end() {
    for (const db of this.opened) await db.close().catch(() => {});
    if (this.keeps) await this.destroy(this.name).catch(() => {});
  }
}

/** Throws unless both are the same, value by value. */
export function equal(found, wanted, what = "") {
  const text = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array ? `bytes ${[...v]}` : v));
  if (text(found) !== text(wanted)) throw new Error(`${what} wanted ${text(wanted)}, found ${text(found)}`);
}

/** Throws unless `promise` fails with this kind and these words; the error. */
export async function fails(promise, kind, words = /./) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    if (error.name !== "DataSyncError" || error.kind !== kind || !words.test(error.message)) {
      throw new Error(`wanted a DataSyncError ${kind} ${words}, found ${error.name} ${error.kind}: ${error.message}`);
    }
    return error;
  }
  throw new Error(`wanted an error ${kind}, found ${String(value)}`);
}

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
