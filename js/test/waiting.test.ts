// What the browser does not answer, or answers too late; and openings that another tab comes into.

import assert from "node:assert/strict";
import { test } from "node:test";
import { throwBallast } from "../src/ballast.ts";
import { start, type RawMedium } from "../src/engine.ts";
import { destroyAt, isIn } from "../src/places.ts";
import { connectionOf } from "../src/waiting.ts";
import { mourn } from "../src/witness.ts";
import { opened, rest } from "./fake.ts";

/** Calls `use` with these in the place of the browser's, and with patience in hundredths. */
async function among(globals: object, use: () => Promise<void>): Promise<void> {
  const before = Object.fromEntries(Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  const { setTimeout } = globalThis;
  const define = (name: string, value: unknown) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  for (const [name, value] of Object.entries(globals)) define(name, value);
  define("setTimeout", (call: () => void, ms = 0, ...words: []) => setTimeout(call, ms / 100, ...words));
  try {
    await use();
  } finally {
    define("setTimeout", setTimeout);
    for (const [name, value] of Object.entries(before)) {
      if (value) Object.defineProperty(globalThis, name, value);
      else delete (globalThis as Record<string, unknown>)[name];
    }
  }
}

const never = <T>() => new Promise<T>(() => {});

test("a_connection_that_comes_too_late_is_closed", async () => {
  let closed = 0;
  const request = { result: { close: () => (closed += 1) }, onsuccess: () => {} };
  await assert.rejects(connectionOf(request as never, 5), { name: "TimeoutError" });
  assert.equal(closed, 0);
  request.onsuccess();
  assert.equal(closed, 1);
});

test("a_browser_that_does_not_answer_is_not_waited_for_for_ever", async () => {
  const indexedDB = { open: () => ({}), deleteDatabase: () => ({}), databases: never };
  const caches = { open: never };
  await among({ indexedDB, caches, location: { origin: "" } }, async () => {
    await throwBallast();
    await mourn("t", ["indexeddb"]);
    await assert.rejects(isIn("t", "indexeddb"), { kind: "Busy", message: /other tabs/ });
    await assert.rejects(destroyAt("t", "indexeddb"), { kind: "Busy", message: /another tab/ });
  });
});

test("a_file_that_never_becomes_ready_holds_no_call", async () => {
  await among({}, async () => {
    const { session, posted, run } = await opened();
    session.refill = never;
    await run("PUT ?", [1]);
    await rest(2_000);
    const late = new Promise((_, reject) => setTimeout(reject, 100_000, new Error("it waits")));
    await Promise.race([run("PUT ?", [2]), late]);
    const told = posted.flatMap((message) => (message.type === "event" && message.event.name === "error" ? [message.event.data] : []));
    assert.deepEqual([told.length, (told[0] as { kind?: string }).kind], [1, "Io"]);
  });
});

test("a_removal_that_is_blocked_or_refused_says_so", async () => {
  const request: { error?: Error; onblocked?: () => void; onerror?: () => void } = {};
  const indexedDB = { deleteDatabase: () => request };
  const caches = { open: () => Promise.reject(new Error("no caches")) };
  await among({ indexedDB, caches, location: { origin: "" } }, async () => {
    const blocked = destroyAt("t", "indexeddb");
    await rest(100);
    request.onblocked?.();
    await assert.rejects(blocked, { kind: "Busy" });
    const refused = destroyAt("t", "indexeddb");
    await rest(100);
    request.error = new Error("the disk is gone");
    request.onerror?.();
    await assert.rejects(refused, { kind: "Io", message: /the disk is gone/ });
  });
});

test("an_opening_that_another_tab_comes_into_is_fenced_and_not_called_damage", async () => {
  const failing = (kind: string) => Object.assign(new Error(kind), { kind });
  const medium = (kind: string, owned: () => Promise<void>): RawMedium => ({
    start: () => {
      throw failing(kind);
    },
    owned,
  });
  const taken = () => Promise.reject(failing("Fenced"));
  await assert.rejects(start(medium("Corrupt", taken), "{}", "never"), { kind: "Fenced" });
  await assert.rejects(start(medium("Corrupt", async () => {}), "{}", "never"), { kind: "Corrupt" });
  await assert.rejects(start(medium("Corrupt", () => Promise.reject(failing("Io"))), "{}", "never"), { kind: "Corrupt" });
  await assert.rejects(start(medium("Misuse", taken), "{}", "never"), { kind: "Misuse" });
  await among({}, async () => {
    await assert.rejects(start(medium("Corrupt", never), "{}", "never"), { kind: "Corrupt" });
  });
});
