// #region config
import { defineConfig } from "@hey-api/openapi-ts";

export default defineConfig({
  input: "openapi.yaml",
  output: "src/generated/hey-api",
  plugins: ["@hey-api/client-fetch"],
  parser: {
    // The interceptor in src/hey-api.ts sets it.
    patch: { parameters: { RequestID: (parameter) => void (parameter.required = false) } },
  },
});
// #endregion
