// Commits for the drawing: one sale after the other, one large transaction, a fold.
//
// Knows the shop's tables. Each function says in a few words what it did.

import { the } from "./element.js";

const PAUSE_MS = 90;
const LARGE_ROWS = 200;

/** The switch that keeps selling. `database()` is the open one. */
export function createSelling(database) {
  const button = the("sell");
  let going = false;
  /** Only the newest loop goes on: the switch may be turned off and on during a pause. */
  let round = 0;
  const set = (on) => {
    going = on;
    button.setAttribute("aria-pressed", String(on));
  };
  const sell = async () => {
    const mine = ++round;
    while (going && round === mine) {
      const db = database();
      if (db === undefined) return set(false);
      try {
        await sellOne(db);
      } catch (error) {
        set(false);
        if (error.kind !== "Closed" && error.kind !== "Indeterminate") throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  button.addEventListener("click", () => {
    set(!going);
    if (going) void sell();
  });
  return { stop: () => set(false) };
}

/** A record goes over the counter: it leaves the stock and enters the books, or neither. */
async function sellOne(db) {
  await db.batch([
    "UPDATE album SET stock = stock + 10 WHERE stock = 0",
    `INSERT INTO sale (customer, album, pieces, cents, day)
     SELECT 1 + abs(random()) % 300, id, 1, cents, date('now') FROM album ORDER BY random() LIMIT 1`,
    "UPDATE album SET stock = stock - 1 WHERE id = (SELECT album FROM sale ORDER BY id DESC LIMIT 1)",
  ]);
}

/** One transaction of about a mebibyte: a photograph of each sleeve, made of chance. */
export async function sellMany(db) {
  await db.batch([
    "CREATE TABLE IF NOT EXISTS photograph (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
    "DELETE FROM photograph",
    { sql: "INSERT INTO photograph (bytes) VALUES (randomblob(?))", rows: Array.from({ length: LARGE_ROWS }, () => [5000]) },
  ]);
  return `${LARGE_ROWS} photographs in one transaction`;
}

/** Moves everything durable from the log into the base. */
export async function foldNow(db) {
  await db.exec("PRAGMA datasync_compact");
  return "the log is folded into the base";
}
