// Runs what the server asks for and tells it how it went: for browsers that have no driver. A promise that is silent
// for too long is not kept.

import "./main.js";

const PATIENCE_MS = 60_000;

const tell = (path, what) => fetch(path, { method: "POST", body: JSON.stringify(what) });

async function run() {
  const { backends, only } = await (await fetch("/asked")).json();
  // Some engines have no OPFS that works.
  const names = backends.includes("opfs") ? check.names : check.names.filter((name) => !name.includes("two_places"));
  for (const backend of backends) {
    for (const name of names.filter((name) => name.includes(only))) {
      const begun = performance.now();
      const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, `silent for ${PATIENCE_MS} ms`));
      const error = (await Promise.race([check.run(name, backend), late])) ?? null;
      await tell("/result", { name: `${backend}::${name}`, error, ms: Math.round(performance.now() - begun) });
    }
  }
}

run().then(
  () => tell("/end", { error: null }),
  (error) => tell("/end", { error: String(error?.stack ?? error) }),
);
