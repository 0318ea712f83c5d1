// Starts a headless Chromium. Holds what is known of its flags; must not know what the page does: a page talks to its
// driver over HTTP.

import { onPath, start } from "./browser.mjs";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  // A bench page is never looked at: without these its timers are throttled.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

/** The Chromium to use: CHROMIUM, or the first on PATH. Undefined when there is none. */
export function findChromium() {
  return process.env.CHROMIUM || onPath(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
}

/** Opens `url` in a browser of its own that keeps its storage under `profile`. */
export function startChromium(url, profile, { flags = [], onLine = undefined } = {}) {
  const program = findChromium();
  if (!program) throw new Error("no Chromium found: install one, or set CHROMIUM to its path");
  const mark = `--user-data-dir=${profile}`;
  const words = [...FLAGS, ...flags, mark];
  if (onLine) words.push("--enable-logging=stderr");
  return start(program, [...words, url], { mark, onLine });
}
