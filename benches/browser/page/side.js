// A side as the page sees it: opens its engine where it lives and runs workloads on it there.

import { WORKLOADS } from "./workloads.js";

/** Opens a side's database, with more `options` than its own; the answer runs workloads and single calls on it. */
export async function openSide(known, name, options = {}) {
  const side = { ...known, options: { ...known.options, ...options } };
  // The same engine may be open as two sides; their files must not meet.
  const place = side.hop ? `${name}-hop` : name;
  if (side.place === "page" && !side.hop) {
    const module = await import(`./engines/${side.engine}.js`);
    return inPage(await module.open(name, side.options), side);
  }
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  if (side.attach) await (await import(`./engines/${side.engine}.js`)).attach(worker);
  const ask = messages(worker, side.title);
  await ask({ verb: "open", name: place, side });
  const engine = {
    run: (statement, params) => ask({ verb: "run", statement, params }),
    batch: (list) => ask({ verb: "batch", list }),
    all: (statement, params) => ask({ verb: "all", statement, params }),
    close: () => ask({ verb: "close" }),
  };
  if (side.hop) return inPage(engine, side);
  return { side, engine, work: (workload, slice, sizes) => ask({ verb: "workload", workload, slice, sizes }) };
}

function inPage(engine, side) {
  return { side, engine, work: (workload, slice, sizes) => WORKLOADS[workload](engine, slice, sizes) };
}

function messages(worker, title) {
  const waiting = new Map();
  let next = 1;
  worker.onmessage = ({ data }) => {
    if (!waiting.has(data.id)) return; // an engine's own message to its page
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) reject(new Error(`${title}: ${data.error}`));
    else resolve(data.value);
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(`${title}: ${event.message ?? "its worker failed"}`));
    waiting.clear();
  };
  return (message) =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ ...message, id });
    });
}
