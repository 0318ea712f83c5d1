// The page of the benchmark: fetches its plan from the driver, carries it out, reports. Sides take turns in
// slices, and who goes first changes, so that a slow second of the machine hits no side alone.

import { sideOf } from "./sides.js";
import { openSide } from "./side.js";

const say = (sentence) => fetch("/say", { method: "POST", body: sentence });

const PLANS = {
  async bench({ sides, sizes, name, order }) {
    const open = [];
    const failures = {};
    for (const id of sides) {
      await say(`opening ${id}`);
      try {
        open.push(await openSide(sideOf(id), name));
      } catch (error) {
        failures[id] = String(error.message);
        await say(`FAILED ${id}: ${error.message}`);
      }
    }
    const results = Object.fromEntries(open.map(({ side }) => [side.id, {}]));
    let turn = order;
    for (const { workload, slices, from = 0 } of sizes.steps) {
      for (let slice = from; slice < from + slices; slice += 1) {
        for (let place = 0; place < open.length; place += 1) {
          const opened = open[(place + turn) % open.length];
          const { id } = opened.side;
          if (failures[id] || sizes.skip?.[workload]?.includes(id)) continue;
          try {
            const measured = await opened.work(workload, slice, sizes);
            (results[id][workload] ??= []).push(measured);
          } catch (error) {
            failures[id] = `${workload}: ${error.message}`;
            await say(`FAILED ${id}: ${workload}: ${error.message}`);
          }
        }
        turn += 1;
      }
      await say(`${workload} done`);
    }
    for (const { side, engine } of open) {
      try {
        await engine.close();
      } catch (error) {
        await say(`close of ${side.id}: ${error.message}`);
      }
    }
    return { results, failures };
  },

  /** Makes the database that cold starts open. */
  async fill({ side, name, rows, rowBytes }) {
    const opened = await openSide(sideOf(side), name);
    // Some sides cannot hold such a transaction: twenty smaller ones.
    const part = rows / 20;
    for (let slice = 0; slice < 20; slice += 1) {
      await opened.work("fill", slice, { part, rowBytes });
    }
    await opened.engine.close();
    const { usage } = await navigator.storage.estimate();
    return { usage };
  },

  /** One point query, then an aggregate, as the first things a fresh browser does. */
  async cold({ side, name, key }) {
    const begun = performance.now();
    const opened = await openSide(sideOf(side), name);
    const opening = performance.now();
    const found = await opened.engine.all("kvGet", [key]);
    const point = performance.now();
    if (found.length !== 1) throw new Error(`row ${key} is not there`);
    const [[count]] = await opened.engine.all("kvScan", []);
    const scan = performance.now();
    await opened.engine.close();
    // A new worker in the same page: by now the browser has the compiled wasm at hand.
    const anew = performance.now();
    const second = await openSide(sideOf(side), name);
    await second.engine.all("kvGet", [key + 1]);
    const again = performance.now() - anew;
    await second.engine.close();
    return { begun, opening, point, scan, again, count: Number(count) };
  },

  /** Memory of the page and its workers after some work on a database. */
  async memory({ side, name, keys }) {
    // What the browser frees only when it has a moment must not count: measuring collects.
    const collect = () => performance.measureUserAgentSpecificMemory();
    const size = async () => Number(await (await fetch("/memory")).text());
    await collect();
    const before = await size();
    const opened = await openSide(sideOf(side), name);
    for (const key of keys) await opened.engine.all("kvGet", [key]);
    await opened.engine.run("logInsert", [keys[0] + 1, "x"]);
    await opened.engine.all("kvScan", []);
    const busy = await size();
    await collect();
    const after = await size();
    await opened.engine.close();
    return { before, busy, after };
  },
};

async function main() {
  const plan = await (await fetch("/plan")).json();
  try {
    const value = await PLANS[plan.kind](plan);
    await fetch("/done", { method: "POST", body: JSON.stringify({ value }) });
  } catch (error) {
    await fetch("/done", { method: "POST", body: JSON.stringify({ error: `${error.message}\n${error.stack}` }) });
  }
}

main();
