// The npm package in a browser that nobody drives: every promise on every backend, in a page of the unpacked tarball,
// which tells this server how it went. What needs a driver (tabs, quota, a page that is left) is tried in Chromium, by
// run.mjs.
//
// node undriven.mjs --browser firefox|webkit|chromium [--only WORDS] [--backends memory,opfs,indexeddb] [--isolated]

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { startBrowser } from "../../../benches/browser/browsers.mjs";
import { serve } from "../../../benches/browser/serve.mjs";
import { install, plain } from "./builds.mjs";

/** A page that says nothing for this long is stuck. */
const PATIENCE_MS = 120_000;

const { values: asked } = parseArgs({
  options: {
    browser: { type: "string", default: "firefox" },
    isolated: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    backends: { type: "string", default: "memory,opfs,indexeddb" },
  },
});

let kept = 0;
const broken = [];
let finish, timer;
const finished = new Promise((done) => (finish = done));

function expectWord(after) {
  clearTimeout(timer);
  timer = setTimeout(() => finish(`the page was silent for ${PATIENCE_MS / 1000} s: ${after}`), PATIENCE_MS);
}

install();
const { folder } = await plain();
const server = await serve(
  folder,
  {
    "/asked": () => ({ backends: asked.backends.split(","), only: asked.only }),
    "/result": (body) => {
      const { title, wrong, ms } = JSON.parse(body);
      expectWord(`after ${title}`);
      if (wrong === null) kept += 1;
      else broken.push(title);
      console.log(`test ${asked.browser}::${title} ... ${wrong === null ? "ok" : `FAILED\n    ${wrong.replaceAll("\n", "\n    ")}`}  ${ms} ms`);
      return "";
    },
    "/end": (body) => {
      finish(JSON.parse(body).wrong);
      return "";
    },
  },
  { isolated: asked.isolated },
);
const profile = mkdtempSync(join(tmpdir(), "datasync-undriven-"));
expectWord("it never began");
const browser = startBrowser(asked.browser, `${server.url}/apps/everything.html`, profile);
const gone = browser.ended.then(({ code, signal }) => `the browser ended by itself (${code ?? signal})`);
const wrong = await Promise.race([finished, gone]);
clearTimeout(timer);
await browser.kill();
await server.close();
rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });

if (wrong !== null) console.error(wrong);
const ok = wrong === null && broken.length === 0 && kept > 0;
console.log(`\ntest result: ${ok ? "ok" : "FAILED"}. ${kept} passed; ${broken.length} failed; in ${asked.browser}`);
broken.forEach((title) => console.log(`  ${title}`));
process.exit(ok ? 0 : 1);
