// Which bytes of an answer move to the page instead of being copied.
//
// Must not know operations: it looks for bytes wherever answers carry them.

/** Below this a copy is cheaper than a move, bytes. */
const WORTH = 4096;

/** The buffers in `answer` that are worth moving. Each is owned by the answer alone. */
export function transfersOf(answer: unknown): Transferable[] {
  const found = new Set<ArrayBuffer>();
  collect(answer, found, 0);
  return [...found];
}

function collect(value: unknown, found: Set<ArrayBuffer>, depth: number): void {
  if (typeof value !== "object" || value === null || depth > 4) return;
  if (value instanceof Uint8Array) {
    const { buffer } = value;
    if (buffer instanceof ArrayBuffer && buffer.byteLength >= WORTH && buffer.byteLength === value.byteLength) found.add(buffer);
    return;
  }
  if (Array.isArray(value)) {
    // Names of columns and the like are not looked at one by one.
    if (typeof value[0] === "object") for (const item of value) collect(item, found, depth + 1);
    return;
  }
  for (const item of Object.values(value)) collect(item, found, depth + 1);
}
