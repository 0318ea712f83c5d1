// A folder served by Node alone, with the two headers of an isolated page: node node.mjs [FOLDER] [PORT].
//
// For trying things out on one's own machine: it listens on the loopback address only.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, resolve, sep } from "node:path";

const [folder = ".", port = "8080"] = process.argv.slice(2);
const top = resolve(folder);
const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** The file that a request names, or undefined for what is not there or not below the folder. */
async function find(target) {
  try {
    const path = decodeURIComponent(new URL(target, "http://localhost").pathname);
    const file = resolve(join(top, path));
    if (file !== top && !file.startsWith(top + sep)) return undefined;
    const found = (await stat(file)).isDirectory() ? join(file, "index.html") : file;
    return (await stat(found)).isFile() ? found : undefined;
  } catch {
    return undefined;
  }
}

const server = createServer(async (request, response) => {
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  const file = await find(request.url);
  if (file === undefined) {
    response.writeHead(404).end("not found\n");
    return;
  }
  response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
  createReadStream(file).pipe(response);
});
server.listen(Number(port), "127.0.0.1", () => {
  const at = server.address();
  console.log("http://localhost:" + at.port + "/");
});
