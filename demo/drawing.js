// The picture of the store: the log's segments as strips of commits, and the base below them.
//
// Knows the model and one canvas, nothing of the page. Draws only while something moves, and at once in
// its last state where the user asked for less motion.

import { live } from "./model.js";

/** How long each movement takes, ms. */
const DROP_MS = 280;
const TURN_MS = 260;
const FALL_MS = 800;
/** After so long without a change nothing moves any more. */
const SETTLED_MS = 1700;

const LABEL = 16;
const STRIP = 30;
const GAP = 8;
/** Places for segments that are always shown. */
const PLACES = 4;

/** Where each segment was drawn last: from there its commits fall when it is folded. */
const placeOf = new WeakMap();

/** Draws `model()` on `canvas` whenever `drawing.wake()` was called, until it has settled. */
export function createDrawing(canvas, model) {
  const pen = canvas.getContext("2d");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let colours = readColours();
  let frame;

  const draw = () => {
    frame = undefined;
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const now = still.matches ? Infinity : performance.now();
    paint(pen, model(), { width, height, colours, now });
    if (!still.matches && now - model().changedAt < SETTLED_MS) wake();
  };
  const wake = () => {
    frame ??= requestAnimationFrame(draw);
  };
  const recolour = () => {
    colours = readColours();
    wake();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  new ResizeObserver(wake).observe(canvas);
  return { wake };
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    durable: read("durable"),
    open: read("open"),
    base: read("base"),
    line: read("line"),
    sunken: read("sunken"),
    soft: read("soft"),
    bad: read("bad"),
    font: "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
  };
}

/** How far a movement that began at `since` has come at `now`: 0 to 1, slower at the end. */
function progress(since, now, length) {
  const part = Math.min(1, Math.max(0, (now - since) / length));
  return Number.isNaN(part) ? 1 : 1 - (1 - part) ** 3;
}

function paint(pen, model, view) {
  const { width, height, colours } = view;
  pen.font = colours.font;
  pen.textBaseline = "alphabetic";
  const alive = live(model);
  const rows = rowsFor(model, width);
  const slots = slotsOf(alive.length, rows, width);
  const logHeight = LABEL + rows.rows * (STRIP + GAP);
  const base = { top: logHeight + 4, height: height - logHeight - 4 };

  const count = `${alive.length} ${alive.length === 1 ? "segment" : "segments"}`;
  label(pen, colours, "log", model.stats === undefined ? "" : count, 11, width);
  if (model.stats !== undefined) paintBase(pen, model, base, view);
  slots.slice(alive.length).forEach((slot) => paintPlace(pen, slot, colours));
  alive.forEach((segment, index) => paintSegment(pen, model, segment, slots[index], view));
  for (const segment of model.segments) {
    if (segment.goneAt !== undefined) paintFalling(pen, model, segment, base, view);
  }
  if (model.killedAt !== undefined) paintKilled(pen, view);
}

function label(pen, colours, name, text, y, width) {
  pen.textAlign = "left";
  pen.fillStyle = colours.soft;
  pen.font = `600 ${colours.font}`;
  pen.fillText(name, 0, y);
  pen.font = colours.font;
  pen.textAlign = "right";
  pen.fillText(text, width, y);
  pen.textAlign = "left";
}

/** How many rows of how many segments: a strip narrower than 150 px says nothing. */
function rowsFor(model, width) {
  const perRow = Math.max(2, Math.min(PLACES, Math.floor(width / 150)));
  const wanted = Math.max(PLACES, live(model).length);
  return { perRow, rows: Math.min(3, Math.ceil(wanted / perRow)) };
}

/** Where each living segment is drawn. Where there are too many, the oldest share the first place. */
function slotsOf(count, { perRow, rows }, width) {
  const wide = (width - GAP * (perRow - 1)) / perRow;
  const hidden = Math.max(0, count - perRow * rows);
  return Array.from({ length: Math.max(count, perRow * rows) }, (_, index) => {
    const place = Math.max(0, index - hidden);
    return {
      x: (place % perRow) * (wide + GAP),
      y: LABEL + Math.floor(place / perRow) * (STRIP + GAP),
      width: wide,
      hidden: index < hidden,
    };
  });
}

/** Where a segment would be. */
function paintPlace(pen, slot, colours) {
  pen.strokeStyle = colours.line;
  pen.lineWidth = 1;
  pen.setLineDash([3, 4]);
  rounded(pen, slot.x + 0.5, slot.y + 0.5, slot.width - 1, STRIP - 1, 5);
  pen.stroke();
  pen.setLineDash([]);
}

function paintSegment(pen, model, segment, slot, { colours, now }) {
  if (slot.hidden) return;
  placeOf.set(segment, slot);
  pen.globalAlpha = progress(segment.born, now, DROP_MS);
  pen.fillStyle = colours.sunken;
  pen.strokeStyle = colours.line;
  pen.lineWidth = 1;
  rounded(pen, slot.x + 0.5, slot.y + 0.5, slot.width - 1, STRIP - 1, 5);
  pen.fill();
  pen.stroke();
  pen.globalAlpha = 1;
  const scale = (slot.width - 6) / Math.max(model.capacity, segment.bytes);
  let x = slot.x + 3;
  for (const cell of segment.cells) {
    const wide = cell.bytes * scale;
    paintCell(pen, model, cell, x, slot.y + 4, wide, { colours, now });
    x += wide;
  }
}

function paintCell(pen, model, cell, x, y, wide, { colours, now }) {
  const arrived = progress(cell.born, now, DROP_MS);
  const gap = wide > 3 ? 1 : 0;
  const top = y - (1 - arrived) * 14;
  const tall = STRIP - 8;
  pen.globalAlpha = arrived;
  const turned = cell.durableAt === undefined ? 0 : progress(cell.durableAt, now, TURN_MS);
  if (turned < 1) {
    pen.strokeStyle = model.killedAt === undefined ? colours.open : colours.bad;
    pen.lineWidth = 1.5;
    pen.strokeRect(x + 0.75, top + 0.75, Math.max(wide - gap - 1.5, 0.5), tall - 1.5);
  }
  if (turned > 0) {
    pen.globalAlpha = arrived * turned;
    pen.fillStyle = colours.durable;
    pen.fillRect(x, top, Math.max(wide - gap, 0.7), tall);
  }
  pen.globalAlpha = 1;
}

/** The squares of the base, one for so many blocks that all of them fit. */
function gridOf(blocks, width, height) {
  for (let each = 1; ; each *= 2) {
    const squares = Math.ceil(blocks / each);
    for (let side = 20; side >= 4; side--) {
      const perRow = Math.floor(width / side);
      if (Math.ceil(squares / perRow) * side <= height) return { each, side, perRow, squares };
    }
  }
}

function paintBase(pen, model, base, { width, colours, now }) {
  const blocks = model.stats.baseBlocks;
  const top = base.top + LABEL;
  const grid = gridOf(blocks, width, base.height - LABEL);
  const each = grid.each === 1 ? "" : `, ${grid.each} to a square`;
  label(pen, colours, "base.db", `${blocks.toLocaleString("en")} blocks${each}`, base.top + 11, width);
  const sweep = sweepOf(model, now);
  const gap = grid.side > 9 ? 2 : 1;
  for (let index = 0; index < grid.squares; index++) {
    const x = (index % grid.perRow) * grid.side;
    const y = top + Math.floor(index / grid.perRow) * grid.side;
    pen.globalAlpha = 0.42 + 0.58 * Math.max(0, 1 - Math.abs(x / width - sweep) * 5);
    pen.fillStyle = colours.base;
    pen.fillRect(x, y, grid.side - gap, grid.side - gap);
  }
  pen.globalAlpha = 1;
  if (blocks === 0) {
    pen.fillStyle = colours.soft;
    pen.fillText("nothing folded yet: everything is in the log", 0, top + 14);
  }
}

/** Where the light of the newest fold is, in parts of the width; far outside if there is none. */
function sweepOf(model, now) {
  const fold = model.folds[model.folds.length - 1];
  if (fold === undefined || now === Infinity || now - fold.at > SETTLED_MS) return -9;
  return -0.2 + (1.6 * (now - fold.at)) / SETTLED_MS;
}

/** A folded segment: its commits fall into the base. */
function paintFalling(pen, model, segment, base, { width, colours, now }) {
  const slot = placeOf.get(segment);
  const begun = now - segment.goneAt;
  if (!(begun < FALL_MS) || slot === undefined) return;
  const scale = (slot.width - 6) / Math.max(model.capacity, segment.bytes);
  pen.fillStyle = colours.base;
  let x = slot.x + 3;
  segment.cells.forEach((cell, index) => {
    const wide = Math.max(cell.bytes * scale, 1);
    const part = Math.min(1, Math.max(0, (begun - (index % 7) * 30) / (FALL_MS - 200)));
    // They spread over the base: where a commit's blocks lie has nothing to do with where it lay in the log.
    const spread = x + part * ((width * (index + 0.5)) / segment.cells.length - x);
    pen.globalAlpha = 1 - part;
    pen.fillRect(spread, slot.y + 4 + part * part * (base.top + LABEL - slot.y), Math.max(wide - 1, 1), STRIP - 8 - 12 * part);
    x += wide;
  });
  pen.globalAlpha = 1;
}

function paintKilled(pen, { width, height, colours }) {
  pen.globalAlpha = 0.12;
  pen.fillStyle = colours.bad;
  pen.fillRect(0, 0, width, height);
  pen.globalAlpha = 1;
  pen.fillStyle = colours.bad;
  pen.font = `600 15px ${colours.font.slice(5)}`;
  pen.textAlign = "center";
  pen.fillText("worker killed", width / 2, height - 12);
  pen.textAlign = "left";
}

function rounded(pen, x, y, width, height, radius) {
  pen.beginPath();
  if (pen.roundRect === undefined) pen.rect(x, y, width, height);
  else pen.roundRect(x, y, width, height, radius);
}
