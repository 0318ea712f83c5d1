// A desk for a page that nobody drives: serves it, opens it in a browser of its own, and prints what it tells. The page
// posts `{name, error, ms}` to /result after each test and `{error}` to /end; `error` is null where nothing went wrong.
//
// Must not know what is tested. The rule it keeps: a page that says nothing, or nothing of any test, has failed.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startBrowser } from "../../benches/browser/browsers.mjs";
import { serve } from "../../benches/browser/serve.mjs";

/** A page that is silent for this long is stuck. */
const PATIENCE_MS = 120_000;

/**
 * Listens to `page` of the folder `root` in `browser` to the end; whether all went well. `routes` are what the page asks
 * for besides, `options` those of the server.
 */
export async function listen({ browser: name, root, page, routes, options }) {
  const failed = [];
  let passed = 0, timer, finish;
  const finished = new Promise((done) => (finish = done));
  /** The run is over, with what went wrong if anything did, unless the page says something in time. */
  const expectWord = (doing) => {
    clearTimeout(timer);
    timer = setTimeout(() => finish(`the page was silent for ${PATIENCE_MS / 1000} s: ${doing}`), PATIENCE_MS);
  };
  const result = (body) => {
    const { name, error, ms } = JSON.parse(body);
    expectWord(`after ${name}`);
    if (error === null) passed += 1;
    else failed.push(name);
    console.log(`test ${name} ... ${error === null ? `ok (${ms} ms)` : `FAILED\n    ${error.replaceAll("\n", "\n    ")}`}`);
    return "";
  };
  const end = (body) => {
    finish(JSON.parse(body).error);
    return "";
  };
  const server = await serve(root, { ...routes, "/result": result, "/end": end }, options);
  const profile = mkdtempSync(join(tmpdir(), "datasync-desk-"));
  expectWord("it never began");
  const browser = startBrowser(name, server.url + page, profile);
  const gone = browser.ended.then(({ code, signal }) => `the browser ended by itself (${code ?? signal})`);
  const error = await Promise.race([finished, gone]);
  clearTimeout(timer);
  await browser.kill();
  await server.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });

  const ok = error === null && failed.length === 0 && passed > 0;
  if (error !== null) console.error(error);
  console.log(`\ntest result: ${ok ? "ok" : "FAILED"}. ${passed} passed; ${failed.length} failed; in a headless ${name}`);
  failed.forEach((name) => console.log(`  ${name}`));
  return ok;
}
