// Files out of the database and into it: buttons, and dropping a file on the page.
//
// Knows the open database and the elements of its own section. The rule it keeps: every action says what it
// did, and a file that is refused leaves the database as it was, which the error says.

import { problem } from "./console.js";
import { the } from "./element.js";
import { tar } from "./tar.js";

/** `database()` is the open one; `changed()` is told when its content is another; `startOver()` makes it anew. */
export function createFiles({ database, changed, startOver }) {
  const say = the("files-state");
  const bar = the("files-progress");
  let busy = false;

  /** Runs one action at a time and shows how it went. */
  const act = async (begins, action) => {
    const db = database();
    if (db === undefined || busy) return;
    busy = true;
    say.className = "answer";
    say.textContent = begins;
    try {
      say.textContent = await action(db);
      say.className = "answer good";
    } catch (error) {
      say.className = "answer";
      say.replaceChildren(problem(error));
    } finally {
      busy = false;
      bar.hidden = true;
    }
  };
  const take = (file) => act(`importing ${file.name}`, async (db) => {
    bar.hidden = false;
    bar.value = 0;
    await db.import(file, { onProgress: ({ done, total }) => (bar.value = total === 0 ? 1 : done / total) });
    changed();
    return `${file.name} is in: ${size(file.size)}, in one commit.`;
  });

  the("export").addEventListener("click", () => act("exporting", exportFile));
  the("bytes").addEventListener("click", () => act("reading the store", exportStore));
  the("sample").addEventListener("click", () => act("making the shop anew", async () => {
    await startOver();
    return "The shop is as it was on the first day.";
  }));
  const chooser = the("import");
  chooser.addEventListener("change", () => {
    const [file] = chooser.files;
    chooser.value = "";
    if (file !== undefined) void take(file);
  });
  acceptDrops(take);
}

async function exportFile(db) {
  const bytes = await db.exportBytes();
  download(new Blob([bytes], { type: "application/vnd.sqlite3" }), "record-shop.db");
  return `record-shop.db: ${size(bytes.byteLength)}, for any SQLite.`;
}

async function exportStore(db) {
  const files = await db.exportStore();
  const bytes = files.reduce((sum, file) => sum + file.bytes.byteLength, 0);
  download(tar("record-shop.datasync", files), "record-shop.datasync.tar");
  return `record-shop.datasync.tar: ${files.length} files, ${size(bytes)}. Unpack it, then: datasync verify record-shop.datasync`;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download has begun by the time the next minute has.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Bytes for people. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [unit, divisor] = bytes < 1024 ** 2 ? ["KiB", 1024] : ["MiB", 1024 ** 2];
  return `${(bytes / divisor).toFixed(bytes / divisor < 10 ? 1 : 0)} ${unit}`;
}

function acceptDrops(take) {
  const veil = the("drop");
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file !== undefined) void take(file);
  });
}
