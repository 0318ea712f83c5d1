// The page of `suite.mjs`: starts one worker for each test and tells the driver how it went.

/** A test that runs for this long is stuck. */
const PATIENCE_MS = 60_000;

const tell = (path, what) => fetch(path, { method: "POST", body: JSON.stringify(what) });

/** Asks a worker of its own something; what it was asked is over when this resolves. */
async function ask(question) {
  const worker = new Worker("suite.worker.js", { type: "module" });
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
      worker.onerror = (event) => reject(new Error(event.message ?? "the worker could not be started"));
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(question);
    });
  } finally {
    clearTimeout(timer);
    worker.terminate();
  }
}

async function run() {
  // Compiled once, shared by every worker.
  const module = await WebAssembly.compileStreaming(fetch("/pkg/suite_bg.wasm"));
  const only = await (await fetch("/only")).json();
  const { names, error } = await ask({ module });
  if (error) throw new Error(error);
  const wanted = names.filter((name) => only.length === 0 || only.some((word) => name.includes(word)));
  for (const name of wanted) {
    const begun = performance.now();
    const answer = await ask({ module, name }).catch((error) => ({ error: String(error) }));
    await tell("/result", { name, error: answer.error, ms: Math.round(performance.now() - begun) });
  }
}

run().then(
  () => tell("/end", { error: null }),
  (error) => tell("/end", { error: String(error?.stack ?? error) }),
);
