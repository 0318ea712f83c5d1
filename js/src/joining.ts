// Calls that wait together share one commit: they are statements of one transaction and become durable together.
//
// Must not know the wasm. The rule it keeps: nobody can tell but by the time it takes. A statement that fails takes
// nothing of the others with it; what would have gone otherwise for each call alone is undone, and the calls are run
// again one by one.

import { partsOf, type ErrorKind } from "./errors.ts";
import type { Call } from "./protocol.ts";
import type { Runner } from "./runner.ts";

/** A commit that failed like this left nothing: the calls may be run again. */
const NOTHING_DONE: ReadonlySet<ErrorKind> = new Set<ErrorKind>(["Full", "Busy", "Constraint"]);

/** What came of a shared commit: `error` is the answer to every call that had succeeded before it. */
export interface Joined<Answer> {
  answers: Answer[];
  error?: unknown;
}

/** Shares one commit between the calls that `next` gives; undefined: nothing is left of it, run them one by one. */
export async function join<Answer>(
  runner: Runner, next: () => Call | undefined, execute: (call: Call) => Promise<Answer>,
): Promise<Joined<Answer> | undefined> {
  const answers: Answer[] = [];
  // Taken before anything can fail: whatever happens, somebody answers it.
  let call = next();
  try {
    await runner.join();
  } catch {
    return undefined;
  }
  for (; call !== undefined; call = next()) {
    answers.push(await execute(call));
    if (runner.isJoined()) continue;
    return undone(runner, answers);
  }
  try {
    await runner.commitJoined();
    return { answers };
  } catch (error) {
    // Otherwise its bytes may be on the medium, and to run it again would be to promise that they are not.
    return NOTHING_DONE.has(partsOf(error).kind) ? undone(runner, answers) : { answers, error };
  }
}

/** Undoes the transaction. If that fails, it is what all of its calls are told. */
async function undone<Answer>(runner: Runner, answers: Answer[]): Promise<Joined<Answer> | undefined> {
  try {
    await runner.undoJoined();
    return undefined;
  } catch (error) {
    return { answers, error };
  }
}
