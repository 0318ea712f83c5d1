// The pure parts of the demo page, without a browser: cutting scripts, the model behind the drawing, the archive.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { verdict } from "../../demo/crash.js";
import { createModel, live, look } from "../../demo/model.js";
import { controlsTransactions, split } from "../../demo/statements.js";
import { tar } from "../../demo/tar.js";

test("a script is cut where SQLite would end its statements", () => {
  const check = (text, expected) => assert.deepEqual(split(text), expected, text);
  check("", []);
  check(" ;; -- nothing\n /* here */ ;", []);
  check("SELECT 1; SELECT 2", ["SELECT 1;", "SELECT 2"]);
  check("SELECT ';', \";\", [;], `;` -- ;\n, 'it''s;';x", ["SELECT ';', \";\", [;], `;` -- ;\n, 'it''s;';", "x"]);
  const trigger =
    "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END;";
  check(`${trigger} SELECT 1;`, [trigger, "SELECT 1;"]);
  check("CREATE TABLE trigger_end (a); END", ["CREATE TABLE trigger_end (a);", "END"]);
  check("SELECT 'never ends; SELECT 2", ["SELECT 'never ends; SELECT 2"]);
});

test("a script with its own transaction is known as one", () => {
  assert.ok(controlsTransactions(split("-- one\nBEGIN; SELECT 1; COMMIT")));
  assert.ok(!controlsTransactions(split("SELECT 'BEGIN'; CREATE TABLE beginning (a)")));
});

const KIB = 1024;
const numbers = (more) => ({
  epoch: 1, committed: 0, durable: 0, segments: 1, logBytes: 0, bytesAppended: 0, folds: 0, blocksFolded: 0, ...more,
});

test("the drawing shows one cell for each commit, open until it is durable", () => {
  const model = createModel(256 * KIB);
  look(model, numbers(), 0);
  look(model, numbers({ committed: 3, durable: 2, bytesAppended: 36 * KIB, logBytes: 36 * KIB }), 10);
  const [segment] = live(model);
  assert.deepEqual(segment.cells.map(({ last, bytes, durableAt }) => [last, bytes, durableAt]),
    [[1, 12 * KIB, 10], [2, 12 * KIB, 10], [3, 12 * KIB, undefined]]);
  look(model, numbers({ committed: 3, durable: 3, bytesAppended: 36 * KIB, logBytes: 36 * KIB }), 20);
  assert.equal(segment.cells[2].durableAt, 20);
});

test("the drawing has as many segments as the log, whatever it missed", () => {
  const model = createModel(100);
  look(model, numbers({ segments: 3, logBytes: 250 }), 0);
  assert.deepEqual(live(model).map(({ bytes }) => bytes), [100, 100, 50]);
  // A transaction that is larger than a segment runs over several.
  look(model, numbers({ segments: 6, logBytes: 550, bytesAppended: 300, committed: 1 }), 10);
  assert.equal(live(model).length, 6);
  assert.equal(live(model).reduce((sum, { bytes }) => sum + bytes, 0), 550);
  // A fold takes the oldest away; they stay for a moment, to be seen falling.
  look(model, numbers({ segments: 1, logBytes: 50, bytesAppended: 300, committed: 1, folds: 1, blocksFolded: 7 }), 20);
  assert.equal(live(model).length, 1);
  assert.equal(model.segments.filter(({ goneAt }) => goneAt === 20).length, 5);
  assert.deepEqual(model.folds, [{ at: 20, blocks: 7 }]);
  look(model, numbers({ segments: 1, logBytes: 50, bytesAppended: 300, committed: 1, folds: 1, blocksFolded: 7 }), 9e6);
  assert.equal(model.segments.length, 1);
});

test("a new life begins a new drawing", () => {
  const model = createModel(100);
  look(model, numbers({ committed: 5, bytesAppended: 60, logBytes: 60 }), 0);
  look(model, numbers({ epoch: 2, segments: 2, logBytes: 120, committed: 5, durable: 5 }), 10);
  assert.deepEqual(live(model).map(({ bytes }) => bytes), [100, 20]);
});

test("a loss is called a loss", () => {
  const seen = { acknowledged: 9, kept: 9, lost: 0, extra: 1, none: 2, strange: 0, whole: true, prefix: true, integrity: true };
  const durable = { backend: "opfs", durability: "durable" };
  const applied = { backend: "opfs", durability: "applied" };
  const check = (more, settings, looks) => assert.equal(verdict({ ...seen, ...more }, settings).looks, looks);
  check({}, durable, "good");
  check({ kept: 8, lost: 1 }, durable, "bad");
  check({ kept: 8, lost: 1 }, applied, "note");
  check({ kept: 8, lost: 1, prefix: false }, applied, "bad");
  check({ whole: false }, durable, "bad");
  check({ whole: false }, applied, "bad");
  check({ strange: 1 }, durable, "bad");
  check({ integrity: false }, durable, "bad");
  check({ kept: 0, lost: 9 }, { backend: "memory", durability: "durable" }, "note");
});

test("the archive of store files unpacks to the same bytes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "datasync-tar-"));
  try {
    const files = [
      { name: "META", bytes: new Uint8Array(65_536).fill(7) },
      { name: "log-0001", bytes: new TextEncoder().encode("short") },
      { name: "empty", bytes: new Uint8Array(0) },
    ];
    writeFileSync(join(folder, "a.tar"), Buffer.from(await tar("shop.datasync", files).arrayBuffer()));
    execFileSync("tar", ["xf", "a.tar"], { cwd: folder });
    for (const { name, bytes } of files) {
      assert.deepEqual(new Uint8Array(readFileSync(join(folder, "shop.datasync", name))), bytes, name);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
