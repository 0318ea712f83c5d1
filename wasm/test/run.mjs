// Runs session.mjs in a worker of a real Chromium: node wasm/test/run.mjs [FOLDER OF THE MODULE]
//
// Must not know what is promised. Rule: a run that says nothing has failed.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { startChromium } from "../../benches/browser/chromium.mjs";
import { serve } from "../../benches/browser/serve.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const pkg = resolve(process.argv[2] ?? join(here, "../../target/web/pkg"));
let [kept, broken, finish] = [0, 0, undefined];
const finished = new Promise((done) => { finish = done; });

function report(body) {
  const { test, error, ms, done } = JSON.parse(body);
  if (test) console.log(`${error ? "FAILED" : "ok"}  ${test}  ${Math.round(ms)} ms`);
  if (error) console.log(error);
  if (error) broken += 1; else if (test) kept += 1;
  if (done) finish();
  return "";
}

const server = await serve(here, { "/report": report }, { isolated: false, folders: { pkg } });
const profile = mkdtempSync(join(tmpdir(), "datasync-session-"));
const browser = startChromium(`${server.url}/session.html`, profile);
const timer = setTimeout(() => report(JSON.stringify({ error: "no answer for 3 minutes", done: true })), 180_000);
await finished;
clearTimeout(timer);
await browser.kill();
await server.close();
rmSync(profile, { recursive: true, force: true });
console.log(`# pass ${kept}\n# fail ${broken}`);
process.exit(broken > 0 || kept === 0 ? 1 : 0);
