// webpack's server for development with the two headers of an isolated page. The build is the same without them.

export default {
  mode: "development",
  devServer: {
    static: "public",
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
};
