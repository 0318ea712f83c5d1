// The npm package in headless Chromium: every promise on every backend, then in applications made from the tarball.
//
// node run.mjs [--only WORDS] [--backends memory,opfs,indexeddb] [--apps plain,vite,...]: `--only` runs the promises
// whose names contain the words. Must not know how the package works. A browser is started with a profile of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { chromium } from "../../../js/node_modules/playwright-core/index.mjs";
import { findChromium } from "../../../benches/browser/chromium.mjs";
import { serve } from "../../../benches/browser/serve.mjs";
import * as builds from "./builds.mjs";
import { extras } from "./extras.mjs";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
/** A promise that is silent for this long is not kept. */
const PATIENCE_MS = 60_000;
/** What is tried in every bundled application. */
const EVERYWHERE = ["values_come_back_as_they_went_in", "what_was_acknowledged_is_there_after_reopening"];
const APPS = {
  plain: { make: builds.plain, worker: /worker\.js$/ },
  vite: { make: builds.viteBuild, worker: /assets\/worker-[\w-]+\.js$/ },
  "vite-dev": { make: builds.viteDev, worker: /worker|^blob:/ },
  webpack: { make: builds.webpackBuild, worker: /\.js$/ },
  esbuild: { make: builds.esbuildBuild, worker: /^blob:/ },
};

const { values: asked } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    backends: { type: "string", default: "memory,opfs,indexeddb" },
    apps: { type: "string", default: Object.keys(APPS).join(",") },
  },
});

let kept = 0;
const broken = [];

/** Runs one test and prints how it went. */
async function test(title, body) {
  const begun = performance.now();
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, `silent for ${PATIENCE_MS} ms`).unref());
  const wrong = await Promise.race([Promise.resolve().then(body).catch((error) => String(error.stack ?? error)), late]);
  if (wrong === undefined) kept += 1;
  else broken.push(title);
  const time = `${(performance.now() - begun).toFixed(0)} ms`;
  console.log(`test ${title} ... ${wrong === undefined ? "ok" : `FAILED\n    ${wrong.replaceAll("\n", "\n    ")}`}  ${time}`);
}

/** Opens the page of an application; `with` gets the page, the workers it starts, and what it prints. */
async function visit(context, served, path, body) {
  const page = await context.newPage();
  const printed = [], workers = [];
  page.on("console", (message) => printed.push(message.text()));
  page.on("pageerror", (error) => printed.push(`error: ${error.message}`));
  page.on("worker", (worker) => workers.push(worker.url()));
  try {
    await page.goto(served.url + path);
    return await body({ page, printed, workers });
  } finally {
    await page.close();
  }
}

async function served(made) {
  return made.url ? made : { ...made, ...(await serve(made.folder, {}, { isolated: false })) };
}

async function tryApp(context, name, { make, worker }) {
  let app;
  await test(`${name}::builds`, async () => void (app = await served(await make())));
  if (!app) return;
  try {
    if (name === "plain") await everything(context, app);
    for (const promise of EVERYWHERE) {
      await test(`${name}::${promise}`, () =>
        visit(context, app, app.page, async ({ page, workers, printed }) => {
          await ready(page, printed);
          const wrong = await page.evaluate(([promise]) => check.run(promise, "opfs"), [promise]);
          if (wrong) return wrong;
          return workers.some((url) => worker.test(url)) ? undefined : `the worker was ${workers}, not ${worker}`;
        }));
    }
    if (name === "vite") await test("vite::a_program_with_names_in_snake_case_runs", () => planExample(context, app));
  } finally {
    await app.close();
  }
}

async function ready(page, printed) {
  await page.waitForFunction(() => globalThis.check !== undefined, undefined, { timeout: 30_000 }).catch(() => {
    throw new Error(`the page did not start: ${printed.join("\n")}`);
  });
}

/** Every promise on every backend, in one page after the other: a page that hangs takes none with it. */
async function everything(context, app) {
  const names = await visit(context, app, app.page, async ({ page, printed }) => {
    await ready(page, printed);
    return page.evaluate(() => check.names);
  });
  for (const backend of asked.backends.split(",")) {
    for (const name of names.filter((name) => name.includes(asked.only))) {
      await test(`${backend}::${name}`, () =>
        visit(context, app, app.page, async ({ page, printed }) => {
          await ready(page, printed);
          const wrong = await page.evaluate(([name, backend]) => check.run(name, backend), [name, backend]);
          return wrong ? `${wrong}\n${printed.join("\n")}` : undefined;
        }));
    }
  }
  for (const [name, body] of Object.entries(extras).filter(([name]) => name.includes(asked.only))) {
    await test(`page::${name}`, () => body({ context, app, visit, ready }));
  }
}

async function planExample(context, app) {
  return visit(context, app, "/plan.html", async ({ page, printed }) => {
    for (let tries = 0; tries < 200 && !printed.some((line) => /persistence|failed|error/i.test(line)); tries += 1) {
      await page.waitForTimeout(50);
    }
    const wanted = ["Inserted 2 users", "Inserted 2 posts", "Transaction committed successfully", "Data persistence verified!"];
    const missing = wanted.filter((words) => !printed.some((line) => line.includes(words)));
    return missing.length === 0 ? undefined : `missing ${missing.join("; ")} in:\n${printed.join("\n")}`;
  });
}

async function main() {
  builds.bundlers();
  builds.install();
  const executablePath = findChromium();
  if (!executablePath) throw new Error("no Chromium found: install one, or set CHROMIUM to its path");
  if (asked.only === "") {
    await test("server::importing_is_safe_and_opening_says_what_to_do", builds.onAServer);
    await test("types::an_application_compiles", builds.types);
  }
  const profile = mkdtempSync(join(tmpdir(), "datasync-package-"));
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS });
  try {
    for (const name of asked.apps.split(",")) await tryApp(context, name, APPS[name]);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
  console.log(`\ntest result: ${broken.length === 0 ? "ok" : "FAILED"}. ${kept} passed; ${broken.length} failed`);
  broken.forEach((title) => console.log(`  ${title}`));
  process.exit(broken.length === 0 ? 0 : 1);
}

await main();
