// Starts and kills a headless Chromium. Holds what is known of its processes and flags; must not know what the
// page does: a page talks to its driver over HTTP. Rule: only processes started here are ever killed.

import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  // A bench page is never looked at: without these its timers are throttled.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

/** Browsers that are running: however the driver ends, they end with it. */
const running = new Set();
process.on("exit", () => running.forEach((child) => signal(-child.pid, "SIGKILL")));
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => process.exit(1));

/** The Chromium to use: CHROMIUM, or the first on PATH. Undefined when there is none. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder.
      }
    }
  }
  return undefined;
}

/** Opens `url` in a browser of its own that keeps its storage under `profile`. */
export function startChromium(url, profile, { flags = [], onLine = undefined } = {}) {
  const program = findChromium();
  if (!program) throw new Error("no Chromium found: install one, or set CHROMIUM to its path");
  const words = [...FLAGS, ...flags, `--user-data-dir=${profile}`];
  if (onLine) words.push("--enable-logging=stderr");
  // A group of its own, so that a kill reaches every process of this browser and nothing else.
  const child = spawn(program, [...words, url], {
    detached: true,
    stdio: ["ignore", "ignore", onLine ? "pipe" : "ignore"],
  });
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  child.once("error", () => {});
  running.add(child);
  ended.then(() => running.delete(child));
  let rest = "";
  child.stderr?.on("data", (bytes) => {
    const lines = (rest + bytes).split("\n");
    rest = lines.pop();
    lines.forEach(onLine);
  });
  return new Chromium(child, profile, ended);
}

class Chromium {
  constructor(child, profile, ended) {
    this.child = child;
    this.profile = profile;
    /** Resolves when the browser process is gone, however that came about. */
    this.ended = ended;
  }

  /** SIGKILL to every process of this browser at once; resolves when all are gone. */
  async kill() {
    signal(-this.child.pid, "SIGKILL");
    await this.ended;
    // A helper that left the group still names the profile, which is ours alone.
    const deadline = Date.now() + 10_000;
    for (;;) {
      const left = processesOf(this.child.pid, this.profile);
      if (left.length === 0) return;
      if (Date.now() > deadline) throw new Error(`processes of the killed browser are still there: ${left}`);
      left.forEach((pid) => signal(pid, "SIGKILL"));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Memory of the processes that run pages and workers, bytes: what they share is counted in parts. */
  pageMemory() {
    const pages = processesOf(this.child.pid, this.profile).filter((pid) => wordsOf(pid).includes("--type=renderer"));
    const sizes = pages.map((pid) => {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)[1]) * 1024;
    });
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Asks the browser to end by itself and write down what it has; kills it when it does not. */
  async close() {
    signal(this.child.pid, "SIGTERM");
    const timer = setTimeout(() => signal(-this.child.pid, "SIGKILL"), 10_000);
    await this.ended;
    clearTimeout(timer);
    await this.kill();
  }
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** Every process of the browser that leads the group `leader`, by Linux's /proc; elsewhere none are found. */
function processesOf(leader, profile) {
  const word = `--user-data-dir=${profile}`;
  return numbersIn("/proc").filter((pid) => {
    try {
      // After the name in brackets: state, parent, group.
      const [state, , group] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
      if (state === "Z" || pid === process.pid) return false;
      return Number(group) === leader || wordsOf(pid).includes(word);
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

function wordsOf(pid) {
  // Children of the zygote write theirs anew, with blanks.
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").split(/[\0 ]/);
}

function numbersIn(folder) {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name)).map(Number);
  } catch {
    return [];
  }
}
