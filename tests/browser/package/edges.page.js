// What happens at the edges: scripts with comments, connections that are replaced, databases that are only read, files
// that cannot be a database.
//
// A part of the promises of behaviour.page.js.

import { equal, fails } from "./use.page.js";

const values = async (db) => (await db.get("SELECT group_concat(a) AS all_of FROM t")).all_of;

export const edges = {
  async what_follows_a_comment_runs_too(use) {
    const db = await use.db();
    const done = await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1); /* two */ INSERT INTO t VALUES (2) /* open");
    equal(done.statements, 3);
    await db.batch(["INSERT INTO t VALUES (3); -- four\n/**/INSERT INTO t VALUES (4);/* the end */ -- of it"]);
    equal(await values(db), "1,2,3,4");
    equal(await db.query("SELECT 1 AS a; /* not this */ SELECT 2 AS a"), [{ a: 2 }]);
    await fails(db.prepare("SELECT 1; /* and */ SELECT 2"), "Misuse", /more than one/);
    // As many as a file that is mostly documentation has.
    await db.exec(`${"/* a line */\n".repeat(60)}INSERT INTO t VALUES (5)`);
    equal(await values(db), "1,2,3,4,5");
  },
};
