// Writes src/messages.ts from schema/*.json, or to standard output with --stdout.
import { readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const folder = new URL("../schema/", import.meta.url);
const read = async (name) => JSON.parse(await readFile(new URL(name, folder), "utf8"));
const [client, server] = await Promise.all([read("client.json"), read("server.json")]);
const $defs = {
  ...client.$defs,
  ...server.$defs,
  ClientMessage: { description: client.title, anyOf: client.anyOf },
  ServerMessage: { description: server.title, anyOf: server.anyOf },
};
// Name only messages and their parts, not every string and number that has a description.
const root = {
  type: "object",
  properties: { client: { $ref: "#/$defs/ClientMessage" }, server: { $ref: "#/$defs/ServerMessage" } },
  required: ["client", "server"],
  $defs,
};
const text = await compile(root, "Protocol", {
  additionalProperties: false,
  format: false,
  ignoreMinAndMaxItems: true,
  bannerComment: "// Generated from schema/*.json by `npm run types`.",
});
if (process.argv.includes("--stdout")) process.stdout.write(text);
else await writeFile(new URL("../src/messages.ts", import.meta.url), text);
