// One file made of several: a tar archive (ustar), which every system unpacks.
//
// Knows names and bytes. Every entry is a header of 512 bytes and the content, filled up to a multiple of 512.

const BLOCK = 512;

/** The archive of `files`, all in the folder `folder`, as a Blob. */
export function tar(folder, files) {
  const parts = [];
  for (const { name, bytes } of files) {
    const padding = (BLOCK - (bytes.byteLength % BLOCK)) % BLOCK;
    parts.push(header(`${folder}/${name}`, bytes.byteLength), bytes, new Uint8Array(padding));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

function header(name, size) {
  const block = new Uint8Array(BLOCK);
  const encoder = new TextEncoder();
  const put = (at, text) => block.set(encoder.encode(text), at);
  const octal = (number, digits) => `${number.toString(8).padStart(digits, "0")}\0`;
  put(0, name);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(Math.floor(Date.now() / 1000), 11));
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\0");
  put(263, "00");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}
