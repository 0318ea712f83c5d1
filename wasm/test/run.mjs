// Runs session.mjs in a worker of a headless Chromium: node wasm/test/run.mjs [FOLDER OF THE MODULE]
//
// Needs `npm ci` in js/ (for playwright-core) and a Chromium: named by CHROMIUM, or found on PATH.

import { createServer } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { createRequire } from "node:module";

const here = new URL(".", import.meta.url).pathname;
const pkg = process.argv[2] ?? join(here, "../../target/web/pkg");
const { chromium } = createRequire(join(here, "../../js/package.json"))("playwright-core");

function browser() {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const found = (process.env.PATH ?? "").split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
  const path = process.env.CHROMIUM ?? found;
  if (path === undefined) throw new Error("no Chromium: install one, or name it with CHROMIUM=/path/to/it");
  return path;
}

const types = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  if (path === "/") return response.setHeader("content-type", "text/html").end("<!doctype html><title>tests</title>");
  const file = path.startsWith("/pkg/") ? join(pkg, path.slice(5)) : join(here, path);
  if (path.includes("..") || !existsSync(file)) return response.writeHead(404).end();
  response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream").end(readFileSync(file));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address();

const profile = mkdtempSync(join(tmpdir(), "datasync-wasm-"));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
let failures = 0;
const context = await chromium.launchPersistentContext(profile, { executablePath: browser(), args: flags });
try {
  const page = await context.newPage();
  await page.exposeFunction("report", ({ test, error, ms }) => {
    if (error) failures += 1;
    console.log(`${error ? "FAIL" : "ok  "} ${test} (${ms.toFixed(0)} ms)${error ? `\n${error}` : ""}`);
  });
  await page.goto(`http://localhost:${port}/`);
  const trouble = await page.evaluate(() => new Promise((resolve) => {
    const worker = new Worker("/session.mjs", { type: "module" });
    let loaded = false;
    worker.onerror = (event) => loaded
      ? window.report({ test: "nothing is thrown where nobody catches it", error: event.message, ms: 0 })
      : resolve(event.message ?? "the worker did not load");
    worker.onmessage = ({ data }) => {
      loaded = true;
      if (data.done) resolve(data.error ?? null); else window.report(data);
    };
    setTimeout(() => resolve("no answer for 120 s"), 120_000);
  }));
  if (trouble) { failures += 1; console.log(`FAIL ${trouble}`); }
} finally {
  await context.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exitCode = failures > 0 ? 1 : 0;
