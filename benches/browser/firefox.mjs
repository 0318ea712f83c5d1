// Starts a headless Firefox, without a driver program: a page talks to its driver over HTTP. Holds what is known of
// its flags and preferences; must not know what the page does.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { onPath, start } from "./browser.mjs";

/** Nothing that asks, phones home, or shows a page of its own; timers of a page that nobody sees run as they should. */
const PREFERENCES = {
  "app.normandy.enabled": false,
  "app.update.enabled": false,
  "browser.aboutwelcome.enabled": false,
  "browser.safebrowsing.downloads.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.sessionstore.resume_from_crash": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.min_background_timeout_value": 4,
  "dom.timeout.enable_budget_timer_throttling": false,
  "extensions.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "toolkit.startup.max_resumed_crashes": -1,
  "toolkit.telemetry.enabled": false,
};

/** The Firefox to use: FIREFOX, or the first on PATH. Undefined when there is none. */
export function findFirefox() {
  return process.env.FIREFOX || onPath(["firefox", "firefox-esr"]);
}

/** Opens `url` in a browser of its own that keeps its storage under `profile`. */
export function startFirefox(url, profile, { onLine = undefined } = {}) {
  const program = findFirefox();
  if (!program) throw new Error("no Firefox found: install one, or set FIREFOX to its path");
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
  const words = ["--headless", "--no-remote", "--profile", profile, url];
  return start(program, words, { mark: profile, onLine, environment: { MOZ_CRASHREPORTER_DISABLE: "1" } });
}
