// The store as it is right now: the drawing, the numbers below it and the list of events.
//
// Knows one open database at a time. The rule it keeps: it only looks. A look is asked for by an event and at
// least every second, never more than one at a time, so that watching costs the worker next to nothing.

import { createDrawing } from "./drawing.js";
import { the } from "./element.js";
import { size } from "./files.js";
import { createModel, kill, look } from "./model.js";
import { SEGMENT_BYTES } from "./store.js";

const PAUSE_MS = 60;
const IDLE_MS = 1000;
const EVENTS_MAX = 60;

/** The live view. `watch(db)` follows another database, `watch(undefined)` none. */
export function createLive() {
  let model = createModel(SEGMENT_BYTES);
  let watched;
  let asked;
  let due;
  const drawing = createDrawing(the("drawing"), () => model);
  const numbers = createNumbers(the("numbers"));
  const events = the("events");

  const glance = async () => {
    due = undefined;
    const db = watched;
    if (db === undefined || asked) return;
    asked = true;
    try {
      const stats = await db.stats();
      if (db === watched) show(stats);
    } catch (error) {
      // A database that has just been closed or killed has no numbers; whoever closed it says so.
      if (error?.kind !== "Closed") throw error;
    } finally {
      asked = false;
      plan(IDLE_MS);
    }
  };
  const plan = (pause) => {
    if (watched === undefined) return;
    const at = performance.now() + pause;
    if (due !== undefined && due.at <= at) return;
    clearTimeout(due?.timer);
    due = { at, timer: setTimeout(() => void glance(), pause) };
  };
  const show = (stats) => {
    look(model, stats, performance.now());
    numbers(stats);
    drawing.wake();
  };
  const note = (what, detail) => {
    const item = document.createElement("li");
    const strong = document.createElement("b");
    strong.textContent = what;
    item.append(strong, ` ${detail}`);
    events.prepend(item);
    while (events.children.length > EVENTS_MAX) events.lastElementChild?.remove();
    plan(PAUSE_MS);
  };

  return {
    watch(db) {
      watched = db;
      clearTimeout(due?.timer);
      due = undefined;
      if (db === undefined) return;
      model = createModel(SEGMENT_BYTES);
      db.on("commit", ({ committed, bytes }) => note("commit", `${committed}, ${size(bytes)}`));
      db.on("sync", ({ durable, ms }) => note("durable", `up to ${durable}, in ${ms.toFixed(1)} ms`));
      db.on("compaction", ({ folds, segments }) => note("fold", `number ${folds}; ${segments} ${segments === 1 ? "segment stays" : "segments stay"} in the log`));
      void glance();
    },
    /** The worker was killed; the picture stays until the next database is watched. */
    killed() {
      watched = undefined;
      kill(model, performance.now());
      drawing.wake();
      note("killed", "the worker, in mid-commit");
    },
    note,
  };
}

/** The numbers under the drawing: made once, then only their values change. */
function createNumbers(list) {
  /** @type {[string, (stats: any) => number | string][]} */
  const rows = [
    ["commits", (stats) => stats.committed],
    ["durable", (stats) => stats.durable],
    ["barriers", (stats) => stats.barriers],
    ["log", (stats) => size(stats.logBytes)],
    ["base", (stats) => size(stats.baseBlocks * 4096)],
    ["folds", (stats) => stats.folds],
    ["database", (stats) => size(stats.sizeBytes)],
    ["epoch", (stats) => stats.epoch],
  ];
  const cells = rows.map(([name, read]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = name;
    value.textContent = "-";
    pair.append(term, value);
    list.append(pair);
    return (stats) => {
      const now = read(stats);
      value.textContent = typeof now === "number" ? now.toLocaleString("en") : now;
    };
  });
  return (stats) => cells.forEach((cell) => cell(stats));
}
