// The browsers there are, by their names. Must not know flags.

import { findChromium, startChromium } from "./chromium.mjs";
import { findFirefox, startFirefox } from "./firefox.mjs";
import { findWebKit, startWebKit } from "./webkit.mjs";

const BROWSERS = {
  chromium: { find: findChromium, start: startChromium },
  firefox: { find: findFirefox, start: startFirefox },
  webkit: { find: findWebKit, start: startWebKit },
};

function known(name) {
  if (!BROWSERS[name]) throw new Error(`there is no browser "${name}"; there are ${Object.keys(BROWSERS).join(", ")}`);
  return BROWSERS[name];
}

/** The program of the browser `name`; undefined when it is not on this machine. */
export function findBrowser(name) {
  return known(name).find();
}

/** Opens `url` in the browser `name`, which keeps its storage under `profile`; options as its own file says. */
export function startBrowser(name, url, profile, options) {
  return known(name).start(url, profile, options);
}
