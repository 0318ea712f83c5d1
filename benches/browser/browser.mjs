// A browser that runs: started as a group of processes of its own, and ended with it. Holds what is the same for
// every browser; must not know flags. Rule: only processes started here are ever killed.

import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Browsers that are running: however the driver ends, they end with it. */
const running = new Set();
process.on("exit", () => running.forEach((child) => signal(-child.pid, "SIGKILL")));
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => process.exit(1));

/** The first of the programs `names` on PATH. Undefined when there is none. */
export function onPath(names) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const name of names) {
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

/**
 * Starts `program`. `mark` is a word that stands on the command line of each of its processes and of no other;
 * `onLine` gets what it prints on its standard error.
 */
export function start(program, words, { mark, onLine, environment = {} }) {
  // A group of its own, so that a kill reaches every process of this browser and nothing else.
  const child = spawn(program, words, {
    detached: true,
    stdio: ["ignore", "ignore", onLine ? "pipe" : "ignore"],
    env: { ...process.env, ...environment },
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
  return new Browser(child, mark, ended);
}

class Browser {
  constructor(child, mark, ended) {
    this.child = child;
    this.mark = mark;
    /** Resolves when the browser process is gone, however that came about. */
    this.ended = ended;
  }

  /** SIGKILL to every process of this browser at once; resolves when all are gone. */
  async kill() {
    signal(-this.child.pid, "SIGKILL");
    await this.ended;
    // A helper that left the group still bears the mark.
    const deadline = Date.now() + 10_000;
    for (;;) {
      const left = processesOf(this.child.pid, this.mark);
      if (left.length === 0) return;
      if (Date.now() > deadline) throw new Error(`processes of the killed browser are still there: ${left}`);
      left.forEach((pid) => signal(pid, "SIGKILL"));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Memory of the processes that were started with this word, bytes: what they share is counted in parts. */
  memoryOf(word) {
    const pages = processesOf(this.child.pid, this.mark).filter((pid) => wordsOf(pid).includes(word));
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
function processesOf(leader, mark) {
  return numbersIn("/proc").filter((pid) => {
    try {
      // After the name in brackets: state, parent, group.
      const [state, , group] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
      if (state === "Z" || pid === process.pid) return false;
      return Number(group) === leader || wordsOf(pid).includes(mark);
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
