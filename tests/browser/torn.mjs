// A record of Chromium's own log of IndexedDB is left half-written, as a crash may leave it. What is committed in the
// life after that must be there in the one after next: on DataSync; and on IndexedDB as it is it must not be, else this
// tried nothing (decision 0018; google/leveldb issue 1287). Knows LevelDB's log: 7 bytes of header, the rest of a page.

import { appendFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { startChromium } from "../../benches/browser/chromium.mjs";
import { serve } from "../../benches/browser/serve.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** A page that is silent for this long is stuck. */
const PATIENCE_MS = 60_000;

let tell = () => {};
const server = await serve(ROOT, { "/told": (body) => tell(JSON.parse(body)) });

/** One life of `side` on `profile`: what its page told before it was killed. */
async function live(side, profile) {
  const told = new Promise((resolve) => (tell = resolve));
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, { error: "the page is silent" }).unref());
  const browser = startChromium(`${server.url}/tests/browser/torn.page?side=${side}`, profile);
  try {
    return await Promise.race([told, late]);
  } finally {
    await browser.kill();
  }
}

/** Half of a record behind what was written last: the first part of several, 100 bytes of the 30,000 it should have. */
function tear(profile) {
  const base = join(profile, "Default", "IndexedDB");
  const folder = join(base, readdirSync(base).find((name) => name.endsWith(".leveldb")));
  const log = readdirSync(folder).filter((name) => name.endsWith(".log")).sort().at(-1);
  const part = Buffer.alloc(7 + 100);
  part.writeUInt16LE(30_000, 4);
  part[6] = 2;
  appendFileSync(join(folder, log), part);
}

/** What three lives found, the log torn between the first two. */
async function threeLives(side) {
  const profile = mkdtempSync(join(tmpdir(), "datasync-torn-"));
  try {
    const first = await live(side, profile);
    tear(profile);
    return [first, await live(side, profile), await live(side, profile)];
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

const words = (lives) => lives.map(({ found, error }) => error ?? `${found} rows`).join(", then ");
const kept = (lives) => lives.every(({ found }, life) => found === life * 3);
const ours = await threeLives("datasync"), theirs = await threeLives("raw");
await server.close();
console.log(`DataSync found ${words(ours)}; IndexedDB as it is found ${words(theirs)}`);
if (!kept(ours)) console.log("FAILED: what was acknowledged behind a torn record is gone");
if (kept(theirs)) {
  console.log("FAILED: nothing was tried. Either the record was not torn, or Chromium no longer writes behind one: see decision 0018");
}
process.exitCode = kept(ours) && !kept(theirs) ? 0 : 1;
