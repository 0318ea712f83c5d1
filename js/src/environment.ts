// What the browser, the page and the server must offer, and the sentence for each thing that is missing.
//
// Looks at globals only when asked, never while a module is loaded: importing this package is safe anywhere.
// The rule it keeps: an error says exactly what to change; and nothing falls back to memory.

import { DataSyncError } from "./errors.ts";
import type { Backend } from "./types.ts";

/** The headers that would make a page cross-origin isolated. Nothing in this package needs them. */
export function isolationHeaders(): Record<string, string> {
  return {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  };
}

/** Checks, on the page, what every database needs. */
export function checkPage(): void {
  if (typeof WebAssembly === "undefined") {
    throw environment("WebAssembly is missing or switched off here. A Content-Security-Policy needs 'wasm-unsafe-eval' in script-src.");
  }
  if (typeof Worker !== "undefined") return;
  if (typeof window === "undefined" && typeof (globalThis as { process?: unknown }).process !== "undefined") {
    throw environment(
      "open() runs in a browser, and this is a server or Node. Importing datasync is fine here; call open() in " +
        "code that runs in the browser only (an effect, an event handler, a module loaded by the client).",
    );
  }
  throw environment(
    "This context cannot start a dedicated worker (a service worker and some shared workers cannot). Call open() in " +
      "a page or in a dedicated worker, and talk to it from here with postMessage.",
  );
}

/** Checks, in the worker, that it is one. */
export function checkWorker(scope: object): void {
  if ("DedicatedWorkerGlobalScope" in scope) return;
  throw environment(
    "datasync/worker was loaded outside a dedicated worker, where storage cannot be read without blocking the page. " +
      'Do not import it: `import { open } from "datasync"` starts the worker by itself.',
  );
}

/** Checks, in the worker, what `backend` needs; `undefined` when it is there. */
export async function missing(backend: Backend): Promise<DataSyncError | undefined> {
  if (backend === "memory") return undefined;
  if (globalThis.isSecureContext === false) {
    return environment(
      `The page at ${globalThis.location?.origin ?? "this address"} is no secure context, where browsers offer no ` +
        "storage that is safe to use. Serve it over https, or from localhost.",
    );
  }
  if (!globalThis.navigator?.locks) {
    return environment("This browser has no Web Locks, without which two tabs would damage the database. Use a newer browser.");
  }
  return backend === "opfs" ? missingOpfs() : missingIndexedDb();
}

async function missingOpfs(): Promise<DataSyncError | undefined> {
  const elsewhere = 'Open it with backend: "indexeddb", or leave backend out.';
  const handle = (globalThis as { FileSystemFileHandle?: { prototype: object } }).FileSystemFileHandle;
  if (!handle || !("createSyncAccessHandle" in handle.prototype)) {
    return environment(`This browser has no OPFS sync access handles. ${elsewhere}`);
  }
  try {
    await navigator.storage.getDirectory();
    return undefined;
  } catch (error) {
    return environment(
      `The browser refuses its file system (${nameOf(error)}): a private window, or site data blocked in the settings. ` +
        `Use a normal window and allow this site to store data. ${elsewhere}`,
    );
  }
}

function missingIndexedDb(): DataSyncError | undefined {
  try {
    if (globalThis.indexedDB) return undefined;
  } catch {
    // Reading the property throws where site data is blocked: the same answer.
  }
  return environment("IndexedDB is missing or blocked: a private window, or site data blocked in the settings. Allow this site to store data.");
}

/** The error of a worker that could not be started at all; `failures` says what was tried, and how each ended. */
export function workerFailed(failures: string, cause: unknown): DataSyncError {
  return environment(
    `The worker could not be started (${failures}). With a Content-Security-Policy, allow worker-src 'self' blob: ` +
      "and script-src 'self' 'wasm-unsafe-eval'; or serve datasync/dist/worker.js yourself and pass its address as workerUrl.",
    cause,
  );
}

/** The error of a wasm that could not be loaded. */
export function wasmFailed(error: unknown): DataSyncError {
  if (!("JSTag" in WebAssembly)) {
    return environment(
      "This browser is too old for the wasm, which needs WebAssembly exceptions: Chrome or Edge 137, Firefox 131, Safari " +
        `18.4 or newer. (${String(error)})`,
    );
  }
  return environment(
    `The wasm could not be loaded (${String(error)}). It is datasync/dist/datasync_bg.wasm: serve it as application/wasm, ` +
      "or pass its address as wasmUrl. A Content-Security-Policy needs 'wasm-unsafe-eval' in script-src.",
  );
}

function environment(message: string, cause?: unknown): DataSyncError {
  return new DataSyncError("Environment", message, { cause });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}
