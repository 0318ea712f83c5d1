// Runs the behaviour suite of the backends (tests/browser/suite, compiled to wasm) in a headless browser: every
// test in a dedicated worker of its own, so that a panic or a handle left open is over with its worker.
//
//   node tests/browser/suite.mjs PKG [--browser firefox] [--only WORD]...   PKG: the folder with what wasm-bindgen wrote

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { startBrowser } from "../../benches/browser/browsers.mjs";
import { serve } from "../../benches/browser/serve.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** A page that is silent for this long is stuck. */
const PATIENCE_MS = 120_000;

const { positionals: [pkg], values: { browser: name, only } } = parseArgs({
  allowPositionals: true,
  options: { browser: { type: "string", default: "chromium" }, only: { type: "string", multiple: true, default: [] } },
});
if (!pkg) {
  console.error("node tests/browser/suite.mjs PKG [--browser firefox] [--only WORD]...");
  process.exit(2);
}

const profile = mkdtempSync(join(tmpdir(), "datasync-suite-"));
let failed = 0;
let passed = 0;
let finish;
let timer;
const finished = new Promise((done) => (finish = done));

/** The run is over, with what went wrong if anything did, unless the page says something in time. */
function expectWord(doing) {
  clearTimeout(timer);
  timer = setTimeout(() => finish(`the page was silent for ${PATIENCE_MS / 1000} s: ${doing}`), PATIENCE_MS);
}

const server = await serve(
  ROOT,
  {
    "/only": () => only,
    // What the user's "clear site data" does.
    "/clear": () => "",
    "/result": (body) => {
      const { name, error, ms } = JSON.parse(body);
      expectWord(`after ${name}`);
      if (error === null) passed += 1;
      else failed += 1;
      console.log(`test ${name} ... ${error === null ? `ok (${ms} ms)` : `FAILED\n    ${error.replaceAll("\n", "\n    ")}`}`);
      return "";
    },
    "/end": (body) => {
      finish(JSON.parse(body).error);
      return "";
    },
  },
  { isolated: false, folders: { pkg: resolve(pkg) }, headers: { "/clear": { "Clear-Site-Data": '"storage"' } } },
);
expectWord("it never began");
const browser = startBrowser(name, `${server.url}/tests/browser/suite.html`, profile);
const gone = browser.ended.then(({ code, signal }) => `the browser ended by itself (${code ?? signal})`);
const error = await Promise.race([finished, gone]);
clearTimeout(timer);
await browser.kill();
await server.close();
rmSync(profile, { recursive: true, force: true });

const ok = error === null && failed === 0 && passed > 0;
if (error !== null) console.error(error);
console.log(`\ntest result: ${ok ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed; in a headless ${name}`);
process.exit(ok ? 0 : 1);
