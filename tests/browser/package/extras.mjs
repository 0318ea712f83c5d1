// Promises that need more than a page: a reload, two tabs, a page without rights, a frame whose storage is refused.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { serve } from "../../../benches/browser/serve.mjs";

const OPEN = `(async (options) => {
  const { open } = check.datasync;
  try {
    globalThis.db = await open(options);
    return "open";
  } catch (error) {
    return error.kind + ": " + error.message;
  }
})`;

/** The worker of the address "?paused" says so when it first reads base.db on demand, and reads when it is told to. */
const PAUSED = `if (self.location.search === "?paused") {
  const told = new Promise((resolve) => (new BroadcastChannel("go").onmessage = resolve));
  for (const name of ["get", "getAll", "getAllKeys"]) {
    const old = IDBObjectStore.prototype[name];
    IDBObjectStore.prototype[name] = function (...given) {
      if (this.name !== "base" || this.transaction.mode !== "readonly") return old.apply(this, given);
      const { db } = this.transaction, seen = { error: null };
      new BroadcastChannel("asked").postMessage("asked");
      void told.then(() => {
        const request = old.apply(db.transaction("base").objectStore("base"), given);
        request.onsuccess = () => seen.onsuccess(Object.assign(seen, { result: request.result }));
      });
      return seen;
    };
  }
}
`;

export const extras = {
  async a_reload_at_any_moment_finds_the_database_free_and_whole({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      const options = JSON.stringify({ name: "reload", backend: "opfs" });
      let sum = 0;
      for (let round = 0; round < 5; round += 1) {
        const opened = await page.evaluate(`${OPEN}(${options})`);
        if (opened !== "open") return `round ${round}: ${opened}`;
        const found = await page.evaluate(async () => {
          await db.exec("CREATE TABLE IF NOT EXISTS t(a)");
          return (await db.get("SELECT count(*) AS n FROM t")).n;
        });
        if (found < sum) return `round ${round}: ${sum} rows were acknowledged, ${found} are there`;
        sum = await page.evaluate(async () => {
          for (let n = 0; n < 10; n += 1) await db.exec("INSERT INTO t VALUES (1)");
          // Left under way: it may be there or not.
          void db.exec("INSERT INTO t VALUES (2)").catch(() => {});
          return (await db.get("SELECT count(*) AS n FROM t WHERE a = 1")).n;
        });
        await page.reload();
        await ready(page, printed);
      }
      return undefined;
    });
  },

  async another_tab_is_told_and_gets_its_turn({ context, app, visit, ready }) {
    const options = (more) => JSON.stringify({ name: "tabs", backend: "opfs", ...more });
    return visit(context, app, app.page, async (one) => {
      await ready(one.page, one.printed);
      const first = await one.page.evaluate(`${OPEN}(${options({})})`);
      if (first !== "open") return first;
      return visit(context, app, app.page, async (two) => {
        await ready(two.page, two.printed);
        const busy = await two.page.evaluate(`${OPEN}(${options({})})`);
        if (!/^Busy: "tabs" is open in another tab/.test(busy)) return `wanted Busy, found ${busy}`;
        await one.page.evaluate(() => void db.on("wanted", () => void db.close()));
        const second = await two.page.evaluate(`${OPEN}(${options({ wait: 10_000 })})`);
        return second === "open" ? undefined : second;
      });
    });
  },

  async an_insecure_page_is_told_to_use_https({ context, app, visit, ready }) {
    const insecure = app.url.replace("localhost", "datasync.test");
    const page = await context.newPage();
    try {
      await page.route("**/*", async (route) => {
        const response = await route.fetch({ url: route.request().url().replace("datasync.test", "localhost") });
        await route.fulfill({ response });
      });
      await page.goto(insecure + app.page);
      await ready(page, []);
      const answer = await page.evaluate(`${OPEN}({ name: "insecure" })`);
      return /^Environment: .*https/.test(answer) ? undefined : `wanted Environment, found ${answer}`;
    } finally {
      await page.close();
    }
  },

  async a_strict_content_policy_is_enough({ context, app, ready }) {
    const page = await context.newPage();
    const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-inline'; worker-src 'self'; connect-src 'self'; img-src data:";
    try {
      await page.route("**/*.html", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": policy } });
      });
      await page.goto(app.url + app.page);
      await ready(page, []);
      const answer = await page.evaluate(`${OPEN}({ name: "policy" })`);
      await page.evaluate(() => globalThis.db?.close());
      return answer === "open" ? undefined : answer;
    } finally {
      await page.close();
    }
  },

  async a_worker_or_a_wasm_that_is_not_there_is_told({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      const worker = await page.evaluate(`${OPEN}({ name: "n", backend: "memory", workerUrl: "/nowhere.js" })`);
      if (!/^Environment: The worker could not be started/.test(worker)) return worker;
      const wasm = await page.evaluate(`${OPEN}({ name: "n", backend: "memory", wasmUrl: "/nowhere.wasm" })`);
      return /^Environment: The wasm could not be loaded.*404/.test(wasm) ? undefined : wasm;
    });
  },

  async an_isolated_page_works_too({ context, app, ready, visit }) {
    const isolated = await serve(app.folder, {}, { isolated: true });
    try {
      return await visit(context, isolated, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        const answer = await page.evaluate(`${OPEN}({ name: "isolated" })`);
        if (answer !== "open") return answer;
        const { isolated } = await page.evaluate(async () => {
          const info = await db.storage();
          await db.close();
          return info;
        });
        return isolated ? undefined : "the page is not isolated";
      });
    } finally {
      await isolated.close();
    }
  },

  async a_quota_that_ends_in_mid_transaction_is_full_and_nothing_is_lost({ context, app, visit, ready }) {
    for (const backend of ["opfs", "indexeddb"]) {
      // An origin of its own: a browser remembers for a while how much room there was.
      const origin = await serve(app.folder, {}, { isolated: false });
      const wrong = await visit(context, origin, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        const devtools = await context.newCDPSession(page);
        const quota = (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: origin.url, ...(quotaSize && { quotaSize }) });
        await quota(30 << 20);
        const answer = await page.evaluate(`${OPEN}({ name: "quota", backend: "${backend}" })`);
        if (answer !== "open") return answer;
        await page.evaluate(async () => void (await db.exec("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'kept')")));
        const found = await page.evaluate(() => db.transaction(async (tx) => {
          for (let n = 0; n < 80; n += 1) await tx.exec("INSERT INTO t VALUES (2, randomblob(1000000))");
        }).then(() => "committed", (error) => `${error.kind}: ${error.message}`));
        await quota();
        const seen = await page.evaluate(async (backend) => {
          const rows = await db.query("SELECT a, count(*) AS n FROM t GROUP BY a").catch((error) => error.kind);
          await db.close().catch(() => {});
          const again = await check.datasync.open({ name: "quota", backend });
          const left = await again.query("SELECT a, count(*) AS n FROM t GROUP BY a");
          await again.exec("INSERT INTO t VALUES (3, 'more')");
          const { ok } = await again.verify();
          await again.close();
          await check.datasync.destroy("quota");
          return { rows, left, ok };
        }, backend);
        // What of the transaction had spilled already may lie in IndexedDB: then the words name the quota, and the kind
        // says to open again. On OPFS the store goes on.
        const full = backend === "opfs" ? /^Full: / : /^(Full|Poisoned): .*quota/;
        const fine = full.test(found) && JSON.stringify(seen.left) === '[{"a":1,"n":1}]' && seen.ok;
        return fine ? undefined : `${backend}: ${found}; ${JSON.stringify(seen)}`;
      });
      await origin.close();
      if (wrong) return wrong;
    }
    return undefined;
  },

  async storage_that_vanished_is_told_and_not_made_anew({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      return page.evaluate(async () => {
        const { open, destroy, importStore } = check.datasync;
        const gone = {
          opfs: async () => (await (await navigator.storage.getDirectory()).getDirectoryHandle("datasync")).removeEntry("vanishes", { recursive: true }),
          indexeddb: () => new Promise((resolve) => (indexedDB.deleteDatabase("datasync:vanishes").onsuccess = resolve)),
        };
        for (const backend of ["opfs", "indexeddb"]) {
          const db = await open({ name: "vanishes", backend });
          await db.exec("CREATE TABLE t(a)");
          const files = await db.exportStore();
          await db.close();
          // As if it had crashed before it left its sign; and an import that is refused takes no sign away.
          await caches.delete("datasync-witness");
          const found = await open({ name: "vanishes", backend });
          await found.exec("INSERT INTO t VALUES (1)");
          await found.close();
          const refused = await importStore(files, { name: "vanishes", backend }).catch((error) => `${error.kind}: ${error.message}`);
          if (!/^Misuse: .*destroy/.test(refused)) throw new Error(`${backend}: ${refused}`);
          await gone[backend]();
          for (const options of [{ backend }, {}]) {
            const error = await open({ name: "vanishes", ...options }).then(() => "opened", (error) => `${error.kind}: ${error.message}`);
            if (!/^Lost: .*destroy/.test(error)) throw new Error(`${backend}: ${error}`);
          }
          await destroy("vanishes");
          const anew = await open({ name: "vanishes", backend });
          if (anew.recovery.kind !== "created") throw new Error(anew.recovery.kind);
          await anew.close();
          await destroy("vanishes");
        }
      }).then(() => undefined);
    });
  },

  async records_are_removed_once_the_last_tab_has_let_go({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      return page.evaluate(async () => {
        const { open, destroy, list } = check.datasync;
        const db = await open({ name: "held", backend: "indexeddb" });
        await db.close();
        const held = await new Promise((resolve) => {
          indexedDB.open("datasync:held").onsuccess = ({ target }) => resolve(target.result);
        });
        setTimeout(() => held.close(), 300);
        await destroy("held", { backend: "indexeddb" });
        if ((await list()).some(({ name }) => name === "held")) throw new Error("it is there still");
      }).then(() => undefined);
    });
  },

  async without_access_handles_the_next_opening_finds_it_in_indexeddb_too({ context, app, visit, ready }) {
    const refusing = `FileSystemFileHandle.prototype.createSyncAccessHandle = async () => {
      throw new DOMException("not here", "NotSupportedError");
    };\n`;
    return altered(app, { isolated: false }, (text) => refusing + text, async (origin) =>
      visit(context, origin, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        return page.evaluate(async () => {
          const { open, list } = check.datasync;
          for (let opened = 1; opened <= 2; opened += 1) {
            const db = await open("handless");
            await db.exec("CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)");
            const { n } = await db.get("SELECT count(*) AS n FROM t");
            if (db.backend !== "indexeddb" || n !== opened) throw new Error(`${db.backend}: ${n} of ${opened}`);
            await db.close();
          }
          const found = (await list()).map(({ backend }) => backend).join();
          if (found !== "indexeddb") throw new Error(found);
        }).then(() => undefined);
      }),
    );
  },

  async a_database_of_a_newer_program_is_refused_and_left_alone({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      return page.evaluate(async () => {
        const { SQLiteDB, open, destroy } = check.datasync;
        const newer = new SQLiteDB({ name: "program", version: 3 });
        await newer.execute("CREATE TABLE t(a)");
        await newer.close();
        const older = new SQLiteDB({ name: "program", version: 2 });
        const error = await older.execute("DROP TABLE t").then(() => "opened", (error) => `${error.kind}: ${error.message}`);
        await older.close();
        const db = await open("program");
        const left = [await db.query("SELECT * FROM t"), (await db.get("PRAGMA user_version")).user_version];
        await db.close();
        await destroy("program");
        if (!/^Unsupported: .*version 3/.test(error)) throw new Error(error);
        if (JSON.stringify(left) !== "[[],3]") throw new Error(JSON.stringify(left));
      }).then(() => undefined);
    });
  },

  async without_suspending_wasm_indexeddb_is_held_in_memory_up_to_a_limit({ context, app, visit, ready }) {
    return withoutSuspending(app, { isolated: false }, async (origin) =>
      visit(context, origin, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        const promises = ["what_was_acknowledged_is_there_after_reopening", "a_database_goes_out_and_comes_back_as_one_file", "a_transaction_is_all_or_nothing"];
        const wrong = await keep(page, promises);
        if (wrong) return wrong;
        return page.evaluate(async () => {
          const { open } = check.datasync;
          const db = await open({ name: "resident", backend: "indexeddb" });
          const { reads } = await db.storage();
          await db.exec("CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(3000000))");
          await db.close();
          const options = { name: "resident", backend: "indexeddb", residentLimitBytes: 1 << 20 };
          const error = await open(options).then(() => "opened", (error) => `${error.kind}: ${error.message}`);
          if (reads !== "resident" || !/^TooLarge: /.test(error)) throw new Error(`${reads}; ${error}`);
        }).then(() => undefined);
      }),
    );
  },

  async without_suspending_wasm_an_isolated_page_reads_through_a_second_worker({ context, app, visit, ready }) {
    return withoutSuspending(app, { isolated: true }, async (origin) =>
      visit(context, origin, app.page, async ({ page, printed, workers }) => {
        await ready(page, printed);
        const wrong = await keep(page, await page.evaluate(() => check.names));
        if (wrong) return wrong;
        const begun = workers.length;
        await page.evaluate(async () => {
          const { open, destroy } = check.datasync;
          const must = (truth, what) => {
            if (!truth) throw new Error(what);
          };
          // More than the cache holds and a limit allows, read while it is written, folded, cut short and reopened.
          const options = { name: "read-by", backend: "indexeddb", cacheBytes: 1 << 18, residentLimitBytes: 1 << 20, logCapBytes: 4 << 20, segmentBytes: 1 << 20 };
          let db = await open(options);
          const { reads } = await db.storage();
          must(reads === "worker", reads);
          await db.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, a)");
          await db.exec("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4000) INSERT INTO t SELECT i, 0, randomblob(1500) FROM c");
          // Readers beside writers: some read while a fold goes out.
          let left = 80;
          const write = async (salt) => {
            for (; left > 0; left -= 1) {
              const id = 1 + ((left * 1237 + salt) % 3900);
              await db.exec("UPDATE t SET n = n + 1, a = randomblob(1500) WHERE id BETWEEN ? AND ?", [id, id + 79]);
            }
          };
          const read = async (salt) => {
            for (let id = salt; left > 0; id = (id * 7919 + 1) % 4000) {
              const row = await db.get("SELECT length(a) AS l FROM t WHERE id = ?", [id + 1]);
              must(row?.l === 1500, `row ${id + 1}: ${JSON.stringify(row)}`);
            }
          };
          await Promise.all([write(0), write(7), read(1), read(2), read(3)]);
          const [{ n }] = await db.query("SELECT sum(length(a)) AS n FROM t");
          must(n === 4000 * 1500, `${n} bytes`);
          await db.exec("DELETE FROM t WHERE id > 1000; VACUUM");
          const before = await db.get("SELECT sum(n) AS n, count(*) AS c, min(length(a)) AS l FROM t");
          await db.close();
          db = await open(options);
          const after = await db.get("SELECT sum(n) AS n, count(*) AS c, min(length(a)) AS l FROM t");
          must(JSON.stringify(before) === JSON.stringify(after), `${JSON.stringify(before)} became ${JSON.stringify(after)}`);
          must((await db.get("PRAGMA integrity_check")).integrity_check === "ok", "integrity");
          must((await db.verify()).ok, "verify");
          await db.close();
          await destroy("read-by");
        });
        return workers.length > begun + 2 ? undefined : `no second worker: ${workers}`;
      }),
    );
  },

  async an_opening_that_another_tab_comes_into_is_fenced_and_not_called_damage({ context, app, visit, ready }) {
    return altered(app, { isolated: false }, (text) => PAUSED + text, async (origin) =>
      visit(context, origin, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        return page.evaluate(async () => {
          const { open } = check.datasync;
          const options = { name: "came-into", backend: "indexeddb" };
          const tables = (word) => Array.from({ length: 150 }, (_, n) => `CREATE TABLE t${n}(${word.repeat(300)} ANY)`).join(";");
          const made = await open(options);
          await made.exec(tables("a"));
          await made.close();
          const [asked, go] = [new BroadcastChannel("asked"), new BroadcastChannel("go")];
          const paused = new Promise((resolve) => (asked.onmessage = resolve));
          const first = open({ ...options, workerUrl: "/datasync/dist/worker.js?paused" })
            .then((db) => db.query("SELECT * FROM t1").then(() => "opened"))
            .catch((error) => `${error.kind}: ${error.message}`);
          const early = await Promise.race([first, paused]);
          if (typeof early === "string") throw new Error(`it did not read: ${early}`);
          await navigator.locks.request("datasync:indexeddb:came-into", { steal: true }, () => {});
          const second = await open(options);
          await second.exec(Array.from({ length: 150 }, (_, n) => `DROP TABLE t${n}`).join(";"));
          await second.exec(tables("b"));
          await second.close();
          go.postMessage("go");
          const outcome = await first;
          if (!/^Fenced: .*another tab/.test(outcome)) throw new Error(outcome);
        }).then(() => undefined);
      }),
    );
  },

  async where_web_locks_are_refused_memory_works_and_the_rest_is_told({ context, app, visit, ready }) {
    const refusing = 'LockManager.prototype.request = () => Promise.reject(new DOMException("no origin", "SecurityError"));\n';
    return altered(app, { isolated: false }, (text) => refusing + text, async (origin) =>
      visit(context, origin, app.page, async ({ page, printed }) => {
        await ready(page, printed);
        const memory = await page.evaluate(`${OPEN}({ name: "lockless", backend: "memory" })`);
        if (memory !== "open") return memory;
        const opfs = await page.evaluate(`${OPEN}({ name: "lockless", backend: "opfs" })`);
        return /^Environment: .*Web Locks.*no origin/.test(opfs) ? undefined : opfs;
      }),
    );
  },

  async names_in_snake_case_do_what_they_say({ context, app, visit, ready }) {
    return visit(context, app, app.page, async ({ page, printed }) => {
      await ready(page, printed);
      return page.evaluate(async () => {
        const { default: init, IsolationLevel, SQLiteDB } = check.datasync;
        const must = (truth, what) => {
          if (!truth) throw new Error(what);
        };
        await init();
        const db = new SQLiteDB({ name: "plan-surface", version: 2, page_size: 8192, cache_size: 500, auto_vacuum: true }, { backend: "memory" });
        const made = await db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)");
        must(made.affected_rows === 0 && made.execution_time_ms > 0 && !("last_insert_id" in made), JSON.stringify(made));
        const settings = await db.execute("SELECT page_size, user_version, auto_vacuum FROM pragma_page_size, pragma_user_version, pragma_auto_vacuum");
        must(settings.rows[0].values.map(({ value }) => value).join() === "8192,2,1", JSON.stringify(settings));
        const id = db.prepare("INSERT INTO users(name) VALUES (?)");
        const inserted = await db.execute_prepared(id, ["a"]);
        must(inserted.affected_rows === 1 && inserted.last_insert_id === 1, JSON.stringify(inserted));
        await db.begin_transaction({ isolation_level: IsolationLevel.Serializable, timeout_ms: 5000 });
        await db.execute("DELETE FROM users");
        await db.rollback();
        await db.begin_transaction({ isolation_level: "ReadCommitted" });
        await db.execute("INSERT INTO users(name) VALUES ('b'), (NULL)");
        await db.commit();
        const { columns, rows } = await db.execute("SELECT id, name, 1.5 AS r, x'00' AS x FROM users ORDER BY id");
        must(columns.join() === "id,name,r,x", columns.join());
        must(JSON.stringify(rows[2].values.map(({ type }) => type)) === '["Integer","Null","Real","Blob"]', JSON.stringify(rows));
        const wrong = await db.execute("SELEC").catch((error) => error.kind);
        must(wrong === "Sql", wrong);
        must((await db.commit().catch((error) => error.kind)) === "Misuse", "commit without begin");
        await db.close();
        must((await db.execute("SELECT 1").catch((error) => error.kind)) === "Closed", "closed");
        db.free();
      }).then(() => undefined);
    });
  },
};

/** Serves the application as a browser would see it that cannot suspend wasm (WebKit): the worker's own look says no. */
function withoutSuspending(app, { isolated }, body) {
  return altered(app, { isolated }, (text) => text.replace('"Suspending" in WebAssembly', "false"), body);
}

/** Serves the application with another text of its worker. */
async function altered(app, { isolated }, alter, body) {
  const folder = mkdtempSync(join(tmpdir(), "datasync-altered-"));
  cpSync(app.folder, folder, { recursive: true });
  const worker = join(folder, "datasync/dist/worker.js");
  const text = readFileSync(worker, "utf8");
  const other = alter(text);
  if (other === text) throw new Error("the worker no longer holds what is to be altered");
  writeFileSync(worker, other);
  const origin = await serve(folder, {}, { isolated });
  try {
    return await body(origin);
  } finally {
    await origin.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs promises on IndexedDB; what was not kept. */
async function keep(page, promises) {
  for (const promise of promises) {
    const wrong = await page.evaluate((promise) => check.run(promise, "indexeddb"), promise);
    if (wrong) return `${promise}: ${wrong}`;
  }
  return undefined;
}
