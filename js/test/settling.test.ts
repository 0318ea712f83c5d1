// What waits for a barrier, and what does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gate, opened, rest } from "./fake.ts";

test("applied_answers_wait_while_the_medium_is_far_behind", async () => {
  const { session, run } = await opened("applied");
  session.most = 3;
  const barrier = gate();
  session.barrier = barrier.wait;
  let answered = 0;
  const puts = Array.from({ length: 3 }, (_, n) => run("PUT ?", [n]).then(() => (answered += 1)));
  await rest();
  assert.deepEqual([answered, session.settles], [3, 0]);
  puts.push(run("PUT ?", [3]).then(() => (answered += 1)));
  await rest();
  puts.push(run("PUT ?", [4]).then(() => (answered += 1)));
  await rest();
  assert.deepEqual([answered, session.settles], [3, 1], "nobody asked for it");
  assert.equal(session.values.length, 4, "and nothing more is put on top");
  barrier.open();
  await Promise.all(puts);
  assert.equal(session.values.length, 5);
});
