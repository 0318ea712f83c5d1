// The part of the page around "Crash now": one dot for each commit, the verdict, the recovery report.
//
// Knows the experiment (`crash.js`) and its own elements. Opening the database again is the page's business.

import { crashInMidCommit, tally, verdict } from "./crash.js";
import { problem } from "./console.js";
import { the } from "./element.js";

/** How long the killed store is shown. */
const LOOK_MS = 800;

/** What each number of a recovery report is called here; the others are shown by their own names. */
const NAMES = {
  kind: "how it was found",
  epoch: "this life's number (epoch)",
  last: "last commit that is there",
  segments: "segments read",
  commits: "commits read from the log",
  tornTailBytes: "torn tail, bytes rolled back",
  rolledBackBatches: "batches without a commit marker, rolled back",
  unprovenCommits: "commits whose durability nothing proved, written again",
  reloggedBytes: "bytes written again for them",
  givenUpCommits: "commits given up for want of space",
};

/**
 * Wires the section. `page.lend()` hands over the open database and stops everything else; `page.reopen()`
 * opens it again after the kill; `page.killed()` is told of it; `page.settings()` are the present ones.
 */
export function createCrashing(page) {
  const button = the("crash");
  const again = the("crash-again");
  const say = the("crash-state");
  const total = { crashes: 0, acknowledged: 0, lost: 0, gone: 0 };

  const once = async () => {
    const db = page.lend();
    if (db === undefined) return false;
    const dots = createDots();
    the("report").replaceChildren();
    say.className = "answer";
    say.textContent = "committing";
    const run = Date.now();
    const outcome = await crashInMidCommit(db, {
      run,
      sent: dots.add,
      acknowledged: (n) => dots.mark(n, "kept"),
      kill: () => {
        db.terminate();
        say.textContent = "killed; opening again";
        page.killed();
      },
    });
    // For the eye: what was on its way stays on the screen for a moment.
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const opened = await page.reopen();
    if (opened === undefined) return false;
    const result = await tally(opened, { run, ...outcome });
    const meaning = verdict(result, page.settings());
    // What was never promised is not lost: it is gone, as was said.
    const promised = meaning.looks !== "note";
    dots.settle(result, promised ? "lost" : "gone");
    total.crashes += 1;
    total.acknowledged += result.acknowledged;
    total[promised ? "lost" : "gone"] += result.lost;
    say.textContent = summary(total);
    showVerdict(meaning, opened.recovery);
    return true;
  };
  button.addEventListener("click", async () => {
    try {
      while ((await once()) && again.checked);
    } catch (error) {
      say.textContent = "";
      the("report").replaceChildren(problem(error));
      await page.reopen();
    }
  });
}

/** All crashes of this page in a line. */
function summary({ crashes, acknowledged, lost, gone }) {
  const given = gone === 0 ? "" : `, ${gone} not promised to stay and gone`;
  return `${crashes} ${crashes === 1 ? "crash" : "crashes"}: ${acknowledged} commits acknowledged${given}, ${lost} lost`;
}

/** The dots of one crash. */
function createDots() {
  const place = the("tally");
  const dots = [];
  place.replaceChildren();
  place.hidden = false;
  place.setAttribute("aria-label", "commits under way");
  the("tally-legend").hidden = false;
  return {
    add() {
      const dot = document.createElement("i");
      dot.className = "dot wait";
      dots.push(dot);
      place.append(dot);
    },
    mark(n, fate) {
      dots[n - 1].className = `dot ${fate}`;
    },
    /** Shows what became of each; `missing` is the name for what was acknowledged and is not there. */
    settle({ fates, kept, lost, extra, none }, missing) {
      fates.forEach((fate, index) => this.mark(index + 1, fate === "lost" ? missing : fate));
      place.setAttribute(
        "aria-label",
        `${kept} acknowledged commits found, ${lost} ${missing}; ${extra} others found, ${none} not there`,
      );
    },
  };
}

function showVerdict({ looks, heading, text }, recovery) {
  const box = document.createElement("div");
  box.className = `verdict ${looks}`;
  const strong = document.createElement("strong");
  strong.textContent = heading;
  box.append(strong, text);

  const report = document.createElement("details");
  report.className = "report";
  report.open = true;
  const summary = document.createElement("summary");
  summary.textContent = "What opening it found";
  const list = document.createElement("dl");
  for (const [key, value] of Object.entries(recovery)) {
    if (Array.isArray(value) && value.length === 0) continue;
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = NAMES[key] ?? key;
    detail.textContent = typeof value === "object" ? JSON.stringify(value) : String(value);
    list.append(term, detail);
  }
  report.append(summary, list);
  the("report").replaceChildren(box, report);
}
