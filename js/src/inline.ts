// The worker and the wasm as text, for bundles in which the worker's file is not found. Filled in by the build.

/** The worker's module. */
export const workerSource: string = "";
/** The wasm, gzipped, in base64. */
export const wasmGzipBase64: string = "";
