// Builds dist/: two modules (the page's and the worker's), a third with the worker and the wasm as text, the wasm.
//
// `node build.mjs PKG`: PKG is the folder with wasm-bindgen's output (datasync.js, datasync_bg.wasm). Also checks
// the types, and writes those of the public API. `cargo xtask npm` runs it.

import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname;
const pkg = resolve(process.argv[2] ?? join(here, "../target/web/pkg"));
const dist = join(here, "dist");

const common = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  alias: { "datasync-wasm": join(pkg, "datasync.js") },
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
cpSync(join(pkg, "datasync_bg.wasm"), join(dist, "datasync_bg.wasm"));

// The page's module keeps `new URL("./worker.js", import.meta.url)` and `import("./inline.js")` as they are:
// the application's bundler, or the browser, resolves them.
const inlineStaysOutside = {
  name: "inline-stays-outside",
  setup(building) {
    building.onResolve({ filter: /\/inline\.ts$/ }, () => ({ path: "./inline.js", external: true }));
  },
};
await build({ ...common, entryPoints: ["src/index.ts"], outfile: join(dist, "index.js"), plugins: [inlineStaysOutside] });

await build({ ...common, entryPoints: ["src/worker.ts"], outfile: join(dist, "worker.js"), minifySyntax: true });

// The same worker as text. It is always given the compiled wasm, so that it needs no address of its own.
const inlined = await build({
  ...common,
  entryPoints: ["src/worker.ts"],
  write: false,
  minify: true,
  define: { "import.meta.url": '"about:blank"' },
});
const wasm = gzipSync(readFileSync(join(dist, "datasync_bg.wasm")), { level: 9 });
const text = [
  "// Made by build.mjs: the worker's module, and the wasm (gzip, base64).",
  `export const workerSource = ${JSON.stringify(inlined.outputFiles[0].text)};`,
  `export const wasmGzipBase64 = "${wasm.toString("base64")}";`,
  "",
];
writeFileSync(join(dist, "inline.js"), text.join("\n"));

const tsc = (...words) => execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), ...words], { cwd: here, stdio: "inherit" });
tsc("-p", "tsconfig.json", "--noEmit");
tsc("-p", "tsconfig.types.json");
for (const file of readdirSync(dist).filter((name) => name.endsWith(".d.ts"))) {
  // Every TypeScript reads `./x.js`; not every one reads `./x.ts`.
  const types = readFileSync(join(dist, file), "utf8");
  writeFileSync(join(dist, file), types.replace(/(from |import\()"(\.\/\w+)\.ts"/g, '$1"$2.js"'));
}

// For applications whose own settings do not name it; `await using` is what needs it.
const index = join(dist, "index.d.ts");
writeFileSync(index, `/// <reference lib="esnext.disposable" />\n${readFileSync(index, "utf8")}`);

for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(join(here, "..", licence), join(here, licence));

const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
for (const file of ["index.js", "worker.js", "inline.js", "datasync_bg.wasm"]) {
  const bytes = readFileSync(join(dist, file));
  console.log(`${file.padEnd(18)} ${kib(bytes.length).padStart(9)}  gzip ${kib(gzipSync(bytes).length).padStart(9)}`);
}
