// Express with the two headers of an isolated page: before everything else, so that worker and wasm have them too.

import express from "express";

const app = express();
app.use((request, response, next) => {
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  next();
});
app.use(express.static("public"));
app.listen(8080, () => console.log("http://localhost:8080/"));
