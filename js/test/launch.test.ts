// How a worker is started, and what is told when it cannot be.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "../src/launch.ts";

/** What becomes of a worker of this address: why it fails, or undefined. */
let outcome: (url: string) => string | undefined = () => undefined;
const started: string[] = [];

class FakeWorker {
  onmessage: ((event: unknown) => void) | undefined;
  onerror: ((event: unknown) => void) | undefined;
  constructor(url: URL | string) {
    const why = outcome(String(url));
    if (why === "refused") throw new DOMException("refused by the policy", "SecurityError");
    started.push(String(url).replace(/^blob:.*/, "blob").replace(/^.*\//, ""));
    setTimeout(() => {
      if (why === undefined) this.onmessage?.({ data: { type: "ready", alive: "" } });
      else this.onerror?.({ message: why, preventDefault() {} });
    });
  }
  terminate(): void {}
}

/** Starts a worker; the addresses that were tried. */
async function tried(): Promise<string[]> {
  started.length = 0;
  const { client } = await launch(undefined);
  client.terminate("the test is over");
  return [...started];
}

test("a_worker_that_cannot_be_started_says_of_each_way_why_and_the_file_is_tried_again", async (t) => {
  Object.assign(globalThis, { Worker: FakeWorker });
  t.after(() => delete (globalThis as { Worker?: unknown }).Worker);
  const environment = (message: RegExp) => ({ name: "DataSyncError", kind: "Environment", message });

  outcome = () => "HTTP 503";
  // The copy holds nothing where it was not built.
  await assert.rejects(launch(undefined), environment(/\(worker\.js: HTTP 503; its inlined copy: .*wasm.*\)/));
  outcome = () => undefined;
  assert.deepEqual(await tried(), ["worker.js"], "it had been the network");

  outcome = () => "refused";
  await assert.rejects(launch("http://there/w.js"), environment(/\(http:\/\/there\/w\.js: refused by the policy\)/));
  t.mock.method(globalThis, "DecompressionStream", function () { return new TransformStream(); } as never);
  t.mock.method(WebAssembly, "compile", async () => ({}));
  await assert.rejects(launch(undefined), environment(/worker\.js: refused.*its inlined copy: refused/));

  outcome = (url) => (url.startsWith("blob:") ? undefined : "HTTP 404");
  assert.deepEqual(await tried(), ["worker.js", "blob"]);
  assert.deepEqual(await tried(), ["blob"], "it is not there, and is not asked for again");
});
