// One owner of a database in all tabs: a Web Lock, and asking its holder to let go.
//
// Must not know storage. The rule it keeps: nobody touches the storage without the lock; a waiter that gives up
// leaves nothing behind.

import { asError, DataSyncError } from "./errors.ts";

/** A lock that is held. */
export interface Lock {
  release(): void;
}

/** Takes the lock `id` of the database `name`; `wanted` is called when another tab asks for it. */
export async function take(
  id: string, name: string, wait: boolean | number, wanted: (by: string) => void,
): Promise<Lock> {
  const channel = new BroadcastChannel(id);
  let release: (() => void) | undefined;
  try {
    release = (await hold(id, { ifAvailable: true })) ?? (await waitFor(id, wait, channel));
    if (!release) throw busy(name, wait);
  } catch (error) {
    channel.close();
    throw error;
  }
  channel.onmessage = ({ data }: MessageEvent<{ wanted?: string } | null>) => {
    if (typeof data?.wanted === "string") wanted(data.wanted);
  };
  // Those who wait have asked a holder that is gone.
  channel.postMessage({ taken: true });
  const held = release;
  return {
    release() {
      channel.close();
      held();
    },
  };
}

async function waitFor(
  id: string, wait: boolean | number, channel: BroadcastChannel,
): Promise<(() => void) | undefined> {
  if (wait === false || wait === 0) return undefined;
  const ask = () => channel.postMessage({ wanted: globalThis.location?.href ?? "" });
  channel.onmessage = ({ data }: MessageEvent<{ taken?: boolean } | null>) => {
    if (data?.taken) ask();
  };
  ask();
  return hold(id, typeof wait === "number" ? { signal: AbortSignal.timeout(wait) } : {});
}

/** The function that gives the lock back, or `undefined` if it could not be had. */
function hold(id: string, options: LockOptions): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const held = (lock: globalThis.Lock | null): Promise<void> | undefined => {
      if (!lock) {
        resolve(undefined);
        return undefined;
      }
      return new Promise<void>((release) => resolve(release));
    };
    navigator.locks.request(id, options, held).catch((error: unknown) => {
      if (options.signal?.aborted) resolve(undefined);
      else reject(refused(error));
    });
  });
}

function refused(error: unknown): DataSyncError {
  return new DataSyncError(
    "Environment",
    `The browser refuses Web Locks here (${asError(error).message}): a sandboxed frame, or site data blocked in the settings. Give the ` +
      'frame allow-same-origin and allow this site to store data, or open with backend: "memory".',
  );
}

function busy(name: string, wait: boolean | number): DataSyncError {
  const waited = typeof wait === "number" && wait > 0 ? ` (waited ${wait} ms)` : "";
  return new DataSyncError(
    "Busy",
    `"${name}" is open in another tab, or in this page${waited}. Close it there, or open it with { wait: true }: then its ` +
      'holder gets the event "wanted", and this opens as soon as it is closed.',
  );
}
