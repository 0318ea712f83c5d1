// Medians of what was measured, as a Markdown table and as ratios against the best peer of the same medium.

import { median, quantile } from "./page/data.js";
import { sideOf } from "./page/sides.js";

/** Median rate of the slices, in operations a second. */
export function rate(list) {
  return list ? median(list.map(({ ms, count }) => (count / ms) * 1000)) : undefined;
}

const COLUMNS = [
  ["commits/s", ({ commits }) => rate(commits)],
  ["p50 ms", ({ commits }) => commits && median(commits.flatMap(({ each }) => each)), 2],
  ["p99 ms", ({ commits }) => commits && quantile(commits.flatMap(({ each }) => each), 0.99), 1],
  ["16 in flight/s", ({ inflight }) => rate(inflight)],
  ["bulk krow/s", ({ bulk }) => bulk && rate(bulk) / 1000],
  ["updates tx/s", ({ updates }) => rate(updates)],
  ["points/s", ({ points }) => rate(points)],
  ["scan ms", ({ scan }) => scan && median(scan.map(({ ms }) => ms))],
];

export function printTable(results, sides) {
  console.log(`\n| | ${COLUMNS.map(([title]) => title).join(" | ")} | durability |`);
  console.log(`|-|${COLUMNS.map(() => "-|").join("")}-|`);
  for (const id of sides) {
    const measured = results[id];
    if (!measured) continue;
    const cells = COLUMNS.map(([, value, digits]) => shown(value(measured), digits));
    const side = sideOf(id);
    console.log(`| ${side.title} | ${cells.join(" | ")} | ${side.durability} |`);
  }
}

export function printCold(cold, sides) {
  const titles = [
    "cold, 50 MB, ms",
    "fresh process: open to point",
    "navigation to point",
    "then a scan",
    "same page, new worker: open to point",
  ];
  console.log(`\n| ${titles.join(" | ")} |`);
  console.log(`|${titles.map(() => "-|").join("")}`);
  for (const id of sides) {
    if (!cold[id]) continue;
    const { later } = cold[id];
    const middle = (value) => shown(median(later.map(value)));
    const cells = [
      middle(({ point, begun }) => point - begun),
      middle(({ point }) => point),
      middle(({ scan, point }) => scan - point),
      middle(({ again }) => again),
    ];
    console.log(`| ${sideOf(id).title} | ${cells.join(" | ")} |`);
  }
}

export function printMemory(memory, sides) {
  console.log("\n| 10 MB database, beyond an empty page | MB after points, a commit, a scan | at rest |\n|-|-|-|");
  for (const id of sides) {
    if (!memory[id]) continue;
    const middle = (value) => (median(memory[id].map(value)) / 1e6).toFixed(1);
    const cells = [middle(({ before, busy }) => busy - before), middle(({ before, after }) => after - before)];
    console.log(`| ${sideOf(id).title} | ${cells.join(" | ")} |`);
  }
}

function shown(number, digits) {
  if (number === undefined) return "-";
  if (digits !== undefined) return number.toFixed(digits);
  return number < 10 ? number.toFixed(1) : String(Math.round(number));
}
