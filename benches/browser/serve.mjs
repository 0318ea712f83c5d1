// A web server on localhost for a page and its driver: files of this repository under `/`, and functions of the
// driver under their own paths. Must not know what is measured. Rule: it never serves anything outside the root.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".sql": "text/plain; charset=utf-8",
};

/** What the address of a page ends with that is nothing but its module: `NAME.page` loads `NAME.page.js`. */
const PAGE = ".page";

/**
 * Serves the folder `root`. `routes` maps a path to a function of the request's body (text) that returns text or
 * an object; `folders` maps a first path component to a folder elsewhere. `isolated` sends the two headers with
 * which a page gets SharedArrayBuffer and the finer clock; `headers` maps a path to more of them. Port 0 is any that is
 * free.
 */
export async function serve(root, routes, { isolated = true, folders = {}, headers = {}, port = 0 } = {}) {
  const server = createServer(async (request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Cache-Control", "no-cache");
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    Object.entries(headers[path] ?? {}).forEach(([name, value]) => response.setHeader(name, value));
    try {
      if (path.endsWith(PAGE)) return page(response, path);
      if (routes[path]) return answer(response, await routes[path](await bodyOf(request)));
      await sendFile(response, resolve(root, folders, path), request);
    } catch (error) {
      response.statusCode = error.code === "ENOENT" ? 404 : 500;
      response.end(String(error.message));
    }
  });
  // Acknowledgements come one by one: without this each waits for a delayed ACK.
  server.on("connection", (socket) => socket.setNoDelay(true));
  server.keepAliveTimeout = 60_000;
  await new Promise((ready, refused) => server.on("error", refused).listen(port, "127.0.0.1", ready));
  const at = server.address().port;
  return {
    url: `http://localhost:${at}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

function resolve(root, folders, path) {
  const [, first, ...rest] = path.split("/");
  const [base, tail] = folders[first] ? [folders[first], rest.join("/")] : [root, path];
  const file = normalize(join(base, tail.endsWith("/") ? `${tail}index.html` : tail));
  if (!file.startsWith(normalize(base) + sep)) throw Object.assign(new Error("outside"), { code: "ENOENT" });
  return file;
}

function page(response, path) {
  response.setHeader("Content-Type", TYPES[".html"]);
  response.end(`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>DataSync: ${basename(path, PAGE)}</title>
    <link rel="icon" href="data:,">
  </head>
  <body>
    <script type="module" src="./${basename(path)}.js"></script>
  </body>
</html>
`);
}

async function sendFile(response, file, request) {
  const { size, mtimeMs } = await stat(file);
  // With a validator the browser may keep compiled code, as it does for any site.
  const tag = `"${size}-${Math.floor(mtimeMs)}"`;
  response.setHeader("ETag", tag);
  if (request.headers["if-none-match"] === tag) {
    response.statusCode = 304;
    return response.end();
  }
  response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
  response.setHeader("Content-Length", size);
  createReadStream(file).pipe(response);
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function answer(response, value) {
  response.setHeader("Content-Type", "application/json");
  response.end(typeof value === "string" ? value : JSON.stringify(value ?? null));
}
