// The SQL console: examples, the text, what it answers.
//
// Knows how to run a script on an open database (`store.js`) and to show results (`table.js`). The rule it
// keeps: an error is shown as it is, with what succeeded before it.

import { the } from "./element.js";
import { EXAMPLES } from "./examples.js";
import { createTable } from "./table.js";
import { quoted, ROWS_MAX, runScript } from "./store.js";

const HISTORY = "datasync-demo-sql";

/** `database()` is the open one; `ran()` is told when something may have changed. */
export function createConsole({ database, ran }) {
  const form = the("console");
  const text = the("sql");
  const cancel = the("cancel");
  let running;

  text.value = sessionStorage.getItem(HISTORY) ?? EXAMPLES[0].sql;
  addExamples(text);
  const run = async () => {
    const db = database();
    if (db === undefined || running !== undefined) return;
    running = new AbortController();
    cancel.hidden = false;
    form.setAttribute("aria-busy", "true");
    sessionStorage.setItem(HISTORY, text.value);
    try {
      await show(db, selected(text), running.signal);
    } finally {
      running = undefined;
      cancel.hidden = true;
      form.removeAttribute("aria-busy");
      ran();
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void run();
  });
  cancel.addEventListener("click", () => running?.abort());
  return {
    listTables: (db) => listTables(db, text, run),
    /** Shows the first example's answer to somebody who has not asked for anything yet. */
    async greet(db) {
      if (text.value !== EXAMPLES[0].sql || the("results").childElementCount > 0) return;
      // Another database may have been imported.
      const shop = await db.get("SELECT 1 FROM sqlite_schema WHERE name = 'sale'");
      if (shop !== undefined) await show(db, text.value, undefined);
    },
  };
}

/** The selected part of the text, if there is one: a habit of SQL consoles. */
function selected(text) {
  const part = text.value.slice(text.selectionStart, text.selectionEnd);
  return part.trim() === "" ? text.value : part;
}

function addExamples(text) {
  const place = the("examples");
  for (const { name, sql } of EXAMPLES) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      text.value = sql;
      text.setSelectionRange(0, 0);
      the("console").requestSubmit();
    });
    place.append(button);
  }
}

/** Runs `sql` and shows each statement's answer as it comes. */
async function show(db, sql, signal) {
  const answer = the("answer");
  const results = the("results");
  answer.className = "answer";
  answer.textContent = "running";
  results.replaceChildren();
  const begun = performance.now();
  const said = [];
  try {
    for await (const result of runScript(db, sql, signal)) {
      said.push(describe(result));
      if (result.columns.length > 0) addResult(results, result);
    }
    const time = ` in ${(performance.now() - begun).toFixed(1)} ms`;
    answer.textContent = said.length === 0 ? "nothing to run" : said.join("; ") + time;
  } catch (error) {
    answer.className = "answer bad";
    answer.textContent = [...said, "stopped by an error"].join("; ");
    results.append(problem(error));
  }
}

function describe({ columns, rows, more, changes }) {
  if (columns.length > 0) {
    const count = more ? `the first ${ROWS_MAX}` : String(rows.length);
    return `${count} ${rows.length === 1 && !more ? "row" : "rows"}`;
  }
  if (changes === undefined) return "done";
  return `${changes} ${changes === 1 ? "row" : "rows"} changed`;
}

function addResult(results, { sql, columns, rows, more }) {
  const name = `Result of ${sql.replace(/\s+/g, " ").slice(0, 60)}`;
  results.append(createTable(columns, rows, name));
  if (!more) return;
  const note = document.createElement("p");
  note.className = "more";
  note.textContent = `There are more rows; this page shows ${ROWS_MAX}.`;
  results.append(note);
}

/** An error as it is: its kind, its words, SQLite's code. */
export function problem(error) {
  const box = document.createElement("div");
  box.className = "problem";
  const kind = document.createElement("b");
  kind.textContent = error?.kind ?? error?.name ?? "Error";
  const code = error?.code === undefined ? "" : ` (SQLite ${error.code})`;
  box.append(kind, `${code}  ${error?.message ?? error}`);
  return box;
}

/** Fills the list of tables; pressing one shows its first rows. */
async function listTables(db, text, run) {
  const names = await db.query(
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') " +
      "AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name",
  );
  const items = names.map(({ name }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      text.value = `SELECT * FROM ${/^[a-z_]\w*$/i.test(name) ? name : quoted(name)} LIMIT 100;`;
      text.setSelectionRange(0, 0);
      the("table-list").open = false;
      void run();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  the("tables").replaceChildren(...items);
}
