// The npm package in a browser that nobody drives: every promise on every backend, in a page of the unpacked tarball,
// which tells this server how it went. What needs a driver (tabs, quota, a page that is left) is tried in Chromium, by
// run.mjs.
//
// node undriven.mjs --browser firefox|webkit|chromium [--only WORDS] [--backends memory,opfs,indexeddb] [--isolated]

import { parseArgs } from "node:util";

import { listen } from "../desk.mjs";
import { install, plain } from "./builds.mjs";

const { values: { browser, isolated, only, backends } } = parseArgs({
  options: {
    browser: { type: "string", default: "firefox" },
    isolated: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    backends: { type: "string", default: "memory,opfs,indexeddb" },
  },
});

install();
const { folder: root } = await plain();
const asked = { backends: backends.split(","), only };
const ok = await listen({
  browser, root, page: "/apps/everything.html", routes: { "/asked": () => asked }, options: { isolated },
});
process.exit(ok ? 0 : 1);
