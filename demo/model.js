// What the drawing shows, made from the numbers that `stats()` gives: which segments the log has, which
// commits lie in them, what is durable, what was folded when.
//
// Must not know the page, the canvas or the package. The rule it keeps: the numbers are the truth; where
// they and the model disagree (another statement ran in between), the model follows.

/** Commits of one look that are drawn one by one; more are drawn as wider ones. */
const CELLS_MAX = 300;

/** How long what has gone stays to be animated, ms. */
const GONE_MS = 1500;

/**
 * @typedef {{ bytes: number, last: number, born: number, durableAt: number | undefined }} Cell
 *   One commit, or several side by side: its bytes in the log, its last LSN, when it came, since when it is durable.
 * @typedef {{ number: number, bytes: number, cells: Cell[], born: number, goneAt: number | undefined }} Segment
 *   A segment of the log; `number` counts from 1 in this picture.
 */

/** A picture of a store about which nothing is known yet. */
export function createModel(capacity) {
  return {
    /** Soft size of a segment, bytes. */
    capacity,
    /** @type {Segment[]} */
    segments: [],
    /** The numbers looked at last. */
    stats: undefined,
    /** Finished folds: when, and how many blocks. */
    folds: [],
    /** When the worker was killed, if it was. */
    killedAt: undefined,
    /** When something changed last. */
    changedAt: 0,
    nextNumber: 1,
  };
}

/** Makes the model show what `stats` says, `now` being the time of the look in ms. */
export function look(model, stats, now) {
  const before = model.stats;
  model.stats = stats;
  model.segments = model.segments.filter((segment) => segment.goneAt === undefined || now - segment.goneAt < GONE_MS);
  model.folds = model.folds.filter((fold) => now - fold.at < GONE_MS);
  if (before === undefined || before.epoch !== stats.epoch) {
    begin(model, stats, now);
    return;
  }
  const bytes = stats.bytesAppended - before.bytesAppended;
  if (bytes > 0) append(model, stats, before.committed, bytes, now);
  if (stats.folds > before.folds) {
    model.folds.push({ at: now, blocks: stats.blocksFolded - before.blocksFolded });
  }
  follow(model, stats, now);
  const moved = bytes > 0 || stats.folds > before.folds || stats.durable > before.durable;
  if (moved) model.changedAt = now;
}

/** The worker is gone: what was not durable is in doubt. */
export function kill(model, now) {
  model.killedAt = now;
  model.changedAt = now;
}

/** The segments that are still in the log. */
export function live(model) {
  return model.segments.filter((segment) => segment.goneAt === undefined);
}

/** A store just opened: how its log is spread over the segments is not told, so the older ones are drawn full. */
function begin(model, stats, now) {
  model.segments = [];
  model.killedAt = undefined;
  model.changedAt = now;
  let left = stats.logBytes;
  for (let index = 0; index < stats.segments; index++) {
    const later = stats.segments - index - 1;
    const bytes = Math.max(0, Math.min(later === 0 ? left : model.capacity, left));
    left -= bytes;
    const segment = addSegment(model, now);
    const durableAt = stats.committed <= stats.durable ? now : undefined;
    if (bytes > 0) put(segment, { bytes, last: stats.committed, born: now, durableAt });
  }
}

function addSegment(model, now) {
  const segment = { number: model.nextNumber++, bytes: 0, cells: [], born: now, goneAt: undefined };
  model.segments.push(segment);
  return segment;
}

function put(segment, cell) {
  segment.cells.push(cell);
  segment.bytes += cell.bytes;
}

/** New bytes in the log: as many cells as commits, each of the same width; a large one runs over segments. */
function append(model, stats, committedBefore, bytes, now) {
  const commits = stats.committed - committedBefore;
  const cells = Math.max(1, Math.min(commits, CELLS_MAX));
  for (let index = 1; index <= cells; index++) {
    const last = committedBefore + Math.round((commits * index) / cells);
    let left = bytes / cells;
    while (left > 0) {
      const alive = live(model);
      let segment = alive[alive.length - 1] ?? addSegment(model, now);
      let room = model.capacity - segment.bytes;
      if (room <= 0 || (room < left && left <= model.capacity)) {
        segment = addSegment(model, now);
        room = model.capacity;
      }
      const part = Math.min(left, room);
      put(segment, { bytes: part, last, born: now, durableAt: undefined });
      left -= part;
    }
  }
}

/** Corrects the number of segments, and marks what is durable. */
function follow(model, stats, now) {
  let alive = live(model);
  while (alive.length > Math.max(stats.segments, 1)) {
    alive[0].goneAt = now;
    alive = alive.slice(1);
  }
  while (alive.length < stats.segments) alive.push(addSegment(model, now));
  for (const segment of alive) {
    for (const cell of segment.cells) {
      if (cell.durableAt === undefined && cell.last <= stats.durable) cell.durableAt = now;
    }
  }
}
