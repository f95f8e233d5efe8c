// Reads an AsyncAPI document on stdin; says what is wrong with it and exits 1, or says nothing.
import { Parser } from "@asyncapi/parser";
import { text } from "node:stream/consumers";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const faults = diagnostics.filter(({ severity }) => severity <= 1);
for (const { path, message } of faults) process.stdout.write(`${path.join(".")}: ${message}\n`);
process.exitCode = document && faults.length === 0 ? 0 : 1;
