// The page: which database is open, who may use it, and what is said when none is.
//
// The parts (console, crash, files, live view) know nothing of each other; they ask here for the open
// database. The rule it keeps: `document.body.dataset.state` tells what the page is doing, every state
// but `open` disables what needs the database, and no database is opened before the last one is closed.

import { createConsole } from "./console.js";
import { createCrashing } from "./crashing.js";
import { the } from "./element.js";
import { createFiles, size } from "./files.js";
import { createLive } from "./live.js";
import { createNotice } from "./notice.js";
import { createSelling, foldNow, sellMany } from "./selling.js";
import { openShop, removeShop } from "./store.js";

const SETTINGS = "datasync-demo-settings";
/** How often an opening is tried again that finds the storage taken. */
const PATIENCE = 6;
const NAMES = { opfs: "OPFS", indexeddb: "IndexedDB", memory: "memory" };

/** The open database; none while another is being opened, or another tab has it. */
let db;
/** Stops an opening that is still waiting. */
let opening;
/** What had the focus when the database went away. */
let focused;
/** The last opening or closing: the next begins when it is over. */
/** @type {Promise<any>} */
let turn = Promise.resolve();
let settings = readSettings();

const live = createLive();
const notice = createNotice();
const database = () => (document.body.dataset.state === "open" ? db : undefined);
const sqlConsole = createConsole({ database, ran: refresh });
const selling = createSelling(database);
createFiles({ database, changed: refresh, startOver });
createCrashing({ lend, reopen, killed: live.killed, settings: () => settings });

function readSettings() {
  const usual = { backend: "opfs", durability: "durable" };
  try {
    const kept = JSON.parse(localStorage.getItem(SETTINGS) ?? "{}");
    const backend = Object.hasOwn(NAMES, kept.backend) ? kept.backend : usual.backend;
    return { backend, durability: kept.durability === "applied" ? "applied" : "durable" };
  } catch {
    return usual;
  }
}

/** Shows the state, and switches what needs an open database. */
function setState(state, text) {
  const had = document.activeElement;
  document.body.dataset.state = state;
  the("state").textContent = text;
  for (const element of document.querySelectorAll(".needs-open")) {
    const off = state !== "open";
    if ("disabled" in element) element.disabled = off;
    else element.setAttribute("aria-disabled", String(off));
  }
  the("import").disabled = state !== "open";
  // A crash is an experiment: what it is made with stays as it is until it is over.
  the("backend").disabled = state === "crash";
  the("durability").disabled = state === "crash";
  if (state !== "open" && had instanceof HTMLElement && had !== document.body) focused = had;
  // A button that was disabled while it was at work gets the focus back.
  if (state === "open" && (had === null || had === document.body)) focused?.focus({ preventScroll: true });
}

/**
 * Opens what the settings say, after closing what is open and then doing `before`. Returns the database, if it
 * could be had.
 */
function reopen({ wait = false, before = async () => {} } = {}) {
  opening?.abort();
  const stop = new AbortController();
  opening = stop;
  turn = turn.then(async () => {
    const last = db;
    db = undefined;
    live.watch(undefined);
    if (document.body.dataset.state !== "crash") setState("opening", "opening");
    try {
      if (last !== undefined && !last.closed) await last.close();
      if (stop.signal.aborted) return undefined;
      await before();
      const opened = await openPatiently(wait, stop.signal);
      await sqlConsole.greet(opened);
      adopt(opened);
      return opened;
    } catch (error) {
      if (stop.signal.aborted) return undefined;
      refused(error);
      return undefined;
    }
  });
  return turn;
}

/**
 * Opens; what ended a moment ago (a page that was reloaded, a worker that was killed) may still hold the
 * storage for that moment. Waiting in earnest would ask another tab to give the database away.
 */
async function openPatiently(wait, signal) {
  for (let left = PATIENCE; ; left--) {
    try {
      return await openShop({ ...settings, wait, signal });
    } catch (error) {
      if (error.kind !== "Busy" || left === 0 || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }
}

function adopt(opened) {
  db = opened;
  notice.hide();
  opened.on("wanted", () => void giveAway(opened));
  opened.on("close", ({ reason }) => closed(opened, reason));
  live.watch(opened);
  const { kind, epoch } = opened.recovery;
  const found = kind.toLowerCase();
  live.note("opened", `epoch ${epoch}, ${found === "unclean" ? "recovered after a crash" : found}`);
  setState("open", `${NAMES[opened.backend]}, ${settings.durability}, epoch ${epoch}`);
  refresh();
}

/** Opening failed: another tab has it, or something is wrong. */
function refused(error) {
  if (error.kind === "Busy") {
    setState("busy", "open in another tab");
    notice.show({
      title: "Another tab has the shop",
      text: "A database has one holder at a time, so that two tabs never write over each other. It can be moved here: the other tab closes it, and this one opens it with everything that was acknowledged.",
      actions: [["Move it here", () => void moveHere()], ["Try again", () => void reopen()]],
    });
    return;
  }
  setState("failed", "not open");
  const others = settings.backend === "opfs" ? [["Use IndexedDB", () => choose({ backend: "indexeddb" })]] : [];
  notice.show({
    bad: true,
    title: `Not opened: ${error.kind ?? error.name}`,
    text: error.message,
    actions: [
      ["Try again", () => void reopen()],
      ...others,
      ["Remove it and start over", () => void reopen({ before: () => removeShop(settings.backend) })],
    ],
  });
}

/** Waits for the tab that has it; waiting tells that tab that it is wanted. */
async function moveHere() {
  notice.show({
    title: "Waiting for the other tab",
    text: "It closes the shop as soon as its last commit is durable.",
    actions: [["Stop waiting", () => {
      opening?.abort();
      refused({ kind: "Busy" });
    }]],
  });
  await reopen({ wait: true });
}

/** Another tab wants it. What was called is finished first; closing is part of that. */
async function giveAway(opened) {
  if (db !== opened || document.body.dataset.state !== "open") return;
  selling.stop();
  db = undefined;
  live.watch(undefined);
  setState("moved", "moved to another tab");
  turn = turn.then(() => opened.close()).catch((error) => live.note(error.kind ?? error.name, error.message));
  await turn;
  notice.show({
    title: "Moved to another tab",
    text: "Every commit acknowledged here is there. It can come back at any time.",
    actions: [["Move it back", () => void moveHere()]],
  });
}

/** The database closed: of itself, unless this page let go of it before. */
function closed(opened, reason) {
  if (db !== opened || document.body.dataset.state !== "open") return;
  db = undefined;
  live.watch(undefined);
  setState("failed", "closed");
  notice.show({
    bad: true,
    title: "The database is closed",
    text: reason,
    actions: [["Open it again", () => void reopen()]],
  });
}

/** Hands the database to the crash; nothing else uses it until it is open again. */
function lend() {
  const lent = database();
  if (lent === undefined) return undefined;
  selling.stop();
  setState("crash", "crashing");
  return lent;
}

/** Removes the database and makes the sample anew. */
async function startOver() {
  selling.stop();
  const opened = await reopen({ before: () => removeShop(settings.backend) });
  if (opened === undefined) throw new Error("It could not be opened again; above is why.");
}

/** What depends on the content: the list of tables, and where everything lies. */
function refresh() {
  const looked = database();
  if (looked === undefined) return;
  Promise.all([sqlConsole.listTables(looked), showPlace(looked)]).catch((error) => {
    if (error?.kind !== "Closed") throw error;
  });
}

async function showPlace(looked) {
  const { why, reads, persisted, quota, usage, isolated } = await looked.storage();
  const rows = [
    ["why here", why],
    ["reads", reads],
    ["kept under pressure", persisted === undefined ? "not told" : persisted ? "yes, promised" : "not promised"],
    ["used of the quota", quota === undefined ? "not told" : `${size(usage ?? 0)} of ${size(quota)}`],
    ["isolated page", isolated ? "yes" : "no, and not needed"],
  ];
  const pairs = rows.map(([name, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    pair.append(term, detail);
    return pair;
  });
  the("place").replaceChildren(...pairs);
}

function choose(change) {
  settings = { ...settings, ...change };
  localStorage.setItem(SETTINGS, JSON.stringify(settings));
  showSettings();
  selling.stop();
  notice.hide();
  void reopen();
}

function showSettings() {
  the("backend").value = settings.backend;
  the(settings.durability).checked = true;
}

the("backend").addEventListener("change", (event) => choose({ backend: event.target.value }));
the("durability").addEventListener("change", (event) => choose({ durability: event.target.value }));
the("large").addEventListener("click", () => void work(sellMany));
the("fold").addEventListener("click", () => void work(foldNow));

/** Runs one of the buttons' actions; what it says or what went wrong is an event of the list. */
async function work(action) {
  const used = database();
  if (used === undefined) return;
  try {
    live.note("done", await action(used));
  } catch (error) {
    live.note(error.kind ?? error.name, error.message);
  }
}

// A page that comes back from the browser's history had to give its storage back when it went.
addEventListener("pageshow", (event) => {
  if (event.persisted) void reopen();
});

showSettings();
void reopen();
