// Writes what the demo page takes from dist/ into gateway/web, or into the folder that is named: the client as one
// module, and the audio thread's half of it.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { PCM_PROCESSOR } from "../dist/index.js";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const folder = process.argv[2] ?? path("../../../gateway/web");
const origin = "// Made from clients/typescript by `npm run page`.";
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
