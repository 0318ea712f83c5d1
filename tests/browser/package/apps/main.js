// The page of every bundled application: hands the package and the promises to whoever drives the browser.

import * as datasync from "datasync";
import { promises, run } from "../behaviour.page.js";

globalThis.check = {
  names: Object.keys(promises),
  run: (name, backend) => run(datasync, name, backend),
  datasync,
};
