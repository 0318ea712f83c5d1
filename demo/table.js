// A table of results that the keyboard moves in, and that shows values as SQLite has them.
//
// Knows columns and rows, nothing of databases. Only one cell takes part in the tab order; the arrows move it.

/** What a cell shows, and how. */
export function shown(value) {
  if (value === null) return { text: "NULL", kind: "null" };
  if (typeof value === "number" || typeof value === "bigint") return { text: String(value), kind: "number" };
  if (value instanceof Uint8Array) return { text: blobText(value), kind: "blob" };
  return { text: String(value), kind: "text" };
}

function blobText(bytes) {
  const head = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `x'${head}${bytes.length > 16 ? ".." : ""}' (${bytes.length} bytes)`;
}

/** A scrolling table. `rows` are arrays in the order of `columns`. */
export function createTable(columns, rows, name) {
  const frame = document.createElement("div");
  frame.className = "grid";
  const table = document.createElement("table");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", name);
  table.setAttribute("aria-rowcount", String(rows.length + 1));
  table.setAttribute("aria-colcount", String(columns.length));
  const head = table.createTHead().insertRow();
  for (const [index, column] of columns.entries()) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = rows.length === 0 ? "" : shown(rows[0][index]).kind;
    cell.textContent = column;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) addRow(body, row);
  const first = body.rows[0]?.cells[0];
  if (first !== undefined) first.tabIndex = 0;
  table.addEventListener("keydown", (event) => moveWith(event, body));
  table.addEventListener("focusin", (event) => enter(event.target, body));
  table.addEventListener("mousedown", (event) => {
    if (event.target instanceof HTMLTableCellElement && event.target.closest("tbody")) event.target.focus();
  });
  frame.append(table);
  return frame;
}

function addRow(body, row) {
  const line = body.insertRow();
  for (const value of row) {
    const cell = line.insertCell();
    const { text, kind } = shown(value);
    cell.textContent = text;
    cell.className = kind;
    cell.tabIndex = -1;
    if (text.length > 60) cell.title = text;
  }
}

/** The focused cell becomes the one that Tab comes back to. */
function enter(target, body) {
  if (!(target instanceof HTMLTableCellElement)) return;
  body.querySelectorAll('td[tabindex="0"]').forEach((cell) => {
    cell.tabIndex = -1;
  });
  target.tabIndex = 0;
}

const PAGE = 12;

function moveWith(event, body) {
  const cell = event.target;
  if (!(cell instanceof HTMLTableCellElement) || cell.parentElement === null) return;
  let row = /** @type {HTMLTableRowElement} */ (cell.parentElement).sectionRowIndex;
  let column = cell.cellIndex;
  const lastRow = body.rows.length - 1;
  const lastColumn = body.rows[0].cells.length - 1;
  if (event.altKey || event.shiftKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "c") {
    if (String(getSelection()) === "") navigator.clipboard?.writeText(cell.textContent ?? "");
    return;
  }
  switch (event.key) {
    case "ArrowUp": row -= 1; break;
    case "ArrowDown": row += 1; break;
    case "ArrowLeft": column -= 1; break;
    case "ArrowRight": column += 1; break;
    case "PageUp": row -= PAGE; break;
    case "PageDown": row += PAGE; break;
    case "Home": column = 0; if (event.ctrlKey) row = 0; break;
    case "End": column = lastColumn; if (event.ctrlKey) row = lastRow; break;
    default: return;
  }
  event.preventDefault();
  const clamp = (value, most) => Math.max(0, Math.min(most, value));
  body.rows[clamp(row, lastRow)].cells[clamp(column, lastColumn)].focus();
}
