// What every side is given to do, and the rows for it. Pure, the same in a page, a worker and the driver.

/** The statements of the workloads, once; an engine without SQL does the same by their names. */
export const SQL = {
  logInsert: "INSERT INTO log(id, v) VALUES (?, ?)",
  kvInsert: "INSERT INTO kv(id, v) VALUES (?, ?)",
  kvUpdate: "UPDATE kv SET v = ? WHERE id = ?",
  kvGet: "SELECT v FROM kv WHERE id = ?",
  kvScan: "SELECT count(*), sum(length(v)), max(v) FROM kv",
  // The kill test's.
  kvPut: "INSERT OR REPLACE INTO kv(id, v) VALUES (?, ?)",
  kvAll: "SELECT id, v FROM kv ORDER BY id",
  logGet: "SELECT v FROM log WHERE id = ?",
  logSpan: "SELECT count(*), min(id), max(id) FROM log",
  logLarge: "SELECT max(id) FROM log WHERE v LIKE 'large%'",
  integrity: "PRAGMA integrity_check",
};

export const SCHEMA = [
  "CREATE TABLE IF NOT EXISTS log(id INTEGER PRIMARY KEY, v TEXT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS kv(id INTEGER PRIMARY KEY, v TEXT NOT NULL)",
];

/** mulberry32: the same keys and rows for every side, by the seed. */
export function dice(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A text of `bytes` ASCII letters. */
export function text(roll, bytes) {
  let letters = "";
  for (let at = 0; at < bytes; at += 1) letters += LETTERS[roll(36)];
  return letters;
}

/** The middle of numbers; undefined of none. */
export function median(numbers) {
  return quantile(numbers, 0.5);
}

export function quantile(numbers, share) {
  if (numbers.length === 0) return undefined;
  const sorted = [...numbers].sort((one, other) => one - other);
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}
