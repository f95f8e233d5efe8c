// Bundles a browser module from another folder with this folder's packages; writes to standard output: bundle.mjs FILE
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: [process.argv[2]],
  nodePaths: [fileURLToPath(new URL("../node_modules", import.meta.url))],
  define: { "process.env.NODE_ENV": '"production"' },
  bundle: true,
  format: "esm",
  target: "es2022",
  logLevel: "error",
  write: false,
});
process.stdout.write(outputFiles[0].text);
