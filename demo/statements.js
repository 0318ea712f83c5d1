// Cuts a text into its SQL statements, so that the console can show what each of them answers.
//
// Knows only what decides where a statement ends: comments, quotes, and the body of a trigger. Whether the
// statements are right is SQLite's business. The rule it keeps: nothing is lost; what does not end is the last one.

const SKIP = /(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))+/y;
const QUOTED = /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$)/y;
const WORD = /[A-Za-z_][A-Za-z0-9_$]*/y;

/** The statements of `text`, each with its semicolon, without what stands between them. */
export function split(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    const start = at + lengthAt(SKIP, text, at);
    const end = endOf(text, start);
    const statement = text.slice(start, end).trim();
    if (statement !== "" && statement !== ";") found.push(statement);
    at = Math.max(end, at + 1);
  }
  return found;
}

/** Whether the statements of `text` begin or end transactions themselves: then they belong into one call. */
export function controlsTransactions(statements) {
  return statements.some((statement) => /^(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b/i.test(statement));
}

/** Where the statement that starts at `start` ends: behind its semicolon, or at the end of the text. */
function endOf(text, start) {
  const words = [];
  let at = start;
  let body = false;
  let cases = 0;
  let ended = false;
  while (at < text.length) {
    const blank = lengthAt(SKIP, text, at) || lengthAt(QUOTED, text, at);
    if (blank > 0) {
      at += blank;
      continue;
    }
    const length = lengthAt(WORD, text, at);
    if (length > 0) {
      const word = text.slice(at, at + length).toUpperCase();
      if (words.length < 3) words.push(word);
      body ||= isTrigger(words);
      // A trigger ends with END; but a CASE inside it has an END of its own.
      ended = body && word === "END" && cases === 0;
      if (body && word === "CASE") cases += 1;
      if (body && word === "END" && cases > 0) cases -= 1;
      at += length;
      continue;
    }
    at += 1;
    if (text[at - 1] === ";" && (!body || ended)) return at;
    ended = false;
  }
  return text.length;
}

function isTrigger(words) {
  const [first, second, third] = words;
  if (first !== "CREATE") return false;
  return second === "TRIGGER" || ((second === "TEMP" || second === "TEMPORARY") && third === "TRIGGER");
}

function lengthAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
