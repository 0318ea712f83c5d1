// Starts the worker, however this code was bundled.
//
// First as a file beside this one, which bundlers that know `new Worker(new URL(...))` find by themselves;
// if that fails to load, from a copy that is part of this package's code and loaded only then.
// The rule it keeps: an error says what was tried; the storage is the same either way.

import { Client } from "./client.ts";
import { asError } from "./errors.ts";
import { wasmFailed, workerFailed } from "./environment.ts";
import type { FromWorker } from "./protocol.ts";

/** A worker that runs, and the compiled wasm if this page has it. */
export interface Launched {
  client: Client;
  module: WebAssembly.Module | undefined;
}

/** The wasm, once compiled in this page. Not state: only ever the same thing, sooner. */
let compiled: WebAssembly.Module | undefined;
/** Whether the worker's file could not be loaded in this page before, and the copy could. */
let fileFails = false;

/** A worker may take so long to load and to say that it runs, ms. */
const START_MS = 60_000;

/** One way to start a worker, and what it is called in an error. */
type Way = readonly [what: string, start: () => Promise<Launched>];

/** Starts a worker. Fails with `Environment`, and then says of each way why it failed. */
export async function launch(workerUrl: string | URL | undefined): Promise<Launched> {
  if (workerUrl !== undefined) {
    return firstOf([[new URL(workerUrl, globalThis.location?.href).href, () => started(() => at(workerUrl))]]);
  }
  const copy: Way = ["its inlined copy", inline];
  return firstOf(fileFails ? [copy] : [["worker.js", () => started(beside)], copy]);
}

async function firstOf(ways: readonly Way[]): Promise<Launched> {
  const failures: string[] = [];
  let first: unknown;
  for (const [what, start] of ways) {
    try {
      return await start();
    } catch (error) {
      first ??= error;
      failures.push(`${what}: ${asError(error).message}`);
    }
  }
  throw workerFailed(failures.join("; "), first);
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
  compiled ??= await compile(wasmGzipBase64);
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  try {
    const launched = await started(() => at(url));
    // Not before: where the copy does not work either, it was perhaps the network.
    fileFails = true;
    return launched;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function compile(base64: string): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(await gunzip(base64));
  } catch (error) {
    throw wasmFailed(error);
  }
}

async function gunzip(base64: string): Promise<ArrayBuffer> {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Waits until the worker says that it runs. Fails with the reason alone. */
function started(make: () => Worker): Promise<Launched> {
  return new Promise((resolve, reject) => {
    const worker = make();
    const fail = (why: string) => {
      clearTimeout(late);
      worker.terminate();
      reject(new Error(why));
    };
    const late = setTimeout(fail, START_MS, "it says nothing");
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message || "it could not be loaded");
    };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data?.type !== "ready") {
        fail(`it spoke out of turn ("${String(data?.type)}"). Is workerUrl ours?`);
        return;
      }
      clearTimeout(late);
      const client = new Client(worker, data.alive);
      client.onModule = (module) => (compiled = module);
      resolve({ client, module: compiled });
    };
  });
}
