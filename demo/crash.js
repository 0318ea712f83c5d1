// The crash: a stream of commits, the worker killed in mid-commit, the database opened again, and every
// acknowledged commit looked for.
//
// Must not know where the database lies. The rule it keeps: it counts what the page was told, as it was told,
// and compares it with what is there; nothing is assumed, and a loss would be shown as a loss.

/** Commits on their way at any moment. */
const FLIGHT = 12;
/** The kill comes so long after there are enough, at most, ms: the stream goes on until then. */
const DELAY_MS = 20;
/** Acknowledged commits before the kill: at least, and up to so many more. */
const LEAST = 40;
const SPREAD = 60;

/** Makes the tables of the experiment. Each commit of a run touches both, so a torn one could be told. */
async function prepare(db, run) {
  await db.batch([
    "CREATE TABLE IF NOT EXISTS crash_sale (run INTEGER, n INTEGER, words TEXT, PRIMARY KEY (run, n)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS crash_till (run INTEGER PRIMARY KEY, sales INTEGER NOT NULL)",
    ["DELETE FROM crash_sale WHERE run < ?", [run]],
    ["DELETE FROM crash_till WHERE run < ?", [run]],
    ["INSERT INTO crash_till (run, sales) VALUES (?, 0)", [run]],
  ]);
}

/** What commit `n` of `run` writes beside its number: enough to fill a few pages now and then. */
function words(run, n) {
  return `sale ${n} of run ${run} `.repeat(1 + ((n * 7) % 40));
}

/**
 * Commits until enough is acknowledged, then calls `kill` with more on their way. `sent(n)` and
 * `acknowledged(n)` are told as it happens. Returns the numbers sent, and those acknowledged.
 */
export async function crashInMidCommit(db, { run, sent, acknowledged, kill }) {
  await prepare(db, run);
  const goal = LEAST + Math.floor(Math.random() * SPREAD);
  const told = new Set();
  const flights = [];
  let last = 0;
  let over = false;
  let failure;
  const commit = async () => {
    const n = ++last;
    sent(n);
    try {
      await db.batch([
        ["INSERT INTO crash_sale (run, n, words) VALUES (?, ?, ?)", [run, n, words(run, n)]],
        ["UPDATE crash_till SET sales = sales + 1 WHERE run = ?", [run]],
      ]);
    } catch (error) {
      // No answer is what a crash looks like. Before the kill, an error is one.
      if (!over) failure = error;
      over = true;
      return;
    }
    told.add(n);
    acknowledged(n);
    if (over) return;
    if (told.size === goal) setTimeout(strike, Math.random() * DELAY_MS);
    flights.push(commit());
  };
  const strike = () => {
    if (over) return;
    over = true;
    kill();
  };
  for (let flight = 0; flight < FLIGHT; flight++) flights.push(commit());
  for (let index = 0; index < flights.length; index++) await flights[index];
  if (failure !== undefined) throw failure;
  return { sent: last, told };
}

/** Compares what was acknowledged with what the opened database has. */
export async function tally(db, { run, sent, told }) {
  const [tables] = await db.query("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('crash_sale', 'crash_till')");
  const there = tables.n === 2;
  const rows = there ? await db.query("SELECT n, words FROM crash_sale WHERE run = ? ORDER BY n", [run]) : [];
  const till = there ? await db.get("SELECT sales FROM crash_till WHERE run = ?", [run]) : undefined;
  const [check] = await db.query("PRAGMA integrity_check");
  const found = new Set(rows.map((row) => row.n));
  const fates = [];
  for (let n = 1; n <= sent; n++) {
    fates.push(told.has(n) ? (found.has(n) ? "kept" : "lost") : found.has(n) ? "extra" : "none");
  }
  const count = (fate) => fates.filter((known) => known === fate).length;
  const last = rows.reduce((most, row) => Math.max(most, row.n), 0);
  return {
    fates,
    acknowledged: told.size,
    kept: count("kept"),
    lost: count("lost"),
    extra: count("extra"),
    none: count("none"),
    /** What nobody wrote, or not so. */
    strange: rows.filter((row) => row.n < 1 || row.n > sent || row.words !== words(run, row.n)).length,
    /** Whether both halves of every commit are there. */
    whole: (till?.sales ?? 0) === rows.length,
    /** Whether what is there is a beginning of what was sent, without a gap. */
    prefix: last === rows.length,
    integrity: check?.integrity_check === "ok",
  };
}

/** What the tally means: a heading, a sentence, and how good it is. */
export function verdict(result, { backend, durability }) {
  const { acknowledged, kept, lost, extra, none, strange, whole, prefix, integrity } = result;
  const rest = `${extra + none} more ${extra + none === 1 ? "was" : "were"} on the way: ${extra} arrived whole, ${none} left no trace.`;
  if (strange > 0 || !whole || !integrity) {
    return { looks: "bad", heading: "The database is damaged.", text: `${strange} rows nobody wrote so. ${rest}` };
  }
  if (lost === 0) {
    const heading = `All ${acknowledged} acknowledged commits are there, and nothing else is.`;
    return { looks: "good", heading, text: `${rest} Both halves of each commit agree; integrity_check says ok.` };
  }
  if (backend === "memory") {
    const text = "Memory ends with its worker. That is why it is never chosen unless asked for by name.";
    return { looks: "note", heading: `All ${acknowledged} commits are gone.`, text };
  }
  if (durability === "applied" && prefix) {
    const heading = `${kept} of ${acknowledged} applied commits are there: a beginning, without a gap.`;
    const text = `The last ${lost === 1 ? "one" : lost} had only been applied, not made durable: that is the bargain. ${rest}`;
    return { looks: "note", heading, text };
  }
  return { looks: "bad", heading: `${lost} acknowledged commits are lost.`, text: rest };
}
