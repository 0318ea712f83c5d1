// The worker's entry: connects the mailbox with the world, or is the worker that reads for another one. Nothing
// here decides anything.

import { checkWorker } from "./environment.ts";
import { Mailbox } from "./mailbox.ts";
import { importFiles, lastWords, openSession } from "./opening.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";
import { READER, serveReads } from "./reader.ts";

declare const self: DedicatedWorkerGlobalScope;

checkWorker(self);

if (self.name === READER) serveReads(self);
else serveCalls();

function serveCalls(): void {
  const post = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, transfer);

  const mailbox = new Mailbox({
    post,
    begin: async ({ request }, wanted, breathe) => {
      if (request.op === "importStore") return { answer: await importFiles(request, breathe) };
      if (request.op !== "open") throw new TypeError("only open and importStore begin anything");
      const session = await openSession(request, wanted, (module) => post({ type: "module", module }));
      return { session, answer: session.answer };
    },
    lastWords,
    now: () => performance.now(),
    breathe: letMessagesIn,
    end: () => self.close(),
  });

  self.onmessage = ({ data }: MessageEvent<ToWorker>) => mailbox.hear(data);

  const alive = `datasync-worker:${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`;
  const locks = self.navigator.locks as LockManager | undefined;
  if (locks) {
    // Held until the worker is gone, however it went: so the page learns of it.
    const held = locks.request(alive, () => {
      post({ type: "ready", alive });
      return new Promise(() => {});
    });
    // Refused where the page has no origin of its own (a sandboxed frame): a database in memory works there.
    held.catch(() => post({ type: "ready", alive: "" }));
  } else {
    post({ type: "ready", alive: "" });
  }
}

/** Messages that have arrived are heard before this resolves. */
function letMessagesIn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
