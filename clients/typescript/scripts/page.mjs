// Bundles dist/ for the demo page: gateway/web/talkup-client.js; with --stdout to standard output instead.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const outfile = path("../../../gateway/web/talkup-client.js");
const toStdout = process.argv.includes("--stdout");
const { outputFiles } = await build({
  absWorkingDir: path(".."),
  entryPoints: ["dist/index.js"],
  outfile,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
  write: !toStdout,
  banner: { js: "// Bundled from clients/typescript by `npm run page`." },
});
if (toStdout) process.stdout.write(outputFiles[0].text);
