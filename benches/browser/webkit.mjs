// Starts WebKitGTK's MiniBrowser on a screen that nobody sees (Xvfb), without a driver program: a page talks to its
// driver over HTTP. Holds what is known of its flags; must not know what the page does.
//
// It is no Safari, but its engine. Without `--automation` it keeps its storage, under HOME. OPFS is there behind flags,
// and its sync access handles say that they are not supported.

import { existsSync } from "node:fs";

import { onPath, start } from "./browser.mjs";

const PLACES = ["/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser", "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser"];

/** The MiniBrowser to use: WEBKIT, or Debian's. Undefined when there is none, or no Xvfb. */
export function findWebKit() {
  if (!onPath(["xvfb-run"])) return undefined;
  return process.env.WEBKIT || PLACES.find((path) => existsSync(path));
}

/** Opens `url` in a browser of its own that keeps its storage under `profile`. */
export function startWebKit(url, profile, { onLine = undefined } = {}) {
  const program = findWebKit();
  if (!program) throw new Error("no MiniBrowser of WebKitGTK and Xvfb found: install them, or set WEBKIT to its path");
  const environment = {
    HOME: profile,
    XDG_CACHE_HOME: `${profile}/cache`,
    XDG_CONFIG_HOME: `${profile}/config`,
    XDG_DATA_HOME: `${profile}/data`,
    // What Safari has on isolated pages.
    JSC_useSharedArrayBuffer: "true",
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
    NO_AT_BRIDGE: "1",
  };
  const words = ["-a", program, `--features=+StorageAPI,+StorageAPIEstimate`, url];
  return start(onPath(["xvfb-run"]), words, { mark: profile, onLine, environment });
}
