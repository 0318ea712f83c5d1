// The driver: starts a fresh browser per run, gives its page a plan, takes the results, prints medians and writes
// them to a file. `node run.mjs --help` tells its options; `cargo xtask bench --browser` builds first and calls it.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { startChromium } from "./chromium.mjs";
import { dice } from "./page/data.js";
import { FROM_THE_PAGE, SIDES } from "./page/sides.js";
import { serve } from "./serve.mjs";
import { printCold, printMemory, printTable } from "./table.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "..", "..");

const { values: asked } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    sides: { type: "string" },
    quick: { type: "boolean", default: false },
    cold: { type: "boolean", default: false },
    "no-cold": { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
    "from-page": { type: "boolean", default: false },
    json: { type: "string" },
    verbose: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (asked.help) {
  console.log("node run.mjs [--quick] [--runs N] [--sides a,b] [--from-page] [--cold | --memory | --no-cold]");
  console.log("             [--json FILE] [--verbose]");
  console.log(`sides: ${[...SIDES, ...FROM_THE_PAGE].map(({ id }) => id).join(" ")}`);
  process.exit(0);
}

const quick = asked.quick;
const sizes = {
  commits: quick ? 50 : 100,
  inflight: quick ? 80 : 160,
  rows: quick ? 10_000 : 100_000,
  updates: quick ? 10 : 20,
  points: quick ? 200 : 1000,
};
const slices = quick ? 2 : 10;
sizes.steps = [
  { workload: "commits", slices },
  { workload: "inflight", slices },
  { workload: "bulk", slices: 1 },
  { workload: "updates", slices },
  { workload: "points", slices },
  { workload: "scan", slices: 3 },
];

/** What the page of the moment asks for. One server for the whole run: another port would be another origin. */
let desk = {};
const server = await serve(ROOT, {
  "/plan": () => desk.plan,
  "/say": (sentence) => void (asked.verbose && console.error(`  ${sentence}`)),
  "/memory": () => desk.browser.memoryOf("--type=renderer"),
  "/done": (body) => desk.finish(JSON.parse(body)),
});

/** Opens a fresh browser on `profile` with one plan and waits for what its page answers. */
async function carryOut(plan, profile) {
  const answered = new Promise((finish) => (desk = { plan, finish }));
  const onLine = asked.verbose ? (line) => line.includes("CONSOLE") && console.error(`  ${line}`) : undefined;
  const flags = ["--enable-blink-features=ForceEagerMeasureMemory"];
  const browser = startChromium(`${server.url}/benches/browser/page/bench.page`, profile, { onLine, flags });
  desk.browser = browser;
  const ended = browser.ended.then(() => ({ error: "the browser ended by itself" }));
  const result = await Promise.race([answered, ended]);
  await browser.close();
  if (result.error) throw new Error(result.error);
  return result.value;
}

async function onFreshProfile(work) {
  const profile = mkdtempSync(join(tmpdir(), "datasync-bench-"));
  try {
    return await work(profile);
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function workloads(sides, runs) {
  const all = {};
  for (let run = 0; run < runs; run += 1) {
    console.error(`run ${run + 1} of ${runs}: ${sides.length} sides, ${slices} slices each`);
    const plan = { kind: "bench", sides, sizes, name: `run${run}`, order: run * 3 };
    const { results, failures } = await onFreshProfile((profile) => carryOut(plan, profile));
    for (const [id, sentence] of Object.entries(failures)) console.error(`  ${id} failed: ${sentence.split("\n")[0]}`);
    for (const [id, measured] of Object.entries(results)) {
      for (const [workload, list] of Object.entries(measured)) ((all[id] ??= {})[workload] ??= []).push(...list);
    }
  }
  return all;
}

async function coldStarts(sides, runs) {
  const rows = quick ? 20_000 : 110_000;
  const all = {};
  for (const side of sides) {
    try {
      all[side] = await onFreshProfile(async (profile) => {
        await carryOut({ kind: "fill", side, name: "cold", rows, rowBytes: 440 }, profile);
        const times = [];
        for (let run = 0; run < runs + 1; run += 1) {
          const key = ((run * 7919 + 31) % (rows - 1));
          times.push(await carryOut({ kind: "cold", side, name: "cold", key }, profile));
        }
        // The first start compiles the wasm; the browser keeps the code from then on.
        return { first: times[0], later: times.slice(1) };
      });
      console.error(`cold ${side}: point after ${all[side].later.map(({ point }) => Math.round(point)).join(", ")} ms`);
    } catch (error) {
      console.error(`cold ${side} failed: ${error.message.split("\n")[0]}`);
    }
  }
  return all;
}

/** Memory of the page and its workers with a database of 10 MB, beyond a page that does nothing. */
async function memory(sides, runs) {
  const rows = 22_000;
  const all = {};
  for (const side of sides) {
    try {
      all[side] = await onFreshProfile(async (profile) => {
        await carryOut({ kind: "fill", side, name: "memory", rows, rowBytes: 440 }, profile);
        const roll = dice(7);
        const found = [];
        for (let run = 0; run < runs; run += 1) {
          const keys = Array.from({ length: 1000 }, () => roll(rows));
          found.push(await carryOut({ kind: "memory", side, name: "memory", keys }, profile));
        }
        return found;
      });
    } catch (error) {
      console.error(`memory ${side} failed: ${error.message.split("\n")[0]}`);
    }
  }
  return all;
}

const known = [...SIDES, ...(asked["from-page"] ? FROM_THE_PAGE : [])].map(({ id }) => id);
const sides = asked.sides ? asked.sides.split(",") : known;
const runs = Number(asked.runs);
const begun = Date.now();
const results = { sizes, runs, workloads: {}, cold: {}, memory: {} };
if (!asked.cold && !asked.memory) {
  results.workloads = await workloads(sides, runs);
  printTable(results.workloads, sides);
}
if (!asked["no-cold"] && !asked.memory) {
  results.cold = await coldStarts(sides, runs);
  printCold(results.cold, sides);
}
if (asked.memory || !(asked.cold || asked["no-cold"])) {
  results.memory = await memory(sides, runs);
  printMemory(results.memory, sides);
}
await server.close();
const file = asked.json ?? join(ROOT, "target", "bench", "browser.json");
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, JSON.stringify(results));
console.error(`${Math.round((Date.now() - begun) / 1000)} s; every number is in ${file}`);
