// Waiting for the browser: what its requests end with, and a limit to how long they may take.
//
// Must not know what is asked for. The rule it keeps: nobody waits for ever, and what comes too late holds nothing.

/** What `setTimeout` can count to, ms: beyond it, it fires at once. */
const COUNTS_TO_MS = 2 ** 31 - 1;

/** Calls `call` in so many milliseconds; in more than timers count to (24.8 days, `Infinity`): never. */
export function later(ms: number, call: () => void): ReturnType<typeof setTimeout> | undefined {
  return ms <= COUNTS_TO_MS ? setTimeout(call, ms) : undefined;
}

/** Fails with `late` if `result` takes longer than so many milliseconds; without it with a `TimeoutError`. */
export async function inTime<T>(ms: number, result: Promise<T>, late?: Error): Promise<T> {
  let timer;
  const end = new Promise<never>((_, reject) => {
    const error = late ?? new DOMException("the browser has not answered for a long time", "TimeoutError");
    timer = setTimeout(reject, ms, error);
  });
  try {
    return await Promise.race([result, end]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a request ends with. */
export function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Resolves when `transaction` is complete. */
export function endOf(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/** The connection that `request` opens, in time; one that comes later is closed. */
export async function connectionOf(request: IDBOpenDBRequest, ms: number): Promise<IDBDatabase> {
  try {
    return await inTime(ms, resultOf(request));
  } catch (error) {
    request.onsuccess = () => request.result.close();
    throw error;
  }
}
