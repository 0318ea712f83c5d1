// Next with the two headers of an isolated page, on everything it serves: pages, worker and wasm.

const headers = [
  { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
  { key: "Cross-Origin-Embedder-Policy", value: "require-corp" },
];

export default {
  headers: async () => [{ source: "/:path*", headers }],
};
