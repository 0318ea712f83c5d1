// Calls that wait: their order, and many of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../src/protocol.ts";
import { Waitlist } from "../src/waitlist.ts";
import { opened } from "./fake.ts";

const call = (id: number): Call => ({ id, request: { op: "stats" } });

test("calls_that_wait_are_in_the_order_of_a_plain_list", () => {
  let seed = 7;
  const draw = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below;
  const waitlist = new Waitlist();
  const plain: number[] = [];
  let last = 0, longest = 0;
  for (let step = 0; step < 40_000; step += 1) {
    const grows = step % 20_000 < 10_000;
    if (draw(3) < (grows ? 2 : 1)) {
      const calls = Array.from({ length: draw(5) }, () => call((last += 1)));
      waitlist.add(calls);
      plain.push(...calls.map(({ id }) => id));
    }
    if (draw(50) === 0) {
      waitlist.putFirst(call((last += 1)));
      plain.unshift(last);
    }
    const place = draw(5) === 0 ? draw(plain.length + 1) : 0;
    assert.equal(waitlist.take(place)?.id, plain.splice(place, 1)[0]);
    const some = draw(plain.length + 2) - 1;
    assert.equal(waitlist.at(some)?.id, plain[some]);
    if (step % 100 === 0) assert.equal(waitlist.find(({ id }) => id === plain[some]), plain[some] === undefined ? -1 : some);
    assert.equal(waitlist.length, plain.length);
    longest = Math.max(longest, plain.length);
  }
  assert.ok(longest > 2048, "places were given back while others waited");
});

test("many_thousand_calls_of_one_turn_are_all_answered", async () => {
  const { posted, mailbox } = await opened();
  const calls = Array.from({ length: 150_000 }, (_, at): Call => ({ id: at + 2, request: { op: "storage" } }));
  mailbox.hear({ type: "calls", calls });
  const told = () => posted.flatMap((message) => (message.type === "answers" ? message.answers : []));
  while (told().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(told().length, 150_000);
  assert.ok(told().every((answer) => "ok" in answer));
});
