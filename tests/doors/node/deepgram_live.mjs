// A live conversation with Deepgram's SDK for JavaScript: URL, key, file of raw samples, options as JSON.
// Prints what it parses, one JSON a line.
import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const [url, key, path, options] = process.argv.slice(2);
const environment = { base: url, production: url.replace("http", "ws"), agent: "", agentRest: "" };
const client = new DeepgramClient({ apiKey: key, environment });
const media = readFileSync(path);
const connection = await client.listen.v1.connect({ model: "nova-3", ...JSON.parse(options) });
const finalized = new Promise((resolve) => {
  connection.on("message", (message) => {
    console.log(JSON.stringify(message));
    if (message.from_finalize) resolve();
  });
});
const closed = new Promise((resolve) => {
  connection.on("close", (event) => resolve(console.log(JSON.stringify({ type: "close", code: event.code }))));
});
connection.on("error", (error) => console.log(JSON.stringify({ type: "error", message: String(error?.message) })));
connection.connect();
await connection.waitForOpen();
const half = Math.floor(media.length / 2 / 1600) * 1600;
connection.sendKeepAlive({ type: "KeepAlive" });
for (let at = 0; at < half; at += 1600) connection.sendMedia(media.subarray(at, at + 1600));
connection.sendFinalize({ type: "Finalize" });
await finalized;
for (let at = half; at < media.length; at += 1600) connection.sendMedia(media.subarray(at, at + 1600));
connection.sendCloseStream({ type: "CloseStream" });
await closed;

const answer = await client.listen.v1.media.transcribeFile(media, { model: "nova-3", encoding: "mulaw" });
console.log(JSON.stringify({ type: "file", text: answer.results.channels[0].alternatives[0].transcript }));
process.exit(0);
