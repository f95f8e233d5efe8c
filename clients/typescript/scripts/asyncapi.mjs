// Checks the AsyncAPI document on stdin: prints its errors and exits with 1, or prints nothing.
import { Parser } from "@asyncapi/parser";
import { text } from "node:stream/consumers";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const faults = diagnostics.filter(({ severity }) => severity <= 1);
for (const { path, message } of faults) process.stdout.write(`${path.join(".")}: ${message}\n`);
process.exitCode = document && faults.length === 0 ? 0 : 1;
