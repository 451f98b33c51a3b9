// Prints the size of the package in a browser's bundle: minified and gzipped, without and with openapi-fetch. Fails over the limit.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const limit = 8 * 1024; // bytes, with openapi-fetch. 7 * 1024 until logins could have a second factor or a passkey

async function sizeOf(external) {
  const { outputFiles } = await build({
    entryPoints: [new URL("dist/index.js", import.meta.url).pathname],
    bundle: true, minify: true, write: false, format: "esm", platform: "browser", target: "es2022", external,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const own = await sizeOf(["openapi-fetch"]);
const all = await sizeOf([]);
console.log(`gzipped: ${own} bytes, with openapi-fetch ${all} of at most ${limit}`);
process.exitCode = all > limit ? 1 : 0;
