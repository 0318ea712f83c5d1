// Runs the behaviour suite of the backends (tests/browser/suite, compiled to wasm) in a headless browser: every
// test in a dedicated worker of its own, so that a panic or a handle left open is over with its worker.
//
//   node tests/browser/suite.mjs PKG [--browser firefox] [--only WORD]...   PKG: the folder with what wasm-bindgen wrote

import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { listen } from "./desk.mjs";

const { positionals: [pkg], values: { browser, only } } = parseArgs({
  allowPositionals: true,
  options: { browser: { type: "string", default: "chromium" }, only: { type: "string", multiple: true, default: [] } },
});
if (!pkg) {
  console.error("node tests/browser/suite.mjs PKG [--browser firefox] [--only WORD]...");
  process.exit(2);
}

const ok = await listen({
  browser,
  root: join(dirname(fileURLToPath(import.meta.url)), "..", ".."),
  page: "/tests/browser/suite.page",
  // /clear is what the user's "clear site data" does.
  routes: { "/only": () => only, "/clear": () => "" },
  options: { isolated: false, folders: { pkg: resolve(pkg) }, headers: { "/clear": { "Clear-Site-Data": '"storage"' } } },
});
process.exit(ok ? 0 : 1);
