// The applications: each made from the packed tarball, by one bundler, without configuration of ours.
//
// A build returns what to serve: `{ folder, page }`, or `{ url, page, close }` where it serves by itself.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../../..");
const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const OUT = join(target, "web/apps");
/** Where the tarball is unpacked: bundlers look for packages in a folder of this name. */
const INSTALLED = join(HERE, "node_modules/datasync");
const require = createRequire(join(HERE, "package.json"));

/** Fetches the bundlers that package-lock.json names, unless they are there. */
export function bundlers() {
  const wanted = readFileSync(join(HERE, "package-lock.json"), "utf8");
  const stamp = join(HERE, "node_modules/.installed-from");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: HERE, stdio: "inherit" });
  writeFileSync(stamp, wanted);
}

/** Unpacks the tarball as `npm install` would. */
export function install() {
  const tarball = join(target, "web/datasync.tgz");
  if (!existsSync(tarball)) throw new Error(`${tarball} is not there: cargo xtask npm makes it`);
  rmSync(INSTALLED, { recursive: true, force: true });
  mkdirSync(INSTALLED, { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", INSTALLED, "--strip-components=1"]);
  return INSTALLED;
}

function fresh(name) {
  const folder = join(OUT, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

async function vite() {
  return import(pathToFileURL(join(HERE, "node_modules/vite/dist/node/index.js")).href);
}

/** `vite build`. */
export async function viteBuild() {
  const folder = fresh("vite");
  const { build } = await vite();
  const input = { index: join(HERE, "apps/index.html"), plan: join(HERE, "apps/plan.html") };
  await build({
    root: join(HERE, "apps"),
    configFile: false,
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: true, rollupOptions: { input }, chunkSizeWarningLimit: 1e6 },
  });
  return { folder, page: "/index.html" };
}

/** `vite`, the server for development, which bundles dependencies in its own way. */
export async function viteDev() {
  const { createServer } = await vite();
  const server = await createServer({
    root: join(HERE, "apps"),
    cacheDir: fresh("vite-cache"),
    configFile: false,
    logLevel: "error",
    server: { port: 0, host: "127.0.0.1", fs: { allow: [ROOT] }, hmr: false, ws: false },
  });
  await server.listen();
  const { port } = server.httpServer.address();
  return { url: `http://localhost:${port}`, page: "/index.html", close: () => server.close() };
}

/** webpack with its defaults. */
export async function webpackBuild() {
  const folder = fresh("webpack");
  const webpack = require("webpack");
  const config = {
    mode: "production",
    context: HERE,
    entry: join(HERE, "apps/main.js"),
    output: { path: folder, filename: "main.js" },
    performance: false,
  };
  const stats = await new Promise((resolve, reject) =>
    webpack(config, (error, done) => (error ? reject(error) : resolve(done))),
  );
  if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
  return page(folder);
}

/** esbuild, everything in one file: the worker's own file is not found, its inlined copy runs. */
export async function esbuildBuild() {
  const folder = fresh("esbuild");
  const { build } = await import(pathToFileURL(join(ROOT, "js/node_modules/esbuild/lib/main.js")).href);
  const common = { bundle: true, format: "esm", logLevel: "error", absWorkingDir: HERE };
  await build({ ...common, entryPoints: [join(HERE, "apps/main.js")], outfile: join(folder, "main.js") });
  return page(folder);
}

function page(folder) {
  const icon = '<link rel="icon" href="data:,">';
  writeFileSync(
    join(folder, "index.html"),
    `<!doctype html><meta charset="utf-8"><title>x</title>${icon}<script type="module" src="main.js"></script>\n`,
  );
  return { folder, page: "/index.html" };
}

/** No bundler: the files of the package as they are. */
export async function plain() {
  const folder = fresh("plain");
  cpSync(INSTALLED, join(folder, "datasync"), { recursive: true });
  cpSync(join(HERE, "apps"), join(folder, "apps"), { recursive: true });
  for (const name of readdirSync(HERE).filter((name) => name.endsWith(".page.js"))) cpSync(join(HERE, name), join(folder, name));
  return { folder, page: "/apps/plain.html" };
}

/** What a server that renders pages does with a package: imports it, and does not open anything. */
export async function onAServer() {
  const { open, DataSyncError, SQLiteDB, default: init } = await import(pathToFileURL(join(INSTALLED, "dist/index.js")).href);
  const error = await open("x").catch((thrown) => thrown);
  if (!(error instanceof DataSyncError) || error.kind !== "Environment" || !/in a browser/.test(error.message)) {
    throw new Error(`open() on a server should say what to do; it said: ${error}`);
  }
  if (typeof init !== "function" || typeof SQLiteDB !== "function") throw new Error("the names in snake case are missing");
}

/** The types, as an application's compiler reads them: the program with names in snake case and a few lines of our own. */
export function types() {
  const tsc = join(ROOT, "js/node_modules/typescript/bin/tsc");
  const words = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
  for (const [file, libs] of [["apps/plan.ts", "es2022,dom"], ["apps/typed.ts", "es2022,dom,esnext.disposable"]]) {
    execFileSync(process.execPath, [tsc, ...words, "--lib", libs, "--types", "", file], { cwd: HERE, stdio: "inherit" });
  }
}
