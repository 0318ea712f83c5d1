// One engine in a dedicated worker. Two ways to use it: a whole workload inside, or one call per message.

import { WORKLOADS } from "./workloads.js";

let engine;

const ANSWERS = {
  async open({ name, side }) {
    const module = await import(`./engines/${side.engine}.js`);
    engine = await module.open(name, side.options);
  },
  workload: ({ workload, slice, sizes }) => WORKLOADS[workload](engine, slice, sizes),
  run: ({ statement, params }) => engine.run(statement, params),
  batch: ({ list }) => engine.batch(list),
  all: ({ statement, params }) => engine.all(statement, params),
  close: () => engine.close(),
};

self.onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, value: await ANSWERS[data.verb](data) });
  } catch (error) {
    postMessage({ id: data.id, error: `${error?.name}: ${error?.message}\n${error?.stack}` });
  }
};
