// Starts the worker, however this code was bundled.
//
// First as a file beside this one, which bundlers that know `new Worker(new URL(...))` find by themselves;
// if that fails to load, from a copy that is part of this package's code and loaded only then.
// The rule it keeps: an error says what was tried; the storage is the same either way.

import { Client } from "./client.ts";
import { DataSyncError } from "./errors.ts";
import { workerFailed } from "./environment.ts";
import type { FromWorker } from "./protocol.ts";

/** A worker that runs, and the compiled wasm if this page has it. */
export interface Launched {
  client: Client;
  module: WebAssembly.Module | undefined;
}

/** The wasm, once compiled in this page. Not state: only ever the same thing, sooner. */
let compiled: WebAssembly.Module | undefined;
/** Whether the worker's file could not be loaded in this page before. */
let fileFails = false;

/** A worker may take so long to load and to say that it runs, ms. */
const START_MS = 60_000;

/** Starts a worker. */
export async function launch(workerUrl: string | URL | undefined): Promise<Launched> {
  if (workerUrl !== undefined) return started(new URL(workerUrl, globalThis.location?.href).href, () => at(workerUrl));
  if (!fileFails) {
    try {
      return await started("worker.js", beside);
    } catch {
      fileFails = true;
    }
  }
  return inline();
}

function at(url: string | URL): Worker {
  return new Worker(url, { type: "module", name: "datasync" });
}

/** Bundlers look for exactly this expression. */
function beside(): Worker {
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "datasync" });
}

async function inline(): Promise<Launched> {
  const { workerSource, wasmGzipBase64 } = await import("./inline.ts");
  compiled ??= await WebAssembly.compile(await gunzip(wasmGzipBase64));
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  try {
    return await started("its inlined copy", () => at(url));
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function gunzip(base64: string): Promise<ArrayBuffer> {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Waits until the worker says that it runs. */
function started(what: string, make: () => Worker): Promise<Launched> {
  return new Promise((resolve, reject) => {
    let worker: Worker;
    try {
      worker = make();
    } catch (error) {
      reject(workerFailed(what, error instanceof Error ? error.message : String(error)));
      return;
    }
    const fail = (why: string) => {
      worker.terminate();
      reject(workerFailed(what, why));
    };
    const late = setTimeout(fail, START_MS, "it says nothing");
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message || "it could not be loaded");
    };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      clearTimeout(late);
      if (data?.type !== "ready") {
        reject(new DataSyncError("Misuse", `The worker spoke out of turn ("${String(data?.type)}"). Is workerUrl ours?`));
        worker.terminate();
        return;
      }
      const client = new Client(worker, data.alive);
      client.onModule = (module) => (compiled = module);
      resolve({ client, module: compiled });
    };
  });
}
