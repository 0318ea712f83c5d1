// The server of `cargo xtask demo`: this folder, and the package as it is published under `/datasync/`. The page gets
// nothing that a user of the package would not have.
//
//   node demo/serve.mjs [--port N] [--isolated]

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { serve } from "../benches/browser/serve.mjs";

const { values } = parseArgs({ options: { port: { type: "string" }, isolated: { type: "boolean", default: false } } });
const here = (folder) => fileURLToPath(new URL(folder, import.meta.url));
const { port, isolated } = values;

try {
  const site = await serve(here("../demo"), {}, { port, isolated, folders: { datasync: here("../js/dist") } });
  console.log(`${site.url}/`);
  console.log("The page runs DataSync in this browser, and only there. Ctrl+C ends the server.");
  if (isolated) console.log("Served with COOP and COEP: the page is cross-origin isolated.");
  // Whoever started us holds the other end; when it is gone, however it ended, so are we.
  process.stdin.on("end", () => process.exit()).resume();
} catch (error) {
  console.error(`cannot serve on port ${port}: ${error.message}. Choose another with --port.`);
  process.exitCode = 1;
}
