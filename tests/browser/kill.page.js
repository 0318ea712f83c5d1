// The page that is killed. Opens the database, says what it found, then commits by its plan and tells the driver
// of every acknowledged commit at once. Must not know when it will be killed.
//
// Transaction n inserts row n into `log`; a large one also rewrites all of `kv` with rows that name it. So what
// is left tells everything: which transactions are there, in order, and whether the last large one is whole.

import { openSide } from "/benches/browser/page/side.js";
import { sideOf } from "/benches/browser/page/sides.js";

const post = async (path, value) => {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(value) });
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
};

/** The row of transaction `n` with this id: as long as asked, different for every n and id. */
function row(n, id, bytes) {
  const mark = `${n}.${id}/`;
  return mark.repeat(Math.ceil(bytes / mark.length)).slice(0, bytes);
}

/** Everything that can be wrong with what is there, and the number of the last transaction. */
async function look(engine, { rowBytes }) {
  const wrong = [];
  const [[count, first, last]] = await engine.all("logSpan", []);
  const newest = Number(last ?? 0);
  if (Number(count) !== newest || Number(first ?? 1) !== 1) {
    wrong.push(`log holds ${count} rows from ${first} to ${last}: transactions in between are missing`);
  }
  const [[large]] = await engine.all("logLarge", []);
  const rows = await engine.all("kvAll", []);
  const expected = large === null ? 0 : Number((await engine.all("logGet", [Number(large)]))[0][0].split(" ")[1]);
  if (rows.length < expected) wrong.push(`kv holds ${rows.length} rows, transaction ${large} wrote ${expected}`);
  const foreign = rows.filter(([id, v]) => Number(id) < expected && v !== row(Number(large), Number(id), rowBytes));
  if (foreign.length > 0) {
    const [id, v] = foreign[0];
    const example = `${id} is ${v.slice(0, 40)}`;
    wrong.push(`${foreign.length} of ${rows.length} rows of kv are not of transaction ${large}: ${example}`);
  }
  const integrity = (await engine.all("integrity", [])).map(([line]) => line);
  if (integrity.join() !== "ok") wrong.push(`integrity_check: ${integrity.slice(0, 5).join("; ")}`);
  if (engine.verify) wrong.push(...(await engine.verify()));
  return { newest, wrong };
}

/** Commits until the process is gone, or until `limit` transactions are through. */
async function write(engine, plan, newest) {
  let next = newest + 1;
  const end = newest + plan.limit;
  const lane = async () => {
    while (next <= end) {
      const n = next++;
      const size = plan.sizes[n % plan.sizes.length];
      const statements = [["logInsert", [n, size > 0 ? `large ${size}` : "single"]]];
      for (let id = 0; id < size; id += 1) statements.push(["kvPut", [id, row(n, id, plan.rowBytes)]]);
      const committed = size > 0 ? engine.batch(statements) : engine.run(...statements[0]);
      // A cheat acknowledges what was only asked for. The driver must notice.
      if (plan.cheat !== "early") await committed;
      await post("/ack", n);
      await committed;
    }
  };
  await Promise.all(Array.from({ length: plan.lanes }, lane));
}

async function main() {
  const plan = await (await fetch("/plan")).json();
  try {
    let { engine } = await openSide(sideOf(plan.side), plan.name, plan.options);
    const found = await look(engine, plan);
    const recovery = engine.recovery ? await engine.recovery() : undefined;
    if (plan.closeFirst) {
      await engine.close();
      ({ engine } = await openSide(sideOf(plan.side), plan.name, plan.options));
    }
    await post("/found", { ...found, recovery });
    if (plan.limit > 0) await write(engine, plan, found.newest);
    await engine.close();
    await post("/end", null);
  } catch (error) {
    await post("/failed", `${error?.name}: ${error?.message}\n${error?.stack}`);
  }
}

main();
