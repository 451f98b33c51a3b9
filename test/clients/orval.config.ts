// #region config
import { defineConfig } from "orval";

export default defineConfig({
  auth: {
    input: "openapi.yaml",
    output: {
      client: "fetch",
      target: "src/generated/orval.ts",
      override: { mutator: { path: "src/orval-fetch.ts", name: "orvalFetch" } },
    },
  },
});
// #endregion
