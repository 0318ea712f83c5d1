// The demo page, driven as a person would: with the keyboard, the mouse and files, in headless Chromium.
//
//   node --test tests/browser/demo.mjs      (after `cargo xtask npm`; `cargo xtask test demo` does both)
//
// Must not reach into the package: everything is done and read on the page, in what it downloads, or with
// SQLite and the command line outside. No assertion depends on time.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { findChromium } from "../../benches/browser/chromium.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const { chromium } = createRequire(join(ROOT, "js", "package.json"))("playwright-core");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
/** A page that has not got there by then is stuck: far more than any machine needs. */
const STUCK_MS = 60_000;

const work = mkdtempSync(join(tmpdir(), "datasync-demo-"));
let site;

/** Starts `cargo xtask demo` on a free port; its address, and how to end it. */
async function serve(...options) {
  const program = process.env.XTASK ? [process.env.XTASK] : ["cargo", "xtask"];
  const words = [...program.slice(1), "demo", "--no-build", "--port", "0", ...options];
  const child = spawn(program[0], words, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const gone = new Promise((_, no) => child.once("exit", (code) => no(new Error(`the server ended with ${code}`))));
  gone.catch(() => {});
  const lines = createInterface({ input: child.stdout });
  const address = new Promise((yes) => lines.once("line", yes));
  return { address: await Promise.race([address, gone]), end: () => child.kill() };
}

before(async () => {
  site = await serve();
  // Else every test would wait for a page that never comes.
  const { ok, status } = await fetch(site.address);
  assert.ok(ok, `${site.address}: HTTP ${status}`);
});
after(() => {
  site?.end();
  rmSync(work, { recursive: true, force: true });
});

/** A browser with a profile of its own, in which nothing was stored before. Ended with the test. */
async function browse(t, options = {}) {
  const context = await chromium.launchPersistentContext(mkdtempSync(join(work, "profile-")), {
    executablePath: findChromium(),
    headless: true,
    args: FLAGS,
    acceptDownloads: true,
    ...options,
  });
  t.after(() => context.close());
  context.setDefaultTimeout(STUCK_MS);
  const problems = [];
  const strangers = [];
  context.on("page", (page) => {
    page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (hostname !== "localhost" && protocol.startsWith("http")) strangers.push(request.url());
    });
  });
  return {
    context,
    /** Opens the page in a new tab and waits until it is in `state`. */
    async open({ backend, state = "open", address = site.address } = {}) {
      const page = await context.newPage();
      if (backend !== undefined) {
        await page.addInitScript(([key, value]) => {
          if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
        }, ["datasync-demo-settings", JSON.stringify({ backend, durability: "durable" })]);
      }
      await page.goto(address);
      await reach(page, state);
      return page;
    },
    /** Nothing went wrong unnoticed, and nobody else was asked for anything. */
    quiet() {
      assert.deepEqual(problems, []);
      assert.deepEqual(strangers, []);
    },
  };
}

/** Waits until the page is in `state`; when it fails to open, its own words are the error. */
async function reach(page, state) {
  const now = await page.waitForFunction(
    ([wanted]) => {
      const is = document.body.dataset.state;
      return is === wanted || (is === "failed" ? document.querySelector("#notice").innerText : false);
    },
    [state],
  );
  const value = await now.jsonValue();
  assert.equal(value, true, `the page should be "${state}": ${value}`);
}

/** Types `sql` over what is there, runs it with the keyboard, and waits for the answer. */
async function run(page, sql) {
  await page.fill("#sql", sql);
  await page.focus("#sql");
  await page.keyboard.press("Control+Enter");
  await answered(page);
}

async function answered(page) {
  await page.waitForFunction(() => {
    const said = document.querySelector("#answer").textContent;
    return said !== "" && said !== "running" && !document.querySelector("#console").hasAttribute("aria-busy");
  });
}

/** The rows that the last result shows, as texts. */
function rows(page) {
  return page.$$eval("#results .grid", (grids) =>
    Array.from(grids.at(-1)?.querySelectorAll("tbody tr") ?? [], (line) => Array.from(line.cells, (cell) => cell.textContent)));
}

async function valueOf(page, sql) {
  await run(page, sql);
  const [[value]] = await rows(page);
  return value;
}

/** Lets the page crash once and reads what it tells of it. */
async function crash(page) {
  await page.evaluate(() => document.querySelector("#report").replaceChildren());
  await page.click("#crash");
  await page.waitForSelector("#report > *");
  const count = (fate) => page.locator(`#tally .dot.${fate}`).count();
  return {
    looks: await page.getAttribute("#report > :first-child", "class"),
    text: await page.innerText("#report > :first-child"),
    report: (await page.locator("#report dd").allInnerTexts()),
    kept: await count("kept"),
    extra: await count("extra"),
    none: await count("none"),
    lost: await count("lost"),
    gone: await count("gone"),
    waiting: await count("wait"),
  };
}

test("an example answers, and a mistake is shown as it is", async (t) => {
  const browser = await browse(t);
  const page = await browser.open();
  await page.click("#examples button:has-text('Best sellers')");
  await answered(page);
  assert.equal((await rows(page)).length, 20);
  await page.click("#examples button:has-text('Search the reviews')");
  await answered(page);
  const found = await rows(page);
  assert.ok(found.length > 0 && found.every(([, words]) => /\[(cellos|trumpet|rain)\]/i.test(words)), String(found));
  for (const name of ["A chart in SQL", "Rank by genre", "An album as JSON", "Sell one", "Is it whole?"]) {
    await page.click(`#examples button:has-text('${name}')`);
    await answered(page);
    assert.equal(await page.locator(".problem").count(), 0, `${name}: ${await page.innerText("#results")}`);
    assert.ok((await rows(page)).length > 0, name);
  }
  await page.click("#examples button:has-text('A mistake')");
  await answered(page);
  assert.match(await page.innerText(".problem"), /Constraint.*275.*CHECK constraint failed: stock >= 0/);
  await run(page, "SELECT 1 AS one; SELEKT 2");
  assert.deepEqual(await rows(page), [["1"]], "what succeeded before the error stays");
  assert.match(await page.innerText(".problem"), /near "SELEKT": syntax error/);
  await run(page, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, NULL, x'ff', 2.5 FROM n LIMIT 100000");
  const many = await rows(page);
  assert.equal(many.length, 500, "a large answer is cut, and says so");
  assert.deepEqual(many[0], ["1", "NULL", "x'ff' (1 bytes)", "2.5"]);
  assert.match(await page.innerText("#results"), /There are more rows/);
  browser.quiet();
});

test("the keyboard alone reaches everything", async (t) => {
  const browser = await browse(t);
  const page = await browser.open();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.focus("#sql");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("SELECT * FROM (VALUES (1, 2), (3, 4), (5, 6))");
  await page.keyboard.press("Control+Enter");
  await answered(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), "sql", "the focus stays where one types");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "run");
  await page.keyboard.press("Tab");
  const at = () => page.evaluate(() => document.activeElement.textContent);
  assert.equal(await at(), "1", "the result is the next stop");
  for (const [key, expected] of [["ArrowRight", "2"], ["ArrowDown", "4"], ["End", "4"], ["Home", "3"],
    ["Control+End", "6"], ["ArrowDown", "6"], ["Control+Home", "1"]]) {
    await page.keyboard.press(key);
    assert.equal(await at(), expected, key);
  }
  const nameless = await page.$$eval("button, select, input, textarea, canvas, [role=img]:not([hidden])", (all) =>
    all.filter((element) => {
      const labels = element.labels?.length ?? 0;
      return labels === 0 && !element.textContent.trim() && !element.getAttribute("aria-label");
    }).map((element) => element.outerHTML));
  assert.deepEqual(nameless, [], "everything has a name");
  browser.quiet();
});

for (const backend of ["opfs", "indexeddb"]) {
  test(`a worker killed in mid-commit loses no acknowledged commit (${backend})`, async (t) => {
    const browser = await browse(t);
    const page = await browser.open({ backend });
    for (let round = 0; round < 3; round++) {
      const seen = await crash(page);
      assert.match(seen.looks, /\bgood\b/, seen.text);
      assert.ok(seen.kept >= 40, `the page was told of ${seen.kept} commits`);
      assert.equal(seen.lost + seen.gone + seen.waiting, 0);
      assert.equal(seen.report[0].toLowerCase(), "unclean", `the report says what was found: ${seen.report}`);
      // Counted by SQL, not by the page.
      await reach(page, "open");
      const there = await valueOf(page, "SELECT count(*) FROM crash_sale");
      assert.equal(Number(there), seen.kept + seen.extra);
      const till = await valueOf(page, "SELECT sales FROM crash_till");
      assert.equal(till, there, "no half of a commit");
    }
    assert.equal(await valueOf(page, "PRAGMA integrity_check"), "ok");
    browser.quiet();
  });

  test(`a crash among applied commits leaves a beginning without a gap (${backend})`, async (t) => {
    const browser = await browse(t);
    const page = await browser.open({ backend });
    await page.check("#applied", { force: true });
    await page.waitForFunction(() => document.querySelector("#state").textContent.includes("applied"));
    const seen = await crash(page);
    assert.doesNotMatch(seen.looks, /\bbad\b/, seen.text);
    await reach(page, "open");
    const [[least, most, count]] = await (async () => {
      await run(page, "SELECT coalesce(min(n), 1), coalesce(max(n), 0), count(*) FROM crash_sale");
      return rows(page);
    })();
    assert.deepEqual([Number(least), Number(most)], [1, Number(count)]);
    assert.equal(Number(count), seen.kept + seen.extra);
    assert.equal(seen.lost, 0, "what was never promised is not called lost");
    browser.quiet();
  });

  test(`what was committed is there after a reload (${backend})`, async (t) => {
    const browser = await browse(t);
    const page = await browser.open({ backend });
    await run(page, "CREATE TABLE kept (words TEXT); INSERT INTO kept VALUES ('still here')");
    await page.click("#sell");
    await page.waitForFunction(() => document.querySelectorAll("#events li").length > 5);
    await page.reload();
    await reach(page, "open");
    assert.equal(await valueOf(page, "SELECT words FROM kept"), "still here");
    assert.equal(await valueOf(page, "PRAGMA integrity_check"), "ok");
    // And the drawing has something to show: a fold empties the log into the base.
    await page.click("#large");
    await page.waitForFunction(() => document.querySelector("#events").textContent.includes("photographs"));
    await page.click("#fold");
    await page.waitForFunction(() => document.querySelector("#events").textContent.includes("folded into the base"));
    browser.quiet();
  });

  test(`the store's own bytes verify natively (${backend})`, async (t) => {
    const program = process.env.DATASYNC ?? join(ROOT, "target", "debug", "datasync");
    if (!existsSync(program)) return t.skip(`${program} is not built: cargo xtask test tour`);
    const browser = await browse(t);
    const page = await browser.open({ backend });
    await run(page, "CREATE TABLE note (words TEXT); INSERT INTO note VALUES ('in the log')");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#bytes")]);
    const folder = join(work, `bytes-${backend}`);
    mkdirSync(folder);
    await download.saveAs(join(folder, "store.tar"));
    execFileSync("tar", ["xf", "store.tar"], { cwd: folder });
    const native = (...words) => execFileSync(program, words, { cwd: folder, encoding: "utf8" });
    native("verify", "record-shop.datasync");
    assert.match(native("sql", "record-shop.datasync", "--csv", "SELECT words FROM note"), /in the log/);
    browser.quiet();
  });
}

test("memory keeps nothing, and says so", async (t) => {
  const browser = await browse(t);
  const page = await browser.open({ backend: "memory" });
  const seen = await crash(page);
  assert.match(seen.text, /never chosen unless asked for by name/);
  assert.equal(seen.kept, 0);
  browser.quiet();
});

test("an exported file is a plain SQLite database, and comes back", async (t) => {
  const browser = await browse(t);
  const page = await browser.open();
  const sales = await valueOf(page, "SELECT count(*) FROM sale");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  const file = join(work, "export.db");
  await download.saveAs(file);
  const sqlite = (sql) => execFileSync("sqlite3", [file, sql], { encoding: "utf8" }).trim();
  assert.equal(sqlite("PRAGMA integrity_check; SELECT count(*) FROM sale"), `ok\n${sales}`);
  sqlite("CREATE TABLE guest (words TEXT); INSERT INTO guest VALUES ('from outside'); DELETE FROM sale WHERE id > 10");
  await page.setInputFiles("#import", file);
  await page.waitForFunction(() => document.querySelector("#files-state").textContent.includes("is in:"));
  assert.equal(await valueOf(page, "SELECT words FROM guest"), "from outside");
  assert.equal(await valueOf(page, "SELECT count(*) FROM sale"), "10");
  await page.reload();
  await reach(page, "open");
  assert.equal(await valueOf(page, "SELECT words FROM guest"), "from outside", "an import is a commit");

  await page.setInputFiles("#import", { name: "letter.db", mimeType: "text/plain", buffer: Buffer.from("Dear database, ".repeat(99)) });
  await page.waitForSelector("#files-state .problem");
  assert.match(await page.innerText("#files-state .problem"), /NotAStore.*Nothing was changed/s);
  assert.equal(await valueOf(page, "SELECT count(*) FROM sale"), "10", "a refused file changes nothing");

  await page.click("#sample");
  await page.waitForFunction(() => document.querySelector("#files-state").textContent.includes("first day"));
  assert.equal(await valueOf(page, "SELECT count(*) FROM sale"), sales);
  browser.quiet();
});

test("a second tab says who has the database, and takes it over when asked to", async (t) => {
  const browser = await browse(t);
  const first = await browser.open();
  await run(first, "CREATE TABLE note (words TEXT); INSERT INTO note VALUES ('from the first tab')");
  const second = await browser.open({ state: "busy" });
  assert.match(await second.innerText("#notice"), /Another tab has the shop/);
  assert.equal(await first.evaluate(() => document.body.dataset.state), "open", "looking takes nothing away");
  await second.click("#notice button:has-text('Move it here')");
  await reach(second, "open");
  await reach(first, "moved");
  assert.match(await first.innerText("#notice"), /Moved to another tab/);
  assert.equal(await valueOf(second, "SELECT words FROM note"), "from the first tab");
  await run(second, "UPDATE note SET words = 'from the second tab'");
  await first.click("#notice button:has-text('Move it back')");
  await reach(first, "open");
  assert.equal(await valueOf(first, "SELECT words FROM note"), "from the second tab");
  browser.quiet();
});

test("nothing is wider than a phone", async (t) => {
  const browser = await browse(t, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  const page = await browser.open();
  await page.click("#examples button:has-text('Best sellers')");
  await answered(page);
  await crash(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  const small = await page.$$eval("button:not([hidden]), select, summary", (all) =>
    all.filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 28)
      .map((element) => element.outerHTML));
  assert.deepEqual(small, [], "a finger can meet it");
  browser.quiet();
});

test("an isolated page is as good as any", async (t) => {
  const isolated = await serve("--isolated");
  t.after(() => isolated.end());
  const browser = await browse(t);
  const page = await browser.open({ address: isolated.address });
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.equal(await valueOf(page, "SELECT count(*) FROM album"), "256");
  const seen = await crash(page);
  assert.match(seen.looks, /\bgood\b/, seen.text);
  browser.quiet();
});
