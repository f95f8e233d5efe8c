// Writes two files for the demo page into gateway/web, or into the given folder: the client from dist/ as one module,
// and the part that runs in the audio thread.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { PCM_PROCESSOR } from "../dist/index.js";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const folder = process.argv[2] ?? path("../../../gateway/web");
const origin = "// Generated from clients/typescript by `npm run page`.";
await build({
  absWorkingDir: path(".."),
  entryPoints: ["dist/index.js"],
  outfile: join(folder, "talkup-client.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
  banner: { js: origin },
});
await writeFile(join(folder, "pcm-processor.js"), `${origin}\n${PCM_PROCESSOR}`);
