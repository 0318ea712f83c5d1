// The worker of one test of `suite.mjs`: lists the tests, or runs the one it is asked for.

import init, { names, run } from "/pkg/suite.js";

self.onmessage = async ({ data: { module, name } }) => {
  try {
    await init({ module_or_path: module });
    if (name === undefined) return self.postMessage({ names: names(), error: null });
    await run(name);
    self.postMessage({ error: null });
  } catch (error) {
    // A panic leaves its words behind and then traps.
    self.postMessage({ error: String(self.panic ?? error?.stack ?? error) });
  }
};
