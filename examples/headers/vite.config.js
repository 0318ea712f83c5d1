// Vite's own servers with the two headers of an isolated page. The build is the same without them.

const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default {
  server: { headers },
  preview: { headers },
};
