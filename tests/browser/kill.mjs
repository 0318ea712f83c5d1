// `cargo xtask kill --browser chromium`, or firefox: kills a whole browser with SIGKILL while its page commits, opens the same
// profile again and compares what is there with what the page had said was committed. Again and again, by a seed.
//
// What must hold after every kill: every acknowledged transaction is there; nothing but those and at most the ones
// that were under way, and these in order; a large transaction is there as a whole or not at all; what was there at
// one look is there at the next; SQLite's integrity_check and the store's own verify find nothing.
//
// A SIGKILL leaves what the operating system holds: power cuts are `cargo xtask crash`'s part.

import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { startBrowser } from "../../benches/browser/browsers.mjs";
import { dice } from "../../benches/browser/page/data.js";
import { serve } from "../../benches/browser/serve.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** Kills that one profile lives through. */
const LIVES = 10;
/** A page that is silent for this long is stuck. */
const PATIENCE_MS = 60_000;
const ROW_BYTES = 1000;

/** What a writer does: rows of its transactions in turn (0: a single-row commit) and how many are under way. */
const SCENARIOS = {
  single: { sizes: [0], lanes: 1 },
  inflight: { sizes: [0], lanes: 16 },
  mixed: { sizes: [0, 0, 0, 300, 0, 0, 3000], lanes: 1 },
  large: { sizes: [6000, 0], lanes: 1 },
  crowd: { sizes: [0, 0, 0, 0, 0, 500, 0, 0], lanes: 4 },
  // More than the log may hold at once and than memory keeps of one transaction.
  huge: { sizes: [24_000, 0, 0], lanes: 1 },
};

/** A log so small that it is folded all the time. */
const SMALL_LOG = { segmentBytes: 256 << 10, logCapBytes: 2 << 20 };

/** What must be noticed; peers have no `applied`. */
const CHEATS = { early: {}, applied: { durability: "applied" } };

class Violation extends Error {}

/** One profile and everything that is known of its database. */
class Story {
  constructor(side, salt) {
    this.side = side;
    this.salt = salt;
    this.profile = mkdtempSync(join(tmpdir(), "datasync-kill-"));
    this.report = join(this.profile, "acknowledged");
    this.lives = 0;
    /** The newest transaction at the last look; it must never be gone again. */
    this.newest = 0;
    this.forget();
  }

  /** What was learnt at a look replaces what was said before. */
  forget() {
    this.acked = new Set();
    this.lanes = 0;
  }

  ack(n) {
    // Written down before the page hears that we know: it does not go on before.
    appendFileSync(this.report, `${n}\n`);
    this.acked.add(n);
  }

  /** Compares what a page found with what must be there. */
  compare({ newest, wrong }) {
    if (wrong.length > 0) throw new Violation(wrong.join(". "));
    const most = Math.max(this.newest, ...this.acked);
    if (newest < most) {
      const lost = [...this.acked].filter((n) => n > newest).length;
      throw new Violation(`transaction ${most} was acknowledged and the database ends at ${newest}: ${lost} lost`);
    }
    const bound = this.newest + this.acked.size + this.lanes;
    if (newest > bound) throw new Violation(`the database ends at ${newest}, nobody can have begun more than ${bound}`);
    const unheard = newest - this.newest - this.acked.size;
    this.newest = newest;
    this.forget();
    return unheard;
  }

  /**
   * Whether Chromium itself gave up all that the origin had in IndexedDB, as it wrote down, and the page was told that its
   * database is gone (decision 0018). Anything else that is missing is ours.
   */
  isLostByBrowser(error) {
    const base = join(this.profile, "Default", "IndexedDB");
    const says = (folder) => existsSync(join(base, folder, "corruption_info.json"));
    return error instanceof Violation && /was in this browser's IndexedDB and is gone/.test(error.message)
      && existsSync(base) && readdirSync(base).some(says);
  }

  remove() {
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** What the page of the moment talks to. */
class Desk {
  constructor() {
    /** Acknowledgements of all lives. */
    this.acks = 0;
    this.begin({}, undefined);
  }

  begin(plan, story) {
    this.plan = plan;
    this.story = story;
    this.found = new Promise((resolve, reject) => {
      this.onFound = resolve;
      this.onFailed = (sentence) => reject(new Violation(`the page failed: ${sentence}`));
    });
    this.end = new Promise((resolve) => (this.onEnd = resolve));
    this.found.catch(() => {});
    this.trouble = undefined;
  }

  routes() {
    const parsed = (use) => (body) => void use(JSON.parse(body));
    return {
      "/plan": () => this.plan,
      "/ack": parsed((n) => {
        this.acks += 1;
        this.story.ack(n);
      }),
      "/found": parsed((found) => this.onFound(found)),
      "/end": parsed(() => this.onEnd()),
      "/failed": parsed((sentence) => {
        this.trouble = sentence;
        this.onFailed(sentence);
        this.onEnd();
      }),
    };
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Violation(`${what}: nothing for ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Starts a browser on the story's profile with a plan, and waits until its page has looked. */
async function startAndLook(desk, url, story, plan, asked) {
  const options = { ...plan.options, ...CHEATS[asked.cheat] };
  desk.begin({ ...plan, options, side: story.side, name: "kill", rowBytes: ROW_BYTES, cheat: asked.cheat }, story);
  const onLine = asked.verbose ? (line) => line.includes("CONSOLE") && console.error(`  ${line}`) : undefined;
  return startBrowser(asked.browser, `${url}/tests/browser/kill.page`, story.profile, { onLine });
}

/** One life: open, look, write, be killed. Returns the line that tells of it. */
async function oneRound(desk, url, story, roll, asked, totals) {
  const names = Object.keys(SCENARIOS);
  const scenario = asked.scenario ?? names[roll(names.length)];
  const plan = { ...SCENARIOS[scenario], limit: 1_000_000, closeFirst: roll(4) === 0 };
  plan.options = roll(2) === 0 ? SMALL_LOG : {};
  // One round in six is over before the page has looked: a crash inside start and recovery.
  const early = roll(6) === 0;
  const largest = Math.max(...plan.sizes);
  const moment = early ? 50 + roll(1200) : roll(largest > 10_000 ? 4000 : largest > 1000 ? 1500 : 500);
  story.lives += 1;
  const browser = await startAndLook(desk, url, story, plan, asked);
  let told = "";
  try {
    if (!early) {
      const found = await inTime(desk.found, "waiting for the page to look");
      const unheard = story.compare(found);
      totals.looks += 1;
      totals.unheard += unheard;
      story.lanes += plan.lanes;
      told = `found ${found.newest}${unheard ? ` (${unheard} unheard of)` : ""} ${found.recovery ?? ""}`;
    }
    await pause(moment);
    // An early kill may come late: then the page has looked, and what it then began counts.
    if (early) story.lanes += plan.lanes;
    if (desk.trouble) throw new Violation(`the page failed: ${desk.trouble}`);
  } finally {
    await browser.kill();
  }
  const acks = story.acked.size;
  totals.kills += 1;
  const when = `${early ? "early" : "     "} killed at ${String(moment).padStart(4)} ms`;
  return `${scenario.padEnd(8)} ${when}, ${acks} acknowledged; ${told}`;
}

/** The last look at a story, and a clean end. */
async function lastLook(desk, url, story, asked, totals) {
  const plan = { sizes: [0], lanes: 1, limit: 5, closeFirst: true };
  const browser = await startAndLook(desk, url, story, plan, asked);
  try {
    totals.unheard += story.compare(await inTime(desk.found, "the last look"));
    totals.looks += 1;
    story.lanes += 1;
    await inTime(desk.end, "the clean end");
    if (desk.trouble) throw new Violation(`the page failed: ${desk.trouble}`);
  } finally {
    await browser.kill();
  }
}

async function main() {
  const { values: asked } = parseArgs({
    options: {
      browser: { type: "string", default: "chromium" },
      side: { type: "string", default: "datasync-opfs" },
      rounds: { type: "string", default: "20" },
      // Ends early, with what was reached, after so many minutes.
      minutes: { type: "string" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      scenario: { type: "string" },
      cheat: { type: "string" },
      json: { type: "string" },
      verbose: { type: "boolean", default: false },
    },
  });
  if (asked.cheat && !CHEATS[asked.cheat]) throw new Error(`cheats are ${Object.keys(CHEATS).join(", ")}`);
  if (asked.scenario && !SCENARIOS[asked.scenario]) {
    throw new Error(`scenarios are ${Object.keys(SCENARIOS).join(", ")}`);
  }
  let rounds = Number(asked.rounds);
  const end = Date.now() + (asked.minutes ? Number(asked.minutes) : Infinity) * 60_000;
  const roll = dice(Number(asked.seed));
  console.log(`${asked.browser}, ${asked.side}: ${rounds} rounds, seed ${asked.seed} (replay with --seed ${asked.seed})`);
  const totals = { kills: 0, looks: 0, unheard: 0, browserLost: 0 };
  const begun = Date.now();
  const desk = new Desk();
  const server = await serve(ROOT, desk.routes());
  let story;
  let outcome;
  try {
    for (let round = 1; round <= rounds; round += 1) {
      story ??= new Story(asked.side, roll(1 << 30));
      const title = `round ${String(round).padStart(4)}`;
      try {
        console.log(`${title}  ${await oneRound(desk, server.url, story, roll, asked, totals)}`);
        if (Date.now() > end) rounds = round;
        if (story.lives < LIVES && round < rounds) continue;
        await lastLook(desk, server.url, story, asked, totals);
      } catch (error) {
        if (!story.isLostByBrowser(error) || totals.browserLost >= Math.ceil(rounds / 20)) {
          console.log(`${title}  VIOLATION`);
          throw error;
        }
        totals.browserLost += 1;
        console.log(`${title}  the browser removed all of its IndexedDB as corrupt, and the page was told so`);
      }
      story.remove();
      story = undefined;
    }
    outcome = { violations: 0 };
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    outcome = { violations: 1, sentence: error.message };
  } finally {
    await server.close();
  }
  const seconds = Math.round((Date.now() - begun) / 1000);
  const result = { browser: asked.browser, side: asked.side, rounds, seed: Number(asked.seed), seconds, acknowledged: desk.acks, ...totals, ...outcome };
  if (asked.json) {
    mkdirSync(dirname(asked.json), { recursive: true });
    writeFileSync(asked.json, `${JSON.stringify(result)}\n`);
  }
  console.log(
    `${totals.kills} kills, ${desk.acks} acknowledged commits, ${totals.looks} looks, ` +
      `${totals.unheard} commits that nobody had heard of, ${outcome.violations} violations, ${seconds} s`,
  );
  process.exitCode = verdict(asked, outcome, story);
}

/** A cheat must be caught; without one nothing must be. */
function verdict(asked, outcome, story) {
  if (outcome.violations > 0) console.log(`violation: ${outcome.sentence}`);
  if (asked.cheat) {
    story?.remove();
    console.log(`the cheat "${asked.cheat}" was ${outcome.violations > 0 ? "caught" : "NOT caught"}`);
    return outcome.violations > 0 ? 0 : 1;
  }
  if (outcome.violations > 0) console.log(`the profile is kept at ${story.profile}`);
  return outcome.violations > 0 ? 1 : 0;
}

await main();
