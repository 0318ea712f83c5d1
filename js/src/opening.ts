// In the worker: from a name to a session that is recovered and alone.
//
// The rules it keeps: the lock first, then the storage; never memory unless asked for by name; a database is
// opened where it is, not made a second time elsewhere.

import init, { lastPanic, Medium, StoreImport } from "datasync-wasm";
import { SyncTimer } from "./autosync.ts";
import { needsBallast, throwBallast } from "./ballast.ts";
import { start, type RawMedium } from "./engine.ts";
import { asError, DataSyncError } from "./errors.ts";
import { missing, wasmFailed } from "./environment.ts";
import { take, type Lock } from "./lock.ts";
import type { Session } from "./mailbox.ts";
import { isIn, lockOf } from "./places.ts";
import type { Importing, Opening, WireOptions, WirePlace, WireStorage } from "./protocol.ts";
import { Reader } from "./reader.ts";
import type { Backend, RecoveryReport, StoreFile } from "./types.ts";
import { forget, mourn, remember } from "./witness.ts";

interface Choice {
  backend: Backend;
  why: string;
  /** Nobody asked for it, and nothing is there: another may be tried. */
  free: boolean;
}

/** Bytes written at a time. */
const PIECE = 1 << 20;

/** Whether wasm can be suspended here. Looked at before the wasm's own code is run, which needs a stand-in. */
const suspends = "Suspending" in WebAssembly;

/** Opens the database. */
export async function openSession(
  { options, module }: Opening, wanted: (by: string) => void, compiled: (module: WebAssembly.Module) => void,
): Promise<Session> {
  const loading = load(module, options.wasmUrl, compiled);
  loading.catch(() => {});
  const choice = await choose(options);
  const go = (chosen: Choice) => openOn(chosen, options, wanted, loading);
  try {
    return await go(choice);
  } catch (error) {
    if (!choice.free || choice.backend !== "opfs" || !cannotAtAll(asError(error))) throw error;
    return go({ backend: "indexeddb", why: `OPFS does not work here: ${asError(error).message}`, free: true });
  }
}

async function openOn(
  choice: Choice, options: WireOptions, wanted: (by: string) => void, loading: Promise<void>,
): Promise<Session> {
  const { backend, why, free } = choice;
  const lock = await lockFor(choice, options.name, options.wait, wanted);
  try {
    const absent = backend !== "memory" && !(await isIn(options.name, backend));
    if (absent) await mourn(options.name, free ? ["opfs", "indexeddb"] : [backend]);
    await loading;
    // One that is there may lack its sign: a crash right after it was made.
    const sign = absent ? undefined : remember(options.name, backend);
    const { engine, storage, reader } = await startAt(backend, why, options).finally(() => sign);
    if (absent) await remember(options.name, backend);
    const recovery = JSON.parse(engine.raw.recovery()) as RecoveryReport;
    // ORDER: before anything is acknowledged that the browser's next start could drop.
    if (backend === "indexeddb" && recovery.kind === "unclean" && !options.readOnly && needsBallast()) await throwBallast();
    const { durability, autoSync } = options;
    const answer = { backend, recovery };
    const leave = () => {
      reader?.close();
      lock?.release();
    };
    return { engine, storage, durability, autoSync: new SyncTimer(autoSync), answer, leave };
  } catch (error) {
    lock?.release();
    throw error;
  }
}

/** Makes a database of a store's raw files. `breathe` lets messages in, and throws when it is no longer wanted. */
export async function importFiles(
  { options, module, files }: Importing, breathe: () => Promise<void>,
): Promise<{ backend: Backend }> {
  const loading = load(module, options.wasmUrl, () => {});
  loading.catch(() => {});
  const choice = await choose(options);
  const { backend } = choice;
  const lock = await lockFor(choice, options.name, false, () => {});
  try {
    await loading;
    // ORDER: before the sign is taken away, which a database that stays must keep.
    if (backend !== "memory" && (await isIn(options.name, backend))) throw isThere(options.name, backend);
    await forget(options.name, backend);
    await writeFiles(backend, options.name, files, breathe);
    await remember(options.name, backend);
    return { backend };
  } finally {
    lock?.release();
  }
}

function isThere(name: string, backend: Backend): DataSyncError {
  return new DataSyncError(
    "Misuse", `There is a database "${name}" in ${backend} already. Remove it with destroy("${name}"), or choose another name.`,
  );
}

/** What the wasm had to say before it trapped. */
export function lastWords(): string | undefined {
  try {
    return lastPanic();
  } catch {
    return undefined;
  }
}

async function writeFiles(backend: Backend, name: string, files: StoreFile[], breathe: () => Promise<void>): Promise<void> {
  const way = await StoreImport.begin(backend, name);
  try {
    for (const file of files) {
      await way.file(file.name);
      for (let at = 0; at < file.bytes.byteLength; at += PIECE) {
        await breathe();
        await way.write(file.bytes.subarray(at, at + PIECE));
      }
    }
    await way.finish();
  } catch (error) {
    await way.cancel().catch(() => {});
    throw error;
  }
}

async function lockFor(
  { backend }: Choice, name: string, wait: boolean | number, wanted: (by: string) => void,
): Promise<Lock | undefined> {
  if (backend === "memory") return undefined;
  const refused = await missing(backend);
  if (refused) throw refused;
  return take(lockOf(name, backend), name, wait, wanted);
}

async function choose({ name, backend }: WirePlace): Promise<Choice> {
  if (backend !== undefined) return { backend, why: `The application asked for "${backend}".`, free: false };
  const here = { why: "The database is there already.", free: false };
  const noOpfs = await missing("opfs");
  if (!noOpfs && (await isIn(name, "opfs"))) return { backend: "opfs", ...here };
  if (await isIn(name, "indexeddb")) return { backend: "indexeddb", ...here };
  if (!noOpfs) return { backend: "opfs", why: "OPFS sync access handles work here, and are the fastest.", free: true };
  return { backend: "indexeddb", why: `OPFS does not work here: ${noOpfs.message}`, free: true };
}

/** WebKitGTK has the methods, and then says that it does not support them. */
function cannotAtAll(error: DataSyncError): boolean {
  return error.kind === "Environment" || /NotSupportedError/.test(error.message);
}

async function startAt(backend: Backend, why: string, options: WireOptions) {
  const reader = backend === "indexeddb" && !suspends ? await Reader.start(options.name) : undefined;
  try {
    return { ...(await startReadBy(reader, backend, why, options)), reader };
  } catch (error) {
    reader?.close();
    throw error;
  }
}

async function startReadBy(reader: Reader | undefined, backend: Backend, why: string, options: WireOptions) {
  const reads = readsOf(backend, reader);
  const medium = await mediumOf(backend, options, reads, reader);
  const waiting = reads === "on-demand" ? "suspended" : reads === "worker" ? "blocked" : "never";
  const engine = await start(medium, JSON.stringify(startOptions(backend, options)), waiting);
  const promised = backend === "memory" || options.readOnly ? "none" : options.durability;
  const storage: WireStorage = { backend, why, durability: promised, reads };
  return { engine, storage };
}

function readsOf(backend: Backend, reader: Reader | undefined): WireStorage["reads"] {
  if (backend === "opfs") return "handle";
  if (backend === "memory") return "memory";
  if (suspends) return "on-demand";
  return reader ? "worker" : "resident";
}

function mediumOf(
  backend: Backend, options: WireOptions, reads: WireStorage["reads"], reader: Reader | undefined,
): Promise<RawMedium> | RawMedium {
  const { name, create, readOnly, residentLimitBytes } = options;
  switch (backend) {
    case "opfs":
      return Medium.opfs(name, readOnly ? "readOnly" : create ? "create" : "existing");
    case "indexeddb":
      return Medium.indexeddb(name, JSON.stringify({
        resident: reads === "resident", residentLimitBytes, create: create && !readOnly,
        cacheBytes: cacheOf(backend, options).extents,
      }), reader?.read);
    case "memory":
      return Medium.memory(name);
  }
}

function startOptions(backend: Backend, options: WireOptions): Record<string, unknown> {
  const { segmentBytes, logCapBytes, checksum, readOnly, create, foreignKeys } = options;
  const cacheBytes = cacheOf(backend, options).pages;
  return { segmentBytes, logCapBytes, cacheBytes, checksum, readOnly, create, foreignKeys };
}

/** Memory for SQLite's pages, and for extents of IndexedDB: there a page costs a request, and folds put whole extents. */
function cacheOf(backend: Backend, options: WireOptions): { pages: number; extents: number } {
  if (backend !== "indexeddb") return { pages: options.cacheBytes ?? 8 << 20, extents: 0 };
  const bytes = options.cacheBytes ?? 16 << 20;
  const pages = Math.floor(bytes / 8);
  return { pages, extents: bytes - pages };
}

let loaded: Promise<void> | undefined;

/** Loads the wasm, once. */
function load(
  module: WebAssembly.Module | undefined, url: string | undefined, compiled: (module: WebAssembly.Module) => void,
): Promise<void> {
  loaded ??= (async () => {
    // The wasm's own code names this when it starts, even where nothing is ever suspended.
    const engine = WebAssembly as { Suspending?: unknown; promising?: unknown };
    engine.Suspending ??= function (f: unknown) {
      return f;
    };
    engine.promising ??= (f: unknown) => f;
    try {
      if (module) {
        await init({ module_or_path: module });
        return;
      }
      const found = await compile(url ?? new URL("./datasync_bg.wasm", import.meta.url).href);
      await init({ module_or_path: found });
      compiled(found);
    } catch (error) {
      loaded = undefined;
      throw wasmFailed(error);
    }
  })();
  return loaded;
}

async function compile(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/wasm")) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}
