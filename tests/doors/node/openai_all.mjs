// OpenAI's SDK for JavaScript: URL, key, recording. Prints a transcription, the events of another, and the transcript of a
// Realtime session, one JSON a line.
import { createReadStream, readFileSync } from "node:fs";
import { connect } from "node:net";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [url, apiKey, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const show = (value) => console.log(JSON.stringify(value));
const upload = { file: createReadStream(path), model: "whisper-1", language: "fr", response_format: "verbose_json" };
show(await client.audio.transcriptions.create(upload));
const streamed = { file: createReadStream(path), model: "whisper-1", stream: true };
let text = "";
for await (const event of await client.audio.transcriptions.create(streamed)) {
  if (event.type === "transcript.text.delta") text += event.delta;
  else show({ deltas: text, text: event.text });
}
// The SDK speaks wss only, for which a gateway has a proxy; here its connection is plain.
const { hostname, port } = new URL(url);
const options = { createConnection: () => connect(Number(port), hostname) };
const session = new OpenAIRealtimeWS({ intent: "transcription", options }, client);
await new Promise((resolve, reject) => {
  session.on("error", reject);
  session.on("conversation.item.input_audio_transcription.completed", (event) => resolve(show(event)));
  session.on("session.created", () => {
    session.send({ type: "session.update", session: { type: "transcription", audio: { input: { turn_detection: null } } } });
    session.send({ type: "input_audio_buffer.append", audio: readFileSync(path).toString("base64") });
    session.send({ type: "input_audio_buffer.commit" });
  });
});
session.close();
